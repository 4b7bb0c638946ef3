"""Laws of interval sets, checked against sets of integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.model import intervals

if TYPE_CHECKING:
    from traceanalyzer.model.intervals import Intervals

Pairs = list[tuple[int, int]]
PAIRS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def make(pairs: Pairs) -> Intervals:
    array = np.array(pairs, np.int64).reshape(-1, 2)
    return intervals.union(array[:, 0], array[:, 1])


def points(pairs: Pairs) -> set[int]:
    return {t for start, end in pairs for t in range(start, end)}


def members(a: Intervals) -> set[int]:
    return points(list(zip(a.start.tolist(), a.end.tolist(), strict=True)))


def same(a: Intervals, b: Intervals) -> bool:
    return np.array_equal(a.start, b.start) and np.array_equal(a.end, b.end)


@given(PAIRS)
def test_union_holds_every_point_once_and_is_normal(pairs: Pairs) -> None:
    a = make(pairs)
    assert members(a) == points(pairs)
    assert intervals.total(a) == len(points(pairs))
    assert (a.start < a.end).all()
    assert (a.start[1:] > a.end[:-1]).all()


@given(PAIRS)
def test_union_is_idempotent(pairs: Pairs) -> None:
    a = make(pairs)
    assert same(intervals.union(a.start, a.end), a)
    assert same(intervals.join(a, a), a)


@given(PAIRS.flatmap(lambda p: st.tuples(st.just(p), st.permutations(p))))
def test_order_does_not_matter(both: tuple[Pairs, Pairs]) -> None:
    assert same(make(both[0]), make(both[1]))


@given(PAIRS, PAIRS)
def test_set_algebra(p: Pairs, q: Pairs) -> None:
    a, b = make(p), make(q)
    assert members(intervals.intersect(a, b)) == points(p) & points(q)
    assert members(intervals.subtract(a, b)) == points(p) - points(q)
    assert members(intervals.join(a, b)) == points(p) | points(q)


@given(PAIRS, PAIRS)
def test_totals_add_up(p: Pairs, q: Pairs) -> None:
    a, b = make(p), make(q)
    total = intervals.total
    assert total(intervals.join(a, b)) == total(a) + total(b) - total(intervals.intersect(a, b))
    assert total(intervals.subtract(a, b)) + total(intervals.intersect(a, b)) == total(a)


@given(PAIRS, st.integers(0, 60), st.integers(0, 60))
def test_clip_and_gaps_tile_the_window(pairs: Pairs, start: int, end: int) -> None:
    a = make(pairs)
    window = set(range(start, end))
    assert members(intervals.clip(a, start, end)) == points(pairs) & window
    assert members(intervals.gaps(a, start, end)) == window - points(pairs)


@given(PAIRS, st.lists(st.tuples(st.integers(-5, 65), st.integers(0, 20)), max_size=5))
def test_covered_counts_the_points_of_each_window(pairs: Pairs, windows: Pairs) -> None:
    start = np.array([w[0] for w in windows], np.int64)
    end = start + np.array([w[1] for w in windows], np.int64)
    expected = [
        len(points(pairs) & set(range(s, e))) for s, e in zip(start.tolist(), end.tolist(), strict=True)
    ]
    assert intervals.covered(make(pairs), start, end).tolist() == expected


@given(PAIRS, st.lists(st.integers(-5, 65), max_size=8))
def test_contains_agrees_with_membership(pairs: Pairs, times: list[int]) -> None:
    found = intervals.contains(make(pairs), np.array(times, np.int64)).tolist()
    assert found == [t in points(pairs) for t in times]
