"""A trace of several ranks → one trace per rank, without copying rows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from traceanalyzer.model.columns import ints

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from traceanalyzer.model.trace import Trace

# The columns that hold row numbers, and the table whose rows they number; `parent` numbers those of its own table.
_ROWS_OF = {
    "op": "ops",
    "forward": "ops",
    "python_call": "python_calls",
    "api_call": "api_calls",
    "kernel": "kernels",
}


def by_rank(trace: Trace, ranks: Sequence[int]) -> list[Trace]:
    """The rows of each of these ranks as a trace of its own; row numbers in it count from its own first rows.

    Tables lie in the order of ranks, so a rank's rows are a slice: many ranks cost no more than their rows.
    """
    found: list[dict[str, pa.Table]] = [{} for _ in ranks]
    first: list[dict[str, int]] = [{} for _ in ranks]
    for name, table in trace.tables.items():
        if "rank" not in table.column_names:
            for tables in found:
                tables[name] = table
            continue
        of_row = ints(table, "rank")
        begin, end = (np.searchsorted(of_row, ranks, side=side).tolist() for side in ("left", "right"))
        for i, (low, high) in enumerate(zip(begin, end, strict=True)):
            found[i][name], first[i][name] = table.slice(low, high - low), low
    return [
        replace(
            trace, tables={name: _counted(name, table, low) for name, table in tables.items()}, mapping=None
        )
        for tables, low in zip(found, first, strict=True)
    ]


def _counted(name: str, table: pa.Table, first: Mapping[str, int]) -> pa.Table:
    """The table with row numbers that count from the first rows of its rank."""
    for column, of in {**_ROWS_OF, "parent": name}.items():
        if first.get(of) and column in table.column_names:
            numbers = pc.subtract(table.column(column), first[of])
            table = table.set_column(table.column_names.index(column), column, numbers)
    return table
