"""Joins on integer keys, vectorised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


def codes_of(*columns: Ints) -> Ints:
    """One small number per distinct combination of the columns, shape (rows,)."""
    codes = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        if len(column) == 0 or (low := int(column.min())) == (high := int(column.max())):
            continue
        if high - low < 4 * len(column) + 1024:  # dense already
            part, width = column - low, high - low + 1
        else:
            distinct, part = np.unique(column, return_inverse=True)
            width = len(distinct)
        if int(codes.max()) > np.iinfo(np.int64).max // (2 * width):
            codes = np.unique(codes, return_inverse=True)[1]
        codes = codes * width + part
    return codes


def distinct(values: Ints) -> Ints:
    """The distinct values, ascending: `numpy.unique` hashes them, a hundred times as slow when nearly all differ."""
    ordered = np.sort(values)
    first: NDArray[np.bool_] = np.append(True, np.diff(ordered) != 0)[: len(ordered)]
    return ordered[first]


def first_match(left: Sequence[Ints], right: Sequence[Ints]) -> Ints:
    """For each left row the first right row with equal keys, -1 for none.

    Args:
        left: key columns, each of shape (n,).
        right: as many key columns, each of shape (m,).
    """
    size = len(left[0])
    if not size or not len(right[0]):
        return np.full(size, -1, np.int64)
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if not _constant(a, b)]
    if not pairs:
        return np.zeros(size, np.int64)
    if len(pairs) == 1:
        wanted, have = pairs[0]
    else:
        codes = codes_of(*(np.concatenate(pair) for pair in pairs))
        wanted, have = codes[:size], codes[size:]
    low, width = int(have.min()), int(have.max()) - int(have.min()) + 1
    if width < 8 * len(have) + 1024:
        place = np.full(width, -1, np.int64)
        place[have[::-1] - low] = np.arange(len(have) - 1, -1, -1)
        inside = (wanted >= low) & (wanted < low + width)
        return np.where(inside, place[np.where(inside, wanted - low, 0)], -1)
    order = np.argsort(have, kind="stable")
    found = np.searchsorted(have, wanted, sorter=order)
    candidate = order[np.minimum(found, len(have) - 1)]
    return np.where((found < len(have)) & (have[candidate] == wanted), candidate, -1)


def _constant(left: Ints, right: Ints) -> bool:
    value = left[0]
    return bool((left == value).all() and (right == value).all())
