"""What holds the host up within the steps of a trace without device work: there no idle device tells of it.

Looked at is the thread of each rank that is in ranges and ops for most time, together with the threads that run its
backward nodes. Where two kinds overlap, the one that comes first in `host.STALLS` counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.host import HostActivity
from traceanalyzer.model.columns import ints
from traceanalyzer.model.intervals import contains, covered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.analyzers.results import Step
    from traceanalyzer.model.trace import Capability, Trace

KINDS = ("dataloader", "gc", "compile", "optimizer")


@dataclass(frozen=True, slots=True)
class Stalls:
    """Time by kind within the steps, and the time of the steps: ns and sums over ranks.

    `optimizer_ops` is how many ops an optimizer's step runs one after the other; None where no optimizer steps.
    """

    total_ns: Mapping[str, int]
    steps_ns: int
    optimizer_ops: float | None = None

    def share(self, kind: str) -> float:
        """The part of the steps that a kind takes."""
        return self.total_ns.get(kind, 0) / self.steps_ns if self.steps_ns else 0.0


class StallsAnalyzer:
    """Of the optimizer it is the time that a fused one would save part of. Empty for a trace with device work."""

    name: ClassVar[str] = "stalls"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Stalls:
        """The stalls of all ranks."""
        steps: tuple[Step, ...] = results["steps"].steps
        if trace.kernels.num_rows or trace.copies.num_rows:
            return Stalls({}, 0)
        host, total = HostActivity.of(trace), dict.fromkeys(KINDS, 0)
        outermost = ints(trace.ops, "depth") == 0
        ops, updates = 0, 0
        for rank in sorted({step.rank for step in steps}):
            own = [step for step in steps if step.rank == rank]
            start = np.array([step.start_ns for step in own], np.int64)
            end = np.array([step.window_end_ns for step in own], np.int64)
            crew = _crew(host, rank)
            activity = host.activity(crew)
            for kind in KINDS:
                total[kind] += int(covered(activity[kind], start, end).sum())
            own_ops = outermost & np.isin(host.ops.thread, sorted(crew))
            ops += int(contains(activity["optimizer"], host.ops.start[own_ops]).sum())
            updates += len(activity["optimizer"].start)
        return Stalls(total, sum(step.duration_ns for step in steps), ops / updates if updates else None)


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
