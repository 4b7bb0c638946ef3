"""A rank that was recorded several times, one recording after the other: nothing is known of the time in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Recording:
    """One of several recordings of a rank, from the first to the last start of a row: ns on the trace's axis.

    `source` is the number of its file among the trace's sources.
    """

    rank: int
    source: int
    start_ns: int
    end_ns: int


def recording_at(recordings: Sequence[Recording], rank: Ints, at: Ints) -> Ints:
    """The number of the recording of its rank that each time belongs to, from 0; shape (times,).

    A recording lasts until the next one of its rank begins. Of a rank that was recorded once it is 0.

    Args:
        recordings: in the order of ranks and starts.
        rank: of each time.
        at: times on the trace's axis, ns.
    """
    number = np.zeros(len(at), np.int64)
    for one in sorted({r.rank for r in recordings}):
        rows = np.flatnonzero(rank == one)
        starts = [r.start_ns for r in recordings if r.rank == one]
        number[rows] = np.searchsorted(starts[1:], at[rows], side="right")
    return number


def part_of(recordings: Sequence[Recording], rank: Ints, at: Ints) -> Ints:
    """A number for the rank and the recording of each row: ids that the profiler counts are told apart by it."""
    if not recordings:
        return rank
    return rank * len(recordings) + recording_at(recordings, rank, at)
