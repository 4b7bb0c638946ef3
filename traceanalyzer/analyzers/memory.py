"""The profiler's [memory] events: the curve, its peak, and who allocated what is live at the peak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.owners import Owners
from traceanalyzer.analyzers.results import Memory, MemoryTimeline
from traceanalyzer.analyzers.snapshot.state import timeline
from traceanalyzer.model.columns import ints, present, texts
from traceanalyzer.model.recordings import recording_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]

MAX_POINTS = 2000


class MemoryAnalyzer:
    """One timeline per rank and device, also for the CPU."""

    name: ClassVar[str] = "memory"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Memory:
        """Timelines with an accelerator's first, each with its holders at the peak."""
        table = trace.allocations
        snapshots = [timeline(device) for device in results["snapshot"].devices]
        events = np.flatnonzero(~present(table, "requested"))  # what snapshots recorded has sizes asked for
        if not len(events):
            return Memory(tuple(snapshots))
        kind, kinds = texts(table, "device_type")
        rank, device = ints(table, "rank"), ints(table, "device")
        owner = Owners(trace)
        groups = group_rows(rank[events], kind[events].astype(np.int64), device[events])
        lines = [
            _timeline(trace, owner, rows, kinds[kind[rows[0]]] if kind[rows[0]] >= 0 else "unknown")
            for rows in (events[mine] for mine in groups)
        ]
        lines += snapshots
        lines.sort(key=lambda t: (t.device_type == "cpu", t.rank, t.device_type, t.device))
        return Memory(tuple(lines))


def _timeline(trace: Trace, owner: Owners, rows: Ints, device_type: str) -> MemoryTimeline:
    table = trace.allocations
    ts, size = ints(table, "ts")[rows], ints(table, "bytes", 0)[rows]
    allocated = _known(trace, "allocated", rows)
    reserved = _known(trace, "reserved", rows)
    peak = None if allocated is None else int(allocated.argmax())
    live = rows[:0]
    if peak is not None:  # what came and went between two recordings is not known
        recording = recording_at(trace.recordings, ints(table, "rank")[rows], ts)
        first = int(np.searchsorted(recording, recording[peak]))
        live = rows[first:][_live(ints(table, "address", 0)[rows[first:]], size[first:], peak - first)]
    return MemoryTimeline(
        rank=int(ints(table, "rank")[rows[0]]),
        device_type=device_type,
        device=int(ints(table, "device")[rows[0]]),
        events=len(rows),
        peak_allocated_bytes=None if allocated is None or peak is None else int(allocated[peak]),
        peak_allocated_ns=None if peak is None else int(ts[peak]),
        peak_reserved_bytes=None if reserved is None else int(reserved.max()),
        points=_thinned(ts, allocated, reserved),
        live_at_peak=owner.holders(live),
        accounted_bytes=int(ints(table, "bytes", 0)[live].sum()),
    )


def _known(trace: Trace, column: str, rows: Ints) -> Ints | None:
    """The running total; None when the source gave none, or only zeros, as it does for the CPU."""
    table = trace.allocations
    if not present(table, column)[rows].all():
        return None
    values = ints(table, column)[rows]
    return values if values.any() else None


def _live(address: Ints, size: Ints, peak: int) -> Ints:
    """Positions of allocations up to the peak that are not released up to the peak."""
    here = np.arange(peak + 1)
    order = np.lexsort((here, address[: peak + 1]))
    last_of_address = np.append(address[order][1:] != address[order][:-1], True)
    final = order[last_of_address]
    return np.sort(final[size[final] > 0])


def _thinned(
    ts: Ints, allocated: Ints | None, reserved: Ints | None
) -> tuple[tuple[int, int | None, int | None], ...]:
    """At most MAX_POINTS points; of each stretch, the first, the extremes and the last are kept."""
    keep = np.arange(len(ts))
    if len(ts) > MAX_POINTS:
        stretches = np.array_split(keep, MAX_POINTS // 4)
        curve = allocated if allocated is not None else np.zeros(len(ts), np.int64)
        keep = np.unique(
            [i for s in stretches for i in (s[0], s[curve[s].argmin()], s[curve[s].argmax()], s[-1])]
        )
    columns = [None if c is None else c[keep].tolist() for c in (allocated, reserved)]
    return tuple(
        (at, *(None if c is None else c[i] for c in columns)) for i, at in enumerate(ts[keep].tolist())
    )
