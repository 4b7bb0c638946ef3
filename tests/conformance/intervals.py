"""Unions and differences of intervals, one after the other on plain numbers.

The same arithmetic serves whole nanoseconds and the peers' floating-point microseconds; for the latter the
order of operations matters to the last digit, which is why nothing here is vectorised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Number = TypeVar("Number", int, float)
Interval = tuple[Number, Number]


def union(intervals: Iterable[Interval[Number]]) -> list[Interval[Number]]:
    """Disjoint intervals that cover the same points; those that touch are joined."""
    merged: list[Interval[Number]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged


def difference(
    minuend: Sequence[Interval[Number]], subtrahend: Sequence[Interval[Number]]
) -> list[Interval[Number]]:
    """What of one union the other does not cover."""
    left: list[Interval[Number]] = []
    first = 0
    for start, end in minuend:
        rest = start
        while first < len(subtrahend) and subtrahend[first][1] <= start:
            first += 1
        for cut_start, cut_end in subtrahend[first:]:
            if cut_start >= end or rest >= end:
                break
            if cut_start > rest:
                left.append((rest, cut_start))
            rest = max(rest, cut_end)
        if rest < end:
            left.append((rest, end))
    return left


def intersection(
    one: Sequence[Interval[Number]], other: Sequence[Interval[Number]]
) -> list[Interval[Number]]:
    """What both unions cover."""
    return difference(one, difference(one, other))


def total(intervals: Iterable[Interval[Number]]) -> Number:
    """The summed length."""
    length: Number = 0
    for start, end in intervals:
        length += end - start
    return length
