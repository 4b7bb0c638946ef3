"""How many events of the host torch's profiler wrote down per step: each of them took the host time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.columns import ints

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.analyzers.results import Step
    from traceanalyzer.model.trace import Capability, Trace

TABLES = ("ops", "python_calls", "api_calls", "allocations")


@dataclass(frozen=True, slots=True)
class Recorded:
    """Events that begin in the host's range of the mean step, by table; empty where another profiler recorded."""

    per_step: Mapping[str, float]

    @property
    def events(self) -> float:
        """All of them together."""
        return sum(self.per_step.values())

    def cost_ns(self, waiting_ns: int) -> tuple[int, int]:
        """What recording them takes of a step in which the device waits so long, at least and at most."""
        least = int(thresholds.RECORDED_EVENT_LEAST_NS * self.events)
        return min(least, waiting_ns), min(int(thresholds.RECORDED_EVENT_MOST_NS * self.events), waiting_ns)


class RecordedAnalyzer:
    """Counts per table."""

    name: ClassVar[str] = "recorded"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Recorded:
        """The counts of the steps of all ranks."""
        steps: tuple[Step, ...] = results["steps"].steps
        if any(source.of_nsys for source in trace.sources):
            return Recorded({})
        return Recorded({name: _count(trace, name, steps) / max(len(steps), 1) for name in TABLES})


def _count(trace: Trace, name: str, steps: tuple[Step, ...]) -> int:
    table, total = trace.tables[name], 0
    if name == "allocations":  # an entry of a snapshot has a size that was asked for
        table = table.filter(table["requested"].is_null())
    start, rank = ints(table, "ts"), ints(table, "rank")
    for number in {step.rank for step in steps}:
        first, last = np.searchsorted(rank, (number, number + 1))
        begun = start[first:last]  # rows are in order of rank and start
        own = [(s.host_start_ns, s.host_end_ns) for s in steps if s.rank == number]
        total += int(np.diff(np.searchsorted(begun, np.array(own, np.int64))).sum())
    return total
