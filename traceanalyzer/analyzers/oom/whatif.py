"""The recorded requests under other settings of the allocator: the new peak, and whether memory would run out.

First they are replayed under the recorded settings. Only when that gives the recorded reserved memory, within
`thresholds.WHAT_IF_ERROR`, is there an answer for others. The new settings hold from the start of the window; what
was reserved before it stays as it was. The replay ends at the first out-of-memory error that was recorded: nobody
knows what the run would have done after it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.allocator import Allocator, OutOfMemory
from traceanalyzer.analyzers.allocator_settings import (
    AllocatorSettings,
    changed,
    recorded,
    segment_bytes,
)
from traceanalyzer.analyzers.snapshot.free import segments_after
from traceanalyzer.analyzers.snapshot.results import WhatIf
from traceanalyzer.analyzers.snapshot.steps import cache_runs
from traceanalyzer.model.columns import ints
from traceanalyzer.model.sizes import size
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.allocator_blocks import Block
    from traceanalyzer.analyzers.snapshot.device import DeviceState

    Ints = NDArray[np.int64]

ALLOC, FREE, EMPTY, OOM = range(4)


@dataclass(frozen=True, slots=True)
class _Replayed:
    """`reserved` after each of the entries `at`; `failed_at` is the entry whose request did not fit."""

    at: Ints
    reserved: Ints
    peak: int
    failed_at: int | None
    segments: Counter[int]


def what_if(state: DeviceState, text: str) -> WhatIf:
    """What a device's recorded requests would need with settings in the form of PYTORCH_CUDA_ALLOC_CONF.

    Raises:
        UsageError: the text names no setting that can be tried.
    """
    old = _recorded_settings(state)
    new = changed(old, text)
    empty = WhatIf(state.rank, state.device, text)
    if not len(state.rows):
        return replace(empty, reason=say("no history was recorded, so there is nothing to replay"))
    limit = _limit(state)
    ooms = state.positions("oom")
    last = int(ooms[0]) if len(ooms) else len(state.rows) - 1
    recorded_peak = int(state.reserved[: last + 1].max())
    known = replace(
        empty, limit_bytes=limit, recorded_peak_reserved_bytes=recorded_peak, recorded_oom=bool(len(ooms))
    )
    start = _start(state)
    if start is None:
        return replace(
            known,
            reason=say(
                "the window begins in the middle of expandable segments, which show no blocks of then"
            ),
        )
    made = state.positions("segment_alloc")
    placed = list(zip(state.size[made].tolist(), state.address[made].tolist(), strict=True))
    same = _replay(state, old, limit, start, last, placed)
    known = replace(
        known,
        error_share=_error(state, same, recorded_peak),
        replayed_peak_reserved_bytes=same.peak,
        same_segments_share=_same_segments(state, same, last),
        whole_run=not start,
    )
    return _tried(known, lambda: _replay(state, new, limit, start, last))


def _tried(known: WhatIf, replayed: Callable[[], _Replayed]) -> WhatIf:
    """With what a replay with the new settings gives, where one with the recorded ones gave what was recorded."""
    error = known.error_share or 0.0
    if error > thresholds.WHAT_IF_ERROR:
        reason = say(
            "a replay with the recorded settings is off by {error}, more than {most}",
            error=f"{error:.1%}",
            most=f"{thresholds.WHAT_IF_ERROR:.0%}",
        )
        return replace(known, reason=reason)
    tried = replayed()
    return replace(
        known,
        peak_reserved_bytes=tried.peak,
        runs_out=None if known.limit_bytes is None else tried.failed_at is not None,
        runs_out_at_entry=tried.failed_at,
    )


def told(found: WhatIf) -> Text:
    """The answer in a sentence, or why there is none."""
    if found.peak_reserved_bytes is None or found.recorded_peak_reserved_bytes is None:
        return say("{settings} cannot be judged: {reason}", settings=found.settings, reason=found.reason)
    peak = say(
        "with {settings} at most {new} would be reserved instead of {old} (a replay with the recorded settings is "
        "off by {error})",
        settings=found.settings,
        new=size(found.peak_reserved_bytes),
        old=size(found.recorded_peak_reserved_bytes),
        error=f"{found.error_share or 0:.2%}",
    )
    if not found.whole_run:
        peak = say("{peak}; what was reserved before the window stays as it was", peak=peak)
    if found.runs_out is None:
        return peak
    if found.runs_out:
        entry = f"{found.runs_out_at_entry:,}"
        return say("memory would still run out, at entry {entry}: {peak}", entry=entry, peak=peak)
    if found.recorded_oom:
        return say("the request would have fitted: {peak}", peak=peak)
    return say("memory would not run out: {peak}", peak=peak)


def _recorded_settings(state: DeviceState) -> AllocatorSettings:
    expandable = any(state.trace.segments["expandable"].take(state.segments).to_pylist())
    return recorded(state.settings, expandable=expandable or bool(len(state.positions("segment_map"))))


def _limit(state: DeviceState) -> int | None:
    """How much the allocator could reserve at most, told by a request to the driver that failed; None if none did.

    An error tells it exactly, unless a memory fraction refused it: then it is at most what would have been enough,
    then and at every retry before.
    """
    starts, ends, retried = cache_runs(state)
    begin, following = starts[retried], ends[retried] + 1
    before = state.reserved[begin] + state.size[begin]
    ooms = state.positions("oom")
    helped = ~np.isin(following, ooms)
    most = int((before + state.size[following])[helped].min()) - 1 if helped.any() else None
    if most is not None and most < int(state.reserved.max()):
        most = None  # others took or gave back memory meanwhile
    if not len(ooms):
        return most
    entry = int(ooms[0])
    free = int(ints(state.trace.allocations, "device_free")[state.rows[entry]])
    needed = segment_bytes(int(state.size[entry])) - 1
    if 0 <= free <= needed:
        return int(state.reserved[entry]) + free
    refused = int(state.reserved[entry]) + needed
    return refused if most is None else min(most, refused)


def _start(state: DeviceState) -> list[tuple[int, int, str | None, bool, list[tuple[int, int]]]] | None:
    """The segments when the window began: address, stream, pool, small, and (bytes, number or -1) of the blocks."""
    first = state.actions[state.action[0]] in ("segment_alloc", "segment_map")
    if state.reserved[0] == (state.size[0] if first else 0):
        return []
    segments = segments_after(state, -1)
    if segments is None:
        return None
    there = np.flatnonzero(state.alloc < 0)
    there = there[np.argsort(state.block_address[there])]
    address = state.block_address[there]
    found = []
    for begin, total, stream, pool in segments:
        low, high = np.searchsorted(address, [begin, begin + total])
        blocks, at = [], begin
        for number in there[low:high].tolist():
            where, length = int(state.block_address[number]), int(state.block_bytes[number])
            if where > at:
                blocks.append((where - at, -1))
            blocks.append((length, number))
            at = where + length
        if at < begin + total:
            blocks.append((begin + total - at, -1))
        found.append((begin, stream, _private(pool), total == segment_bytes(1), blocks))
    return found


def _private(pool: str | None) -> str | None:
    """A pool's name, None for the default one and where it is not known."""
    return None if pool in (None, "0,0") else pool


def _pool_of(state: DeviceState, entry: int) -> str | None:
    return _private(state.trace.allocations["pool"][int(state.rows[entry])].as_py())


def _events(state: DeviceState, last: int) -> Iterator[tuple[int, int, int]]:
    """(entry, what, number of the block) until an entry."""
    made, ended = np.flatnonzero(state.alloc >= 0), np.flatnonzero(state.completed >= 0)
    _, ends, retried = cache_runs(state)
    emptied, ooms = ends[~retried], state.positions("oom")
    at = np.concatenate([state.alloc[made], state.completed[ended], emptied, ooms])
    what = np.repeat([ALLOC, FREE, EMPTY, OOM], [len(made), len(ended), len(emptied), len(ooms)])
    number = np.concatenate([made, ended, emptied, ooms])
    order = np.argsort(at, kind="stable")
    order = order[at[order] <= last]
    return zip(at[order].tolist(), what[order].tolist(), number[order].tolist(), strict=True)


def _replay(
    state: DeviceState,
    settings: AllocatorSettings,
    limit: int | None,
    start: list[tuple[int, int, str | None, bool, list[tuple[int, int]]]],
    last: int,
    placed: Sequence[tuple[int, int]] = (),
) -> _Replayed:
    allocator = Allocator(settings, limit, placed)
    used = [number for *_, blocks in start for _, number in blocks if number >= 0]
    adopted = allocator.adopt(
        (a, s, p, small, [(n, b >= 0) for n, b in blocks]) for a, s, p, small, blocks in start
    )
    live: dict[int, Block] = dict(zip(used, adopted, strict=True))
    requested, stream = state.block_requested.tolist(), state.block_stream.tolist()
    pools, pool_names = state.block_pool
    private = [_private(name) for name in pool_names]
    at, reserved, failed = [], [], None
    for entry, what, number in _events(state, last):
        try:
            match what:
                case 0:
                    pool = private[pools[number]] if pools[number] >= 0 else None
                    live[number] = allocator.malloc(requested[number], stream[number], pool)
                case 1:
                    if number in live:
                        allocator.free(live.pop(number))
                case 2:
                    allocator.release_cached()
                case _:
                    allocator.malloc(int(state.size[entry]), int(state.stream[entry]), _pool_of(state, entry))
        except OutOfMemory:
            failed = entry
            break
        at.append(entry)
        reserved.append(allocator.reserved)
    return _Replayed(
        np.array(at, np.int64),
        np.array(reserved, np.int64),
        allocator.peak_reserved,
        failed,
        +allocator.segments,
    )


def _error(state: DeviceState, same: _Replayed, peak: int) -> float:
    """The largest difference of reserved memory, as a share of the peak; 1 when an error comes or stays out."""
    fails = state.positions("oom")
    if same.failed_at != (int(fails[0]) if len(fails) else None):
        return 1.0
    if not len(same.at):
        return 0.0
    off = np.abs(same.reserved - state.reserved[same.at]).max()
    return float(max(off, abs(same.peak - peak)) / max(1, peak))


def _same_segments(state: DeviceState, same: _Replayed, last: int) -> float | None:
    """The share of the recorded segments, in bytes, that the replay has in the same sizes; None for expandable ones."""
    segments = segments_after(state, last)
    if segments is None:
        return None
    there = Counter(amount for _, amount, _, _ in segments)
    both = there & same.segments
    total = sum(amount * count for amount, count in there.items())
    return sum(amount * count for amount, count in both.items()) / total if total else 1.0
