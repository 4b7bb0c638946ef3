"""What the host spends the steps on in a trace without device work: there no idle device tells of it.

Looked at is the thread of each rank that is in ranges and ops for most time, together with the threads that run its
backward nodes. Where two kinds overlap, the one that comes first in `KINDS` counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.host import HostActivity
from traceanalyzer.model.columns import ints
from traceanalyzer.model.intervals import Intervals, contains, covered, join, subtract, union

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.results import Step
    from traceanalyzer.model.trace import Capability, Trace

KINDS = ("gc", "compile", "dataloader", "optimizer", "autograd", "ops", "outside_ops")
"""`ops` are those outside of the others; what is in none of all these is Python, or waits."""


@dataclass(frozen=True, slots=True)
class HostTimeRow:
    """One kind of work of `KINDS`: ns within the steps, summed over ranks, and that as a part of the steps."""

    kind: str
    total_ns: int
    share: float


@dataclass(frozen=True, slots=True)
class HostTime:
    """The kinds that occur, most time first; they add up to the steps.

    `optimizer_ops` is how many ops an optimizer's step runs one after the other; None where no optimizer steps.
    """

    rows: tuple[HostTimeRow, ...]
    optimizer_ops: float | None = None

    def of(self, kind: str) -> HostTimeRow:
        """One kind, with no time where it does not occur."""
        return next((row for row in self.rows if row.kind == kind), HostTimeRow(kind, 0, 0.0))


class HostTimeAnalyzer:
    """Empty for a trace with device work, and for one without ops."""

    name: ClassVar[str] = "host_time"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> HostTime:
        """The time of all ranks."""
        steps: tuple[Step, ...] = results["steps"].steps
        whole = sum(step.duration_ns for step in steps)
        if trace.kernels.num_rows or trace.copies.num_rows or not trace.ops.num_rows or not whole:
            return HostTime(())
        host, time = HostActivity.of(trace), dict.fromkeys(KINDS, 0)
        outermost = ints(trace.ops, "depth") == 0
        ops, updates = 0, 0
        for rank in sorted({step.rank for step in steps}):
            crew = _crew(host, rank)
            spent = _activity(host, crew)
            start, end = _windows(steps, rank)
            for kind, when in spent.items():
                time[kind] += int(covered(when, start, end).sum())
            own = outermost & np.isin(host.ops.thread, sorted(crew))
            ops += int(contains(spent["optimizer"], host.ops.start[own]).sum())
            updates += len(spent["optimizer"].start)
        time["outside_ops"] = whole - sum(time.values())
        rows = (HostTimeRow(kind, ns, ns / whole) for kind, ns in time.items() if ns)
        return HostTime(
            tuple(sorted(rows, key=lambda row: -row.total_ns)), ops / updates if updates else None
        )


def _windows(steps: tuple[Step, ...], rank: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    own = [step for step in steps if step.rank == rank]
    return np.array([s.start_ns for s in own], np.int64), np.array([s.window_end_ns for s in own], np.int64)


def _activity(host: HostActivity, crew: frozenset[int]) -> dict[str, Intervals]:
    """When a crew did each kind of work but the last; the sets do not overlap."""
    activity = host.activity(crew)
    found = {kind: activity[kind] for kind in KINDS if kind in activity}
    mine = np.isin(host.ops.thread, sorted(crew))
    ops = union(host.ops.start[mine], host.ops.end[mine])
    return found | {"ops": subtract(ops, join(*found.values()))}


def _crew(host: HostActivity, rank: int) -> frozenset[int]:
    """The thread of a rank that is in ranges and ops for most time, and those that run its backward nodes."""
    time: dict[int, int] = {}
    for rows in (host.annotations, host.ops):
        threads, number = np.unique(rows.thread, return_inverse=True)
        spent = np.zeros(len(threads), np.int64)
        np.add.at(spent, number, rows.end - rows.start)
        for thread, ns in zip(threads.tolist(), spent.tolist(), strict=True):
            if thread >= 0 and host.process[thread][0] == rank:
                time[thread] = time.get(thread, 0) + ns
    if not time:
        return frozenset()
    main = max(time, key=lambda thread: time[thread])
    backward = (t for t in host.autograd_threads if host.process[t] == host.process[main])
    return frozenset({main, *backward})
