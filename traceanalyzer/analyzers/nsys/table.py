"""One table of `nsys stats` or `nsys analyze`, column by column, and what its columns are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceanalyzer.model.columns import text_column, texts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class StatsTable:
    """Columns as nsys calls them: int64, float64 (not rounded) or text, null where nothing was recorded.

    `ranks` is the rank of each row, which no column of nsys tells; empty where rows sum up several.
    """

    name: str
    cells: pa.Table
    ranks: tuple[int, ...] = ()

    @classmethod
    def of_rows(
        cls, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], ranks: Sequence[int] = ()
    ) -> StatsTable:
        """A table of few rows."""
        cells = {column: pa.array([row[i] for row in rows]) for i, column in enumerate(columns)}
        return cls(name, pa.table(cells), tuple(ranks))

    @property
    def columns(self) -> tuple[str, ...]:
        """What nsys calls the columns."""
        return tuple(self.cells.column_names)

    @property
    def rows(self) -> tuple[tuple[Any, ...], ...]:
        """The rows as Python values: for tables of few."""
        return tuple(zip(*(column.to_pylist() for column in self.cells.columns), strict=True))


@dataclass(frozen=True)
class Labels:
    """A text for every row, from few distinct ones: `codes` of shape (rows,), -1 where there is none."""

    codes: Ints
    names: Sequence[str]

    @classmethod
    def of(cls, table: pa.Table, column: str) -> Labels:
        """Those of a text column."""
        codes, names = texts(table, column)
        return cls(codes.astype(np.int64), names)

    def at(self, rows: Ints) -> Labels:
        """The texts of some rows."""
        return Labels(self.codes[rows], self.names)

    @property
    def column(self) -> pa.Array:
        """As a column."""
        return text_column(self.codes, list(self.names))

    @property
    def alphabetical(self) -> Ints:
        """A number for every row: in the order of the numbers the texts are in the order of their characters."""
        order = np.asarray(pc.array_sort_indices(pa.array(self.names, pa.string())))
        place = np.full(len(order) + 1, -1, np.int64)
        place[order] = np.arange(len(order))
        numbers: Ints = place[self.codes]
        return numbers


def in_order(columns: Mapping[str, Any], *keys: Ints) -> pa.Table:
    """The columns with their rows in the order of the keys, of which the first counts most."""
    return pa.table(dict(columns)).take(np.lexsort(keys[::-1]))


def known(values: Ints, there: NDArray[np.bool_] | None = None) -> pa.Array:
    """Whole numbers as a column: null where they are not `there`, or below 0 if that is not told."""
    return pa.array(values, mask=values < 0 if there is None else ~there)
