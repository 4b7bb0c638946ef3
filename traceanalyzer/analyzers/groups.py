"""Grouping rows by a few integer columns, without a Python loop over rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def group_rows(*keys: NDArray[np.integer]) -> Iterator[NDArray[np.int64]]:
    """The row numbers of every combination of keys that occurs, each in ascending order."""
    codes = codes_of(*(key.astype(np.int64, copy=False) for key in keys))
    if codes.max(initial=0) < 1 << 16:  # these are sorted without comparing any two
        codes = codes.astype(np.uint16)
    order = np.argsort(codes, kind="stable")
    edges = np.flatnonzero(np.diff(codes[order])) + 1
    yield from (rows for rows in np.split(order, edges) if len(rows))


def longest_of(group: NDArray[np.integer], duration: NDArray[np.int64], groups: int) -> NDArray[np.int64]:
    """The row with the longest duration in each group, the first of equal ones; -1 for groups without rows."""
    most = np.full(groups, -1, np.int64)
    np.maximum.at(most, group, duration)
    rows = np.flatnonzero(duration == most[group])[::-1]
    found = np.full(groups, -1, np.int64)
    found[group[rows]] = rows  # the first is written last
    return found


def heaviest(codes: NDArray[np.integer], weights: NDArray[np.int64]) -> int | None:
    """The code (0 or more) with the largest sum of weights, the smaller one when tied; None without any."""
    valid = codes >= 0
    if not valid.any():
        return None
    present, index = np.unique(codes[valid], return_inverse=True)
    sums = np.zeros(len(present), np.int64)
    np.add.at(sums, index, weights[valid] + 1)  # + 1: rows without weight count as well
    return int(present[sums.argmax()])


def turns(codes: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many rows before each one have its code; shape (rows,)."""
    order = np.argsort(codes, kind="stable")
    first = np.flatnonzero(np.diff(codes[order], prepend=-1))
    turn = np.empty(len(codes), np.int64)
    turn[order] = np.arange(len(codes)) - np.repeat(first, np.diff(np.append(first, len(codes))))
    return turn
