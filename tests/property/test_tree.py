"""Nesting agrees with a plain stack, whatever the intervals."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.model.tree import enclosing, inherit, nest, self_times

INTERVALS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40), st.integers(0, 15)), max_size=40)


def columns(intervals: list[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    intervals = sorted(intervals, key=lambda i: (i[1], -i[2]))
    array = np.array(intervals, np.int64).reshape(-1, 3)
    return array[:, 0], array[:, 1], array[:, 2]


def by_stack(lane: np.ndarray, start: np.ndarray, duration: np.ndarray) -> list[int]:
    """The parent by definition: the last interval on the lane that is still open, clipped to its own parent."""
    parents = []
    stacks: dict[int, list[tuple[int, float]]] = {}
    for row, (number, at, length) in enumerate(zip(lane, start, duration, strict=True)):
        stack = stacks.setdefault(int(number), [])
        end = at + (length or 0.5)
        while stack and stack[-1][1] <= at:
            stack.pop()
        parents.append(stack[-1][0] if stack else -1)
        stack.append((row, min(end, stack[-1][1]) if stack else end))
    return parents


@given(INTERVALS)
def test_parents_are_those_of_a_stack(intervals: list[tuple[int, int, int]]) -> None:
    lane, start, duration = columns(intervals)
    parent, depth = nest(lane, start, duration)
    assert parent.tolist() == by_stack(lane, start, duration)
    for row, above in enumerate(parent):
        assert depth[row] == (0 if above < 0 else depth[above] + 1)


def test_times_may_be_as_far_apart_as_the_reader_lets_them() -> None:
    start = np.array([0, 1, 1 << 62], np.int64)
    parent, depth = nest(np.zeros(3, np.int64), start, np.array([10, 5, 1 << 61], np.int64))
    assert (parent.tolist(), depth.tolist()) == ([-1, 0, -1], [0, 1, 0])


@given(INTERVALS)
def test_self_times_of_a_tree_sum_to_the_roots(intervals: list[tuple[int, int, int]]) -> None:
    lane, start, duration = columns(intervals)
    parent, _ = nest(lane, start, duration)
    inside = np.array([duration[parent == row].sum() <= duration[row] for row in range(len(lane))], bool)
    if inside.all():
        assert self_times(parent, duration).sum() == duration[parent < 0].sum()


@given(INTERVALS, st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 60)), max_size=20))
def test_enclosing_finds_an_open_interval_whenever_there_is_one(
    intervals: list[tuple[int, int, int]], queries: list[tuple[int, int]]
) -> None:
    lane, start, duration = columns(intervals)
    parent, _ = nest(lane, start, duration)
    points = np.array(queries, np.int64).reshape(-1, 2)
    found = enclosing(lane, start, duration, parent, points[:, 0], points[:, 1])
    for (number, at), row in zip(points, found, strict=True):
        if row >= 0:
            assert lane[row] == number
            assert start[row] <= at <= start[row] + duration[row]


def test_inherit_takes_the_nearest_value_above() -> None:
    parent = np.array([-1, 0, 1, 1, -1])
    depth = np.array([0, 1, 2, 2, 0])
    assert inherit(parent, depth, np.array([5, -1, -1, 7, -1])).tolist() == [5, 5, 5, 7, -1]


def test_intervals_that_overlap_without_nesting_are_clipped_top_down() -> None:
    lane, start, duration = columns([(0, 0, 2), (0, 1, 2), (0, 1, 2), (0, 2, 2), (0, 3, 0)])
    parent, _ = nest(lane, start, duration)
    assert parent.tolist() == [-1, 0, 1, -1, 3]
