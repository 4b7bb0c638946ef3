"""Stretches in which a program on the CPU is in no operator for a millisecond and more, and where it is meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers import thresholds

if TYPE_CHECKING:
    from traceanalyzer.analyzers.evidence import Evidence
    from traceanalyzer.model.intervals import Intervals

PLACED = 200
"""Of how many of a rank's longest pauses the place is looked up."""


@dataclass(frozen=True, slots=True)
class HostPause:
    """One stretch: in the annotation `within` for half of it and more, at the line `python` for most of it."""

    rank: int
    start_ns: int
    duration_ns: int
    within: str | None
    python: str | None


def pauses(outside: Intervals, rank: int, thread: int, evidence: Evidence) -> tuple[int, list[HostPause]]:
    """How long all pauses of a rank take together, ns, and its longest ones, the longest first.

    Args:
        outside: when the rank was in no operator and did nothing else that has a name.
        rank: its number.
        thread: the one that runs the steps.
        evidence: what knows the rows of a moment.
    """
    length = outside.end - outside.start
    long = np.flatnonzero(length >= thresholds.LONG_PAUSE_NS)
    longest = long[np.argsort(-length[long], kind="stable")][:PLACED]
    found = []
    for start, end in zip(outside.start[longest].tolist(), outside.end[longest].tolist(), strict=True):
        within, python = evidence.host_call(thread, start, end), evidence.python_line(thread, start, end)
        found.append(HostPause(rank, start, end - start, within, python))
    return int(length[long].sum()), found
