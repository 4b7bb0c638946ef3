"""What changes from step to step: blocks that stay, work of the allocator, the peak of each step."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.snapshot.results import Churn, GrowthRow, PinnedSegment
from traceanalyzer.analyzers.snapshot.rounds import until
from traceanalyzer.model.columns import ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.analyzers.snapshot.device import DeviceState

    Ints = NDArray[np.int64]

_SKIPPED = 1
"""The first step of a window allocates what stays for good (optimizer state, workspaces)."""
_BUILT = ("parameters", "optimizer_state", "workspace")
"""What a loop builds up to be kept, which is no leak."""


def growth(state: DeviceState) -> tuple[GrowthRow, ...]:
    """Stacks that leave blocks behind in most steps, the fastest growing first.

    A block counts for the step that allocated it when nothing has released it by the end of the window, or by the
    first error. The last step is counted only when it ended. Bytes per step are the median over steps, so that one
    odd step does not change them. Without marked steps the rounds of a loop are counted, of which the first is like
    the others.
    """
    marked = bool((state.step >= 0).any())
    skipped = _SKIPPED if marked else 0
    steps = int(state.loop.max(initial=-1)) + 1
    if steps - skipped < (thresholds.GROWTH_STEPS if marked else thresholds.GROWTH_ROUNDS):
        return ()
    found = [
        GrowthRow(
            state.place(stack).python, state.place(stack).function, "kv_cache", per_step, total, count, stack,
            marked=marked,
        )
        for stack, (per_step, total, count) in state.caches.items()
    ]  # fmt: skip
    live = state.live_after(until(state))
    left = live[(state.alloc[live] >= 0) & (state.block_stack[live] >= 0)]
    step = state.loop[state.alloc[left]] if len(left) else left
    for mine in group_rows(state.block_stack[left]):
        blocks, at = left[mine], step[mine]
        per_step = np.zeros(steps, np.int64)
        np.add.at(per_step, at[at >= 0], state.block_requested[blocks][at >= 0])
        later = per_step[skipped:]
        stack = int(state.block_stack[blocks[0]])
        if stack in state.caches or (later > 0).mean() < thresholds.GROWTH_SHARE_OF_STEPS:
            continue
        category = state.block_category[int(blocks[0])][0]
        if not marked and category in _BUILT:
            continue
        place = state.place(stack)
        found.append(
            GrowthRow(
                place.python,
                place.function,
                category,
                bytes_per_step=int(np.median(later)),
                total_bytes=int(per_step.sum()),
                steps=int((per_step > 0).sum()),
                stack=stack,
                marked=marked,
            )
        )
    return tuple(sorted(found, key=lambda g: (-g.bytes_per_step, g.python or "")))


def step_peaks(state: DeviceState) -> tuple[int, ...]:
    """Largest active bytes in each step."""
    steps = int(state.step.max(initial=-1)) + 1
    peaks = np.zeros(steps, np.int64)
    inside = state.step >= 0
    np.maximum.at(peaks, state.step[inside], state.active[inside])
    return tuple(peaks.tolist())


def step_unused(state: DeviceState) -> tuple[int, ...]:
    """Reserved bytes that no moment of each step had in use."""
    steps = int(state.step.max(initial=-1)) + 1
    unused = np.full(steps, np.iinfo(np.int64).max)
    inside = state.step >= 0
    np.minimum.at(unused, state.step[inside], (state.reserved - state.active)[inside])
    return tuple(unused[unused < np.iinfo(np.int64).max].tolist())


def step_starts(state: DeviceState) -> tuple[int, ...]:
    """When the first entry of each step was recorded, ns; empty where entries carry no time."""
    steps, first = np.unique(state.step, return_index=True)
    return tuple(state.ts[first[steps >= 0]].tolist()) if state.timed else ()


def cache_runs(state: DeviceState) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """Runs of entries that give memory back, as positions of their first and last, and which of them are retries.

    A run right before a segment_alloc, segment_map or oom of the same call stack is the allocator making room after
    the driver refused it memory; others are calls of empty_cache().
    """
    frees = np.union1d(state.positions("segment_free"), state.positions("segment_unmap"))
    breaks = np.diff(frees) > 1
    starts, ends = (
        frees[np.insert(breaks, 0, True)[: len(frees)]],
        frees[np.append(breaks, True)[: len(frees)]],
    )
    then = np.concatenate([state.positions(a) for a in ("segment_alloc", "segment_map", "oom")])
    following = np.minimum(ends + 1, len(state.rows) - 1)
    return starts, ends, np.isin(ends + 1, then) & (state.stack[ends] == state.stack[following])


def churn(state: DeviceState) -> Churn:
    """Segments that were made and given back; an oom without a retry before it had nothing to give back."""
    allocs, maps = state.positions("segment_alloc"), state.positions("segment_map")
    frees, unmaps = state.positions("segment_free"), state.positions("segment_unmap")
    ooms = state.positions("oom")
    starts, ends, retry = cache_runs(state)
    alone = ~np.isin(ooms - 1, ends)
    emptied = ends[~retry]
    second = np.flatnonzero(state.step >= _SKIPPED)
    lines = [state.place(int(state.stack[entry])).python for entry in emptied.tolist()]
    return Churn(
        segment_allocs=len(allocs) + len(maps),
        segment_frees=len(frees) + len(unmaps),
        mappings=len(maps),
        unmappings=len(unmaps),
        late_segment_allocs=int((allocs >= second[0]).sum()) if len(second) else None,
        retries=int(retry.sum() + alone.sum()),
        errors=len(ooms),
        empty_cache_runs=len(emptied),
        empty_cache_python=lines[0] if lines else None,
        empty_cache_lines=tuple(
            sorted(Counter(line for line in lines if line).items(), key=lambda item: (-item[1], item[0]))
        ),
        at_ns=_time(state, [*starts.tolist(), *(allocs[allocs >= second[0]] if len(second) else ())]),
    )


def _time(state: DeviceState, entries: list[int]) -> int | None:
    """Of the first of these entries; None without entries, and when they carry no time."""
    return int(state.ts[min(entries)]) if entries and state.timed else None


def pinned_segments(state: DeviceState) -> tuple[PinnedSegment, ...]:
    """Segments at the end that are nearly empty and cannot be given back, the largest waste first."""
    segments = state.trace.segments
    found = []
    live = state.live_after(None)
    address = state.block_address[live]
    for row in state.segments.tolist():
        start, size = segments["address"][row].as_py(), segments["bytes"][row].as_py()
        active = segments["active"][row].as_py()
        if size < thresholds.PINNED_SEGMENT_BYTES or not active or segments["expandable"][row].as_py():
            continue
        if active > thresholds.PINNED_ACTIVE_SHARE * size:
            continue
        inside = live[(start <= address) & (address < start + size)]
        largest = int(inside[state.block_bytes[inside].argmax()]) if len(inside) else -1
        place = state.place(int(state.block_stack[largest])) if largest >= 0 else None
        line = (place.python, place.function) if place else (None, None)
        found.append(PinnedSegment(start, size, active, *line))
    return tuple(sorted(found, key=lambda s: (s.active_bytes - s.bytes, s.address)))


def starts_empty(state: DeviceState) -> bool:
    """Whether the window begins before anything was reserved, so that it shows every block's allocation."""
    if not len(state.rows):
        return False
    made = ints(state.trace.allocations, "reserved", 0)[state.rows[0]]
    first = state.actions[state.action[0]]
    return bool(made == state.size[0] and first in ("segment_alloc", "segment_map"))
