"""Memory over time, for the chart below the timeline: the curves of the profiler's events and of snapshots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traceanalyzer.analyzers.snapshot.state import timeline
from traceanalyzer.reporters.timeline.events import of_rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.analyzers.results import MemoryTimeline
    from traceanalyzer.rules.analysis import Analysis

MAX_CURVES = 8


@dataclass(frozen=True, slots=True)
class Curve:
    """One device's allocated and reserved bytes; `timed` is False where a snapshot's entries carry no times."""

    label: str
    timeline: MemoryTimeline
    timed: bool

    @property
    def extent(self) -> tuple[int, int]:
        """First and last moment, ns (or µs per entry)."""
        return self.timeline.points[0][0], self.timeline.points[-1][0]

    def packed(self, origin: int) -> dict[str, Any]:
        """As the page's script takes it, times from `origin`."""
        at, allocated, reserved = zip(*self.timeline.points, strict=True)
        return {
            "label": self.label,
            "at": [t - origin for t in at],
            "allocated": list(allocated),
            "reserved": list(reserved),
        }


def curves_of(analysis: Analysis, whole: Sequence[int] = ()) -> list[Curve]:
    """The curves that have totals, accelerators first; of many those of the ranks in `whole` before all."""
    memory = analysis.results.get("memory")
    snapshot = analysis.results.get("snapshot")
    untimed = [timeline(device) for device in snapshot.devices if not device.timed] if snapshot else []
    found = [
        Curve(_label(analysis, line), line, line not in untimed)
        for line in (memory.timelines if memory else ())
        if len(line.points) > 1 and any(level is not None for point in line.points for level in point[1:])
    ]
    if len(found) > MAX_CURVES:
        found.sort(key=lambda curve: curve.timeline.rank not in whole)
    return found[:MAX_CURVES]


def _label(analysis: Analysis, line: MemoryTimeline) -> str:
    device = "CPU" if line.device_type == "cpu" else f"GPU {line.device}"
    return f"{of_rank(analysis, line.rank)}{device}"
