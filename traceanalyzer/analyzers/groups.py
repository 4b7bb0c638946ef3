"""Grouping rows by a few integer columns, without a Python loop over rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def group_rows(*keys: NDArray[np.integer]) -> Iterator[NDArray[np.int64]]:
    """The row numbers of every combination of keys that occurs, each in ascending order."""
    order = np.lexsort(keys[::-1])
    changed = np.zeros(max(len(order) - 1, 0), np.bool_)
    for key in keys:
        changed |= np.diff(key[order]) != 0
    edges = np.flatnonzero(changed) + 1
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
