"""Sets of time on small examples; the laws are in tests/property."""

import numpy as np
import pytest

from traceanalyzer.model import intervals
from traceanalyzer.model.intervals import Intervals


def make(*pairs: tuple[int, int]) -> Intervals:
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return intervals.union(array[:, 0], array[:, 1])


def pairs(a: Intervals) -> list[tuple[int, int]]:
    return list(zip(a.start.tolist(), a.end.tolist(), strict=True))


def test_union_merges_what_overlaps_or_touches_and_drops_what_is_empty() -> None:
    assert pairs(make((5, 9), (0, 3), (3, 4), (7, 12), (20, 20), (30, 25))) == [(0, 4), (5, 12)]


def test_a_long_interval_covers_short_ones_that_start_later() -> None:
    assert pairs(make((0, 100), (10, 20), (90, 101))) == [(0, 101)]


def test_intersect_and_subtract() -> None:
    a, b = make((0, 10), (20, 30)), make((5, 25), (28, 29))
    assert pairs(intervals.intersect(a, b)) == [(5, 10), (20, 25), (28, 29)]
    assert pairs(intervals.subtract(a, b)) == [(0, 5), (25, 28), (29, 30)]


def test_touching_sets_do_not_intersect() -> None:
    assert pairs(intervals.intersect(make((0, 10)), make((10, 20)))) == []


def test_gaps_include_both_ends_of_the_window() -> None:
    assert pairs(intervals.gaps(make((2, 4), (6, 50)), 0, 10)) == [(0, 2), (4, 6)]
    assert pairs(intervals.gaps(make((2, 4)), 0, 10)) == [(0, 2), (4, 10)]
    assert pairs(intervals.gaps(intervals.empty(), 3, 9)) == [(3, 9)]


@pytest.mark.parametrize(
    ("time", "before"), [(-1, 0), (0, 0), (4, 4), (10, 10), (15, 10), (21, 11), (99, 20)]
)
def test_elapsed_counts_what_lies_before(time: int, before: int) -> None:
    assert intervals.elapsed(make((0, 10), (20, 30)), np.array([time])).tolist() == [before]


def test_contains_is_half_open() -> None:
    assert intervals.contains(make((2, 4)), np.array([1, 2, 3, 4])).tolist() == [False, True, True, False]
