"""What the host spends the steps on in a trace without device work: there no idle device tells of it.

Looked at is the thread of each rank that is in ranges and ops for most time, together with the threads that run its
backward nodes. Where two kinds overlap, the one that comes first in `KINDS` counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.evidence import Evidence
from traceanalyzer.analyzers.host import HostActivity
from traceanalyzer.analyzers.host_pauses import HostPause, pauses
from traceanalyzer.model.columns import ints
from traceanalyzer.model.intervals import Intervals, contains, covered, join, subtract, union

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.analyzers.results import Step
    from traceanalyzer.model.trace import Capability, Trace

KINDS = ("gc", "compile", "dataloader", "host_communication", "optimizer", "autograd", "ops", "outside_ops")
"""`ops` are those outside of the others; what is in none of all these is Python, or waits."""


@dataclass(frozen=True, slots=True)
class HostTimeRow:
    """One kind of work of `KINDS`: ns within the steps, summed over ranks, that as a part of the steps, and by step."""

    kind: str
    total_ns: int
    share: float
    step_ns: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class HostTime:
    """The kinds that occur, most time first; they add up to the steps.

    `optimizer_ops` is how many ops an optimizer's step runs one after the other; None where no optimizer steps.
    `pause_ns` is the part of the time outside of ops that comes in stretches of `thresholds.LONG_PAUSE_NS` and more,
    of which `pauses` are the longest.
    """

    rows: tuple[HostTimeRow, ...]
    optimizer_ops: float | None = None
    pause_ns: int = 0
    pauses: tuple[HostPause, ...] = ()

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
        whole = results["steps"].total_ns
        if trace.kernels.num_rows or trace.copies.num_rows or not trace.ops.num_rows or not whole:
            return HostTime(())
        host = HostActivity.of(trace)
        outermost = ints(trace.ops, "depth") == 0
        by_step = {kind: np.zeros(len(steps), np.int64) for kind in KINDS}
        ops = updates = pause_ns = 0
        longest: list[HostPause] = []
        evidence = Evidence(trace, host)
        for rank in sorted({step.rank for step in steps}):
            thread, crew = _crew(host, rank)
            spent = _activity(host, crew)
            own = np.flatnonzero([step.rank == rank for step in steps])
            start = np.array([steps[i].start_ns for i in own], np.int64)
            end = np.array([steps[i].window_end_ns for i in own], np.int64)
            for kind, when in spent.items():
                by_step[kind][own] = covered(when, start, end)
            outside = subtract(union(start, end), join(*spent.values()))
            paused, places = pauses(outside, rank, thread, evidence)
            pause_ns += paused
            longest += places
            mine = outermost & np.isin(host.ops.thread, sorted(crew))
            ops += int(contains(spent["optimizer"], host.ops.start[mine]).sum())
            updates += len(spent["optimizer"].start)
        length = np.array([step.duration_ns for step in steps], np.int64)
        by_step["outside_ops"] = length - sum(by_step.values())
        rows = (
            HostTimeRow(kind, int(ns.sum()), int(ns.sum()) / whole, tuple(ns.tolist()))
            for kind, ns in by_step.items()
            if ns.any()
        )
        return HostTime(
            tuple(sorted(rows, key=lambda row: -row.total_ns)),
            ops / updates if updates else None,
            pause_ns,
            tuple(sorted(longest, key=lambda pause: -pause.duration_ns)),
        )


def _activity(host: HostActivity, crew: frozenset[int]) -> dict[str, Intervals]:
    """When a crew did each kind of work but the last; the sets do not overlap."""
    activity = host.activity(crew)
    found = {kind: activity[kind] for kind in KINDS if kind in activity}
    mine = np.isin(host.ops.thread, sorted(crew))
    ops = union(host.ops.start[mine], host.ops.end[mine])
    return found | {"ops": subtract(ops, join(*found.values()))}


def _crew(host: HostActivity, rank: int) -> tuple[int, frozenset[int]]:
    """The thread of a rank that is in ranges and ops for most time; then with those that run its backward nodes."""
    time: dict[int, int] = {}
    annotated = host.annotations.thread.copy()
    annotated[host.collectives[0]] = -1  # on threads that do nothing else
    for rows, thread_of in ((host.annotations, annotated), (host.ops, host.ops.thread)):
        threads, number = np.unique(thread_of, return_inverse=True)
        spent = np.zeros(len(threads), np.int64)
        np.add.at(spent, number, rows.end - rows.start)
        for thread, ns in zip(threads.tolist(), spent.tolist(), strict=True):
            if thread >= 0 and host.process[thread][0] == rank:
                time[thread] = time.get(thread, 0) + ns
    if not time:
        return -1, frozenset()
    main = max(time, key=lambda thread: time[thread])
    backward = (t for t in host.autograd_threads if host.process[t] == host.process[main])
    return main, frozenset({main, *backward})
