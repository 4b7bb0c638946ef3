"""Out-of-memory errors: what was asked for, whether it could have fitted, why it did not, what to change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.allocator_settings import segment_bytes
from traceanalyzer.analyzers.oom.causes import Request, causes, changes
from traceanalyzer.analyzers.oom.message import message_ooms
from traceanalyzer.analyzers.oom.told import NOTHING, Told, same_error, told
from traceanalyzer.analyzers.oom.whatif import what_if
from traceanalyzer.analyzers.snapshot.map import segment_map
from traceanalyzer.analyzers.snapshot.results import Cause, Change, DeviceSnapshot, Oom, Ooms, WhatIf
from traceanalyzer.analyzers.snapshot.state import device_states
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.sizes import size as spelled
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from traceanalyzer.analyzers.snapshot.device import DeviceState
    from traceanalyzer.model.trace import Capability, Trace

EXPANDABLE = "expandable_segments:True"


class OomAnalyzer:
    """One row per `oom` entry of a snapshot and per error message in a text."""

    name: ClassVar[str] = "oom"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Ooms:
        """Snapshots first, in the order of rank, device and time."""
        found: list[Oom] = []
        texts_left = trace.oom_messages.to_pylist()
        if "oom" in texts(trace.allocations, "action")[1]:
            for state, device in zip(device_states(trace), results["snapshot"].devices, strict=True):
                found += _of_device(state, device, texts_left)
        return Ooms((*found, *message_ooms(texts_left)))


def _of_device(state: DeviceState, device: DeviceSnapshot, texts_left: list[dict[str, Any]]) -> Iterator[Oom]:
    """The errors of a device; each takes its text, where there is one, from those that are left."""
    column = ints(state.trace.allocations, "device_free")[state.rows]
    for entry in state.positions("oom").tolist():
        free = int(column[entry]) if column[entry] >= 0 else None
        segment = segment_bytes(int(state.size[entry]))
        mine = [row for row in texts_left if same_error(row, state.rank, state.device, segment, free)]
        for row in mine[:1]:
            texts_left.remove(row)
        yield _post_mortem(state, device, entry, free, told(mine[0]) if mine else NOTHING)


def _post_mortem(
    state: DeviceState, device: DeviceSnapshot, entry: int, free_now: int | None, text: Told
) -> Oom:
    requested = int(state.size[entry])
    moment = state.moment("oom", entry)
    pool = state.trace.allocations["pool"][int(state.rows[entry])].as_py()
    free = state.free_after(entry, int(state.stream[entry]), pool)
    place = state.place(int(state.stack[entry]))
    found = causes(state, device, moment, free, Request(requested, segment_bytes(requested), free_now, text))
    fragmented = any(cause.name == "fragmentation" for cause in found)
    tried = (
        what_if(state, EXPANDABLE) if fragmented and len(state.rows) <= thresholds.WHAT_IF_ENTRIES else None
    )
    return Oom(
        source="snapshot",
        rank=state.rank,
        device=state.device,
        entry=entry,
        at_ns=moment.at_ns,
        line=None,
        kind="cuda",
        requested_bytes=requested,
        segment_bytes=segment_bytes(requested),
        device_free_bytes=free_now,
        python=place.python,
        function=place.function,
        annotation=state.annotation_at(entry),
        headline=_headline(requested, place.python, found, free_now, text),
        free=free,
        causes=found,
        changes=tuple(_judged(change, tried) for change in changes(device, moment, found)),
        moment=moment,
        what_if=tried,
        map=segment_map(state, entry),
        capacity_bytes=text.capacity,
        non_pytorch_bytes=text.non_pytorch,
        text_line=text.line,
    )


def _judged(change: Change, tried: WhatIf | None) -> Change:
    """What a replay of the whole run says of a change of settings wins over the bound that free memory gives."""
    if tried is None or tried.peak_reserved_bytes is None or not tried.whole_run:
        return change
    if change.what != f"PYTORCH_CUDA_ALLOC_CONF={EXPANDABLE}":
        return change
    if tried.runs_out:
        return replace(
            change, frees_bytes=0, condition=say("not alone: a replay of this run still runs out of memory")
        )
    freed = max(0, (tried.recorded_peak_reserved_bytes or 0) - tried.peak_reserved_bytes)
    return replace(change, frees_bytes=freed)


def _headline(
    requested: int, python: str | None, found: tuple[Cause, ...], device_free: int | None, text: Told
) -> Text:
    asked = spelled(requested)
    what = (
        say("Out of memory asking for {requested}", requested=asked)
        if python is None
        else say("Out of memory asking for {requested} by {line}", requested=asked, line=python)
    )
    if not found:
        return what
    if found[0].name != "memory_limit" or len(found) == 1 or device_free is None:
        return say("{what}: {why}", what=what, why=found[0].evidence)
    # the limit says where the end is; how it was reached is told by what comes next
    limit = (
        say("the device had {free} free, but a limit or the driver refused more", free=spelled(device_free))
        if text.allowed is None
        else say("this process is allowed {allowed}", allowed=spelled(text.allowed))
    )
    return say("{what}: {why}; {limit}", what=what, why=found[1].evidence, limit=limit)
