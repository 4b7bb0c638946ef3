"""What ran at a time, for rows that know their time but not their thread: a memory snapshot's entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints, present
from traceanalyzer.model.tree import enclosing

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Source

    Ints = NDArray[np.int64]

HALF_MICROSECOND_NS = 500
"""Entries carry whole microseconds, rounded down: they happened up to one later."""


def joined_rows(allocations: pa.Table, sources: Sequence[Source]) -> Ints:
    """Entries of snapshots whose time axis is that of a profile of the same rank: both tell the wall clock."""
    snapshots, profiles = (
        {s.rank for s in sources if (s.format == "memory snapshot") == wanted and s.epoch_ns is not None}
        for wanted in (True, False)
    )
    both = sorted(snapshots & profiles)
    if not both:
        return np.zeros(0, np.int64)
    mine = present(allocations, "requested") & present(allocations, "ts")
    return np.flatnonzero(mine & np.isin(ints(allocations, "rank"), both))


def running_at(intervals: pa.Table, lane: Ints, parent: Ints, rank: Ints, at: Ints) -> Ints:
    """The innermost interval at each time, where exactly one thread of that rank had one; else -1.

    Args:
        intervals: ops or Python frames, sorted.
        lane: thread of each interval.
        parent: parent of each interval, from `nest`.
        rank: rank of each query.
        at: time of each query, ns.
    """
    found, threads = np.full(len(at), -1, np.int64), np.zeros(len(at), np.int64)
    start, dur, of_rank = ints(intervals, "ts"), ints(intervals, "dur", 0), ints(intervals, "rank")
    for thread in np.unique(lane[np.isin(of_rank, rank)]).tolist():
        rows = np.flatnonzero(lane == thread)
        mine = np.flatnonzero(rank == of_rank[rows[0]])
        inside = enclosing(
            lane, start, dur, parent, np.full(len(mine), thread), at[mine] + HALF_MICROSECOND_NS
        )
        threads[mine] += inside >= 0
        found[mine] = np.where(inside >= 0, inside, found[mine])
    return np.where(threads == 1, found, -1)
