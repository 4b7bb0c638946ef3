"""The profiler's [memory] events: the curve, its peak, and who allocated what is live at the peak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.evidence import origin
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.results import Holder, Memory, MemoryTimeline
from traceanalyzer.analyzers.snapshot_state import timeline
from traceanalyzer.model.columns import ints, present, texts
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.tree import inherit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]

MAX_POINTS = 2000
MAX_HOLDERS = 200
_MAKERS = ("aten::empty", "aten::resize", "aten::set_", "aten::_efficientzerotensor")
"""Ops that only make storage: the op around them says what the memory is for."""


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
        owner = _Owners(trace)
        groups = group_rows(rank[events], kind[events].astype(np.int64), device[events])
        lines = [
            _timeline(trace, owner, rows, kinds[kind[rows[0]]] if kind[rows[0]] >= 0 else "unknown")
            for rows in (events[mine] for mine in groups)
        ]
        lines += snapshots
        lines.sort(key=lambda t: (t.device_type == "cpu", t.rank, t.device_type, t.device))
        return Memory(tuple(lines))


def _timeline(trace: Trace, owner: _Owners, rows: Ints, device_type: str) -> MemoryTimeline:
    table = trace.allocations
    ts, size = ints(table, "ts")[rows], ints(table, "bytes", 0)[rows]
    allocated = _known(trace, "allocated", rows)
    reserved = _known(trace, "reserved", rows)
    peak = None if allocated is None else int(allocated.argmax())
    live = rows[:0] if peak is None else rows[_live(ints(table, "address", 0)[rows], size, peak)]
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


class _Owners:
    """Who asked for memory: the op that needed it, its module, the user's line and the range around it."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        op_name, self.op_names = texts(trace.ops, "name")
        maker = np.array([*(n.startswith(_MAKERS) for n in self.op_names), False])[op_name]
        named = np.where(maker, -1, np.arange(len(op_name)))
        self.op = inherit(ints(trace.ops, "parent"), ints(trace.ops, "depth"), named)
        self.op_name = op_name.astype(np.int64)
        file, self.files = texts(trace.python_calls, "file")
        users = np.array([*(origin(path) != "core" for path in self.files), False])[file]
        self.frame = inherit(
            ints(trace.python_calls, "parent"),
            ints(trace.python_calls, "depth"),
            np.where(users, np.arange(len(file)), -1),
        )
        self.file, self.line = file.astype(np.int64), ints(trace.python_calls, "line")

    def holders(self, rows: Ints) -> tuple[Holder, ...]:
        """The given allocations by owner, largest first."""
        if not len(rows):
            return ()
        table = self.trace.allocations
        innermost = ints(table, "op")[rows]
        op = np.where(innermost >= 0, self.op[innermost], -1) if len(self.op) else innermost
        op = np.where((op < 0) & (innermost >= 0), innermost, op)
        name = np.where(op >= 0, self.op_name[op], -1) if len(self.op_name) else op
        call = ints(table, "python_call")[rows]
        frame = np.where(call >= 0, self.frame[call], -1) if len(self.frame) else call
        module, modules = texts(table, "module")
        size = ints(table, "bytes", 0)[rows]
        key = codes_of(name + 1, frame + 1, module[rows].astype(np.int64) + 1)
        found = [
            Holder(
                bytes=int(size[mine].sum()),
                count=len(mine),
                op=self.op_names[name[mine[0]]] if name[mine[0]] >= 0 else None,
                module=modules[module[rows[mine[0]]]] if module[rows[mine[0]]] >= 0 else None,
                python=self._line(int(frame[mine[0]])),
                name=None,
            )
            for mine in group_rows(key)
        ]
        found.sort(key=lambda h: (-h.bytes, h.op or "", h.module or "", h.python or ""))
        return tuple(found[:MAX_HOLDERS])

    def _line(self, frame: int) -> str | None:
        return None if frame < 0 else f"{self.files[self.file[frame]]}:{self.line[frame]}"
