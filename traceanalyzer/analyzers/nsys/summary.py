"""Rows put together by a key, and the usual table of their durations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.analyzers.nsys.table import StatsTable, in_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.nsys.table import Labels

    Ints = NDArray[np.int64]

_SPREAD = ("Avg", "Med", "Min", "Max", "StdDev")


@dataclass(frozen=True)
class Groups:
    """Rows put together by a key; arrays of shape (groups,). `first` is one row of each group."""

    first: Ints
    count: Ints
    total: Ints
    mean: NDArray[np.float64]
    median: NDArray[np.float64]
    low: Ints
    high: Ints
    deviation: NDArray[np.float64]

    def spread(self, prefix: str = "", unit: str = "(ns)", per: int = 1) -> dict[str, Any]:
        """The columns of average, median, minimum, maximum and deviation; divided by `per` unless that is 1."""
        columns = (self.mean, self.median, self.low, self.high, self.deviation)
        return {
            f"{prefix}{what} {unit}": values if per == 1 else values / per
            for what, values in zip(_SPREAD, columns, strict=True)
        }


def grouped(key: Ints, values: Ints) -> Groups:
    """The statistics of `values` for each distinct key, in the order of the keys."""
    if not len(key):
        nothing, unknown = np.empty(0, np.int64), np.empty(0, np.float64)
        return Groups(nothing, nothing, nothing, unknown, unknown, nothing, nothing, unknown)
    order = np.lexsort((values, key))
    key, values = key[order], values[order]
    start = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    end = np.append(start[1:], len(key))
    count = end - start
    total = np.add.reduceat(values, start)
    mean = total / count
    squares = (values - np.repeat(mean, count)) ** 2
    spread = np.add.reduceat(squares, start)
    low, high = values[start], values[end - 1]
    median = (values[start + (count - 1) // 2] + values[start + count // 2]) / 2
    deviation = np.sqrt(spread / np.maximum(count - 1, 1))
    return Groups(order[start], count, total, mean, median, low, high, deviation)


def summary(name: str, groups: Groups, labels: Mapping[str, Labels], unit: str = "Instances") -> StatsTable:
    """The usual table of durations: share, total, count, spread and the labels of the groups, most time first."""
    columns: dict[str, Any] = {
        "Time (%)": 100 * groups.total / max(int(groups.total.sum()), 1),
        "Total Time (ns)": groups.total,
        unit: groups.count,
        **groups.spread(),
        **{column: label.column for column, label in labels.items()},
    }
    order = (label.alphabetical for label in labels.values())
    return StatsTable(name, in_order(columns, -groups.total, *order))
