"""Device time per op: what each op launched itself, and with the ops inside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class DeviceTime:
    """Per row of `ops`, shape (rows,): ns of kernels and copies, and number of kernels.

    `unattributed_ns` is device time whose op is not known.
    """

    own_ns: Ints
    inside_ns: Ints
    kernels_inside: Ints
    unattributed_ns: int


def device_time(trace: Trace) -> DeviceTime:
    """Durations are summed, so work on several streams at once counts several times, as with ops on threads."""
    rows = trace.ops.num_rows
    own, kernels, lost = np.zeros(rows, np.int64), np.zeros(rows, np.int64), 0
    for name in ("kernels", "copies"):
        table = trace.tables[name]
        op, duration = ints(table, "op"), ints(table, "dur", 0)
        known = op >= 0
        own += weighted_count(op[known], duration[known], rows)
        lost += int(duration[~known].sum())
        if name == "kernels":
            kernels += np.bincount(op[known], minlength=rows)
    parent, depth = ints(trace.ops, "parent"), ints(trace.ops, "depth")
    return DeviceTime(own, up_the_tree(parent, depth, own), up_the_tree(parent, depth, kernels), lost)


def weighted_count(index: Ints, weights: Ints, length: int) -> Ints:
    """Sum of weights per index, exact for sums below 2^53."""
    return np.bincount(index, weights=weights, minlength=length).astype(np.int64)


def up_the_tree(parent: Ints, depth: Ints, own: Ints) -> Ints:
    """Each row's own value plus those of all rows below it."""
    total = own.copy()
    by_depth = np.argsort(depth, kind="stable")
    bounds = np.searchsorted(depth[by_depth], np.arange(int(depth.max(initial=0)) + 2))
    for level in range(len(bounds) - 2, 0, -1):
        rows = by_depth[bounds[level] : bounds[level + 1]]
        np.add.at(total, parent[rows], total[rows])
    return total


def below_same(parent: Ints, key: Ints) -> NDArray[np.bool_]:
    """Whether a row lies, at any depth, inside a row with the same key: counting both would count twice."""
    found = np.zeros(len(parent), bool)
    rows, ancestor = np.arange(len(parent)), parent
    while True:
        alive = (ancestor >= 0) & ~found[rows]  # the nearest one decides
        if not alive.any():
            return found
        rows, ancestor = rows[alive], ancestor[alive]
        found[rows[key[ancestor] == key[rows]]] = True
        ancestor = parent[ancestor]
