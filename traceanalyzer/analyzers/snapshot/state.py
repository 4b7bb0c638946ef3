"""Memory snapshots: the curve, its peak, who holds memory, what grows and what lies unused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.results import Holder, MemoryTimeline
from traceanalyzer.analyzers.snapshot.categories import Categories
from traceanalyzer.analyzers.snapshot.device import DeviceState
from traceanalyzer.analyzers.snapshot.map import composition, segment_map
from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot, Snapshot
from traceanalyzer.analyzers.snapshot.stacks import StackTable, in_backward
from traceanalyzer.analyzers.snapshot.steps import (
    churn,
    growth,
    pinned_segments,
    starts_empty,
    step_peaks,
    step_starts,
    step_unused,
)
from traceanalyzer.model.columns import ints, present

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from traceanalyzer.model.trace import Capability, Trace

MAX_POINTS = 2000


class SnapshotAnalyzer:
    """One result per rank and device of the snapshots in a trace."""

    name: ClassVar[str] = "snapshot"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Snapshot:  # noqa: ARG002
        """Devices in the order of rank and index."""
        return Snapshot(tuple(_device(state) for state in device_states(trace)))


def device_states(trace: Trace) -> Iterator[DeviceState]:
    """Every rank and device that a snapshot tells of."""
    stacks = StackTable(trace)
    categories = Categories(stacks)
    segments, rows = trace.segments, trace.allocations
    mine = present(rows, "requested")
    found = {*zip(ints(segments, "rank").tolist(), ints(segments, "device").tolist(), strict=True)}
    found |= {*zip(ints(rows, "rank")[mine].tolist(), ints(rows, "device")[mine].tolist(), strict=True)}
    for rank, device in sorted(found):
        yield DeviceState(trace, rank, device, stacks, categories)


def _device(state: DeviceState) -> DeviceSnapshot:
    entries = len(state.rows)
    end = state.moment("end", None)
    highest = int(state.reserved.max()) if entries else end.reserved_bytes
    grows = growth(state)
    stacks = [g.stack for g in grows if g.category != "kv_cache" and g.stack is not None]
    used = {s for s in state.block_stack.tolist() if s >= 0}
    return DeviceSnapshot(
        rank=state.rank,
        device=state.device,
        entries=entries,
        complete=starts_empty(state),
        timed=state.timed,
        points=_points(state),
        peak_reserved_bytes=max(highest, end.reserved_bytes),
        peak=state.moment("peak", state.peak_entry),
        end=end,
        free_at_end=state.free_after(None),
        growth=grows,
        growth_python=state.stacks.place_of_all(stacks).python if stacks else None,
        pinned=pinned_segments(state),
        churn=churn(state),
        step_peaks=step_peaks(state),
        step_unused=step_unused(state),
        step_starts_ns=step_starts(state),
        backward_seen=any(in_backward(state.stacks.frames(s)) for s in used),
        settings=_chosen(state.settings),
        composition=composition(state),
        map_at_end=segment_map(state, None),
        map_at_peak=segment_map(state, state.peak_entry),
    )


def _chosen(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The allocator's settings that differ from its defaults."""
    defaults: tuple[object, ...] = (None, "", False, 0, -1, 1, {})
    return tuple(sorted((k, str(v)) for k, v in settings.items() if v is True or v not in defaults))


def _points(state: DeviceState) -> tuple[tuple[int, int, int, int, int], ...]:
    """At most MAX_POINTS points; of each stretch the first, the extremes and the last are kept."""
    count = len(state.rows)
    keep = np.arange(count)
    if count > MAX_POINTS:
        edges = np.linspace(0, count, MAX_POINTS // 4 + 1).astype(np.int64)
        keep = np.unique(
            [
                i
                for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
                for i in (low, low + int(state.active[low:high].argmin()),
                          low + int(state.active[low:high].argmax()), high - 1)
            ]
        )  # fmt: skip
    at = state.ts if state.timed else np.arange(count)
    columns = (at, state.allocated, state.active, state.requested, state.reserved)
    return tuple(zip(*(c[keep].tolist() for c in columns), strict=True))


def timeline(device: DeviceSnapshot) -> MemoryTimeline:
    """A snapshot's device in the form of the profiler's memory events.

    Without times an entry counts as one microsecond, and the peak has no time.
    """
    holders = tuple(
        Holder(h.bytes, h.count, h.op, h.module, h.python, h.annotation) for h in device.peak.holders
    )
    scale = 1 if device.timed else 1000
    return MemoryTimeline(
        rank=device.rank,
        device_type="cuda",
        device=device.device,
        events=device.entries,
        peak_allocated_bytes=device.peak.allocated_bytes,
        peak_allocated_ns=device.peak.at_ns,
        peak_reserved_bytes=device.peak_reserved_bytes,
        points=tuple((p[0] * scale, p[1], p[4]) for p in device.points),
        live_at_peak=tuple(
            h for h, own in zip(holders, device.peak.holders, strict=True) if own.stack is not None
        ),
        accounted_bytes=device.peak.active_bytes - device.peak.unseen_bytes,
    )
