"""The idle gaps of the timeline, with the causes that the breakdown found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.model.columns import ints, present
from traceanalyzer.model.recordings import recording_at
from traceanalyzer.reporters import units
from traceanalyzer.reporters.timeline.events import of_rank
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace
    from traceanalyzer.rules.analysis import Analysis

    Ints = NDArray[np.int64]

MAX_GAPS = 20_000  # idle gaps per device; the longest stay


def gaps_of(analysis: Analysis) -> list[dict[str, Any]]:
    """Idle gaps per device, the longest ones, with the cause where the breakdown names it."""
    breakdown = analysis.results.get("breakdown")
    if breakdown is None:
        return []
    found = []
    for device in breakdown.devices:
        of_device = [g for g in breakdown.largest_gaps if g.rank == device.rank and g.device == device.device]
        causes = {g.start_ns: g.cause for g in of_device}
        start, dur = _idle(analysis.trace, device.rank, device.device)
        longest = np.sort(np.argsort(-dur, kind="stable")[:MAX_GAPS])
        known = sorted((g.start_ns, g.duration_ns) for g in of_device)
        unnamed = _apart(start[longest], dur[longest], known)
        ordered = sorted([*known, *unnamed])
        found.append({
            "of": f"{of_rank(analysis, device.rank)}GPU {device.device}",
            "left_out": len(dur) - len(longest),
            "start": [s for s, _ in ordered],
            "dur": [d for _, d in ordered],
            "cause": [causes.get(s) for s, _ in ordered],
        })  # fmt: skip
    return found


def _apart(start: Ints, dur: Ints, known: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The gaps that no known gap (sorted, apart from each other) overlaps, as (start, duration)."""
    known_start = np.array([s for s, _ in known], np.int64)
    known_end = known_start + np.array([d for _, d in known], np.int64)
    after = np.searchsorted(known_end, start, side="right")
    next_start = np.append(known_start, np.iinfo(np.int64).max)[after]
    free = np.flatnonzero(next_start >= start + dur)
    return list(zip(start[free].tolist(), dur[free].tolist(), strict=True))


def _idle(trace: Trace, rank: int, device: int) -> tuple[Ints, Ints]:
    """Start and length of every stretch between two pieces of work of a recording in which no stream had any."""
    starts, ends = [], []
    for name in ("kernels", "copies"):
        table = trace.tables[name]
        here = (ints(table, "rank") == rank) & (ints(table, "device") == device) & present(table, "ts")
        start = ints(table, "ts")[here]
        starts.append(start)
        ends.append(start + np.maximum(ints(table, "dur", 0)[here], 0))
    start, end = np.concatenate(starts), np.concatenate(ends)
    order = np.argsort(start, kind="stable")
    start, busy_until = start[order], np.maximum.accumulate(end[order])
    gap = start[1:] - busy_until[:-1]
    recording = recording_at(trace.recordings, np.full(len(start), rank), start)
    idle = np.flatnonzero((gap > 0) & (np.diff(recording) == 0))
    return busy_until[idle], gap[idle]


def notes_of(gaps: list[dict[str, Any]]) -> list[Text]:
    """How many gaps were too many."""
    left_out = sum(gap["left_out"] for gap in gaps)
    return (
        [say("{count} shorter idle {count:gap is|gaps are} not drawn.", count=units.count(left_out))]
        if left_out
        else []
    )
