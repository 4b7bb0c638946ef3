"""Sets of time: half-open intervals [start, end) as two int64 arrays, in ns.

A set is *normal* when its intervals are sorted, not empty, and neither overlap nor touch. `union` makes any
bag of intervals normal; the other functions take normal sets and return normal sets. All arithmetic is on
integers, so parts add up to the whole exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Intervals(NamedTuple):
    """Interval i is [start[i], end[i]); both of shape (intervals,)."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]


def empty() -> Intervals:
    """The set of no time."""
    nothing = np.empty(0, np.int64)
    return Intervals(nothing, nothing)


def union(start: NDArray[np.int64], end: NDArray[np.int64]) -> Intervals:
    """The normal set of all time that any of the intervals covers; those with end <= start cover none."""
    real = end > start
    if not real.all():
        start, end = start[real], end[real]
    if not len(start):
        return empty()
    if (np.diff(start) < 0).any():
        order = np.argsort(start, kind="stable")
        start, end = start[order], end[order]
    reached = np.maximum.accumulate(end)
    first = np.flatnonzero(np.concatenate(([True], start[1:] > reached[:-1])))
    last = np.concatenate((first[1:] - 1, [len(start) - 1]))
    return Intervals(start[first], reached[last])


def join(*sets: Intervals) -> Intervals:
    """The time that is in any of the sets."""
    if not sets:
        return empty()
    return union(np.concatenate([s.start for s in sets]), np.concatenate([s.end for s in sets]))


def intersect(a: Intervals, b: Intervals) -> Intervals:
    """The time that is in both sets."""
    if not len(a.start) or not len(b.start):
        return empty()
    few, many = (a, b) if len(a.start) < len(b.start) else (b, a)
    first = np.searchsorted(many.end, few.start, side="right")
    count = np.searchsorted(many.start, few.end) - first  # of those that each of the few meets
    mine = np.repeat(np.arange(len(count)), count)
    met = np.arange(len(mine)) - np.repeat(np.cumsum(count) - count - first, count)
    return Intervals(np.maximum(few.start[mine], many.start[met]), np.minimum(few.end[mine], many.end[met]))


def subtract(a: Intervals, b: Intervals) -> Intervals:
    """The time that is in `a` and not in `b`."""
    if not len(a.start) or not len(b.start):
        return a
    return intersect(a, gaps(b, int(a.start[0]), int(a.end[-1])))


def clip(a: Intervals, start: int, end: int) -> Intervals:
    """The part of the set inside [start, end)."""
    low, high = np.maximum(a.start, start), np.minimum(a.end, end)
    inside = low < high
    return Intervals(low[inside], high[inside])


def gaps(a: Intervals, start: int, end: int) -> Intervals:
    """The time inside [start, end) that is not in the set."""
    inner = clip(a, start, end)
    low = np.concatenate(([start], inner.end)).astype(np.int64)
    high = np.concatenate((inner.start, [end])).astype(np.int64)
    real = low < high
    return Intervals(low[real], high[real])


def total(a: Intervals) -> int:
    """How much time is in the set, in ns."""
    return int((a.end - a.start).sum())


def elapsed(a: Intervals, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """How much of the set lies before each of the times, in ns, shape (times,).

    The difference of two answers is what the set covers in between: exact, and cheap for many windows.
    """
    if not len(a.start):
        return np.zeros(len(times), np.int64)
    before = np.concatenate(([0], np.cumsum(a.end - a.start)))
    index = np.searchsorted(a.start, times, side="right")
    overshoot = np.maximum(a.end[np.maximum(index, 1) - 1] - times, 0)
    result: NDArray[np.int64] = before[index] - np.where(index > 0, overshoot, 0)
    return result


def covered(a: Intervals, start: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.int64]:
    """How much of the set lies in each window [start[i], end[i]), in ns, shape (windows,)."""
    return elapsed(a, np.maximum(end, start)) - elapsed(a, start)


def contains(a: Intervals, times: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the times are in the set, shape (times,)."""
    if not len(a.start):
        return np.zeros(len(times), np.bool_)
    index = np.searchsorted(a.start, times, side="right")
    result: NDArray[np.bool_] = (index > 0) & (times < a.end[np.maximum(index, 1) - 1])
    return result


def started_before(a: Intervals, times: NDArray[np.int64]) -> NDArray[np.int64]:
    """The start of the interval that each time is in; the time itself where it is in none, shape (times,)."""
    if not len(a.start):
        return times.copy()
    index = np.maximum(np.searchsorted(a.start, times, side="right"), 1) - 1
    return np.where(contains(a, times), a.start[index], times)
