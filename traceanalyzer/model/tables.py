"""From columns in any order to finished tables: every column present, sorted, numbered.

Sources hand in whatever columns they have; `finish` makes the table that `schema.py` promises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from traceanalyzer.model.columns import ints
from traceanalyzer.model.schema import BY_NAME
from traceanalyzer.model.table import arrow_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray


def empty(name: str) -> pa.Table:
    """A table of no rows with every column that a source writes."""
    return arrow_schema(BY_NAME[name]).empty_table()


def start_order(table: pa.Table, place: NDArray[np.int64] | None = None) -> NDArray[np.int64] | None:
    """The permutation that sorts rows by rank, start, longest first; None when they are sorted already.

    Args:
        table: with `rank`, `ts` and perhaps `dur`.
        place: decides between rows that begin and end together, shape (rows,); without it they keep their order, so
            that an enclosing range that was written first stays first.
    """
    names = table.column_names
    if "ts" not in names or table.num_rows < 2:
        return None
    ts = ints(table, "ts", np.iinfo(np.int64).max)
    rank = ints(table, "rank")
    longest = -ints(table, "dur", 0) if "dur" in names else np.zeros(len(ts), np.int64)
    place = np.arange(len(ts)) if place is None else place
    if _is_sorted(rank, ts, longest, place):
        return None
    if rank[0] != rank[-1] or (rank != rank[0]).any():
        return np.lexsort((place, longest, ts, rank))
    order = np.argsort(ts, kind="stable")  # nearly sorted already, which this one makes use of
    same = np.diff(ts[order]) == 0
    tied = np.flatnonzero(np.append(same, False) | np.insert(same, 0, False))
    rows = order[tied]
    order[tied] = rows[np.lexsort((place[rows], longest[rows], ts[rows]))]
    return order


def _is_sorted(*keys: NDArray[np.int64]) -> bool:
    """Whether rows rise in the first key, where that is equal in the second, and so on."""
    rises = np.zeros(len(keys[0]) - 1, np.bool_)
    equal = ~rises
    for key in keys:
        step = np.diff(key)
        rises, equal = rises | equal & (step > 0), equal & (step == 0)
    return bool((rises | equal).all())


def complete(name: str, columns: Mapping[str, Any], rows: int) -> pa.Table:
    """A table with the schema's columns in the schema's order; absent ones are null. Not sorted, no ids."""
    schema = arrow_schema(BY_NAME[name])
    zeros = pa.py_buffer(bytes(8 * rows + 8))
    arrays = []
    for field in schema:
        if field.name == "id":
            arrays.append(pa.array(np.arange(rows, dtype=np.int64)))
            continue
        column = columns.get(field.name)
        if column is None:
            arrays.append(nulls(rows, field.type, zeros))
        else:
            arrays.append(column if column.type == field.type else column.cast(field.type))
    return pa.table(arrays, schema=schema)


def nulls(rows: int, type_: pa.DataType, zeros: pa.Buffer) -> pa.Array:
    """A column of nulls over a buffer of zeros that all such columns share: absent columns cost no memory."""
    if pa.types.is_dictionary(type_):
        indices = pa.Array.from_buffers(type_.index_type, rows, [zeros, zeros])
        return pa.DictionaryArray.from_arrays(indices, pa.array([], type_.value_type))
    if pa.types.is_primitive(type_):
        return pa.Array.from_buffers(type_, rows, [zeros, zeros])
    return pa.nulls(rows, type_)


def with_ids(table: pa.Table) -> pa.Table:
    """The table with `id` set to the row number."""
    return table.set_column(0, "id", pa.array(np.arange(table.num_rows, dtype=np.int64)))


def from_rows(name: str, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A finished table from hand-written rows: for tests and small sources."""
    schema = arrow_schema(BY_NAME[name])
    columns = {}
    for field in schema:
        if field.name != "id":
            plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
            array = pa.array([row.get(field.name) for row in rows], plain)
            columns[field.name] = array.dictionary_encode() if pa.types.is_dictionary(field.type) else array
    return finish(name, [complete(name, columns, len(rows))])


def finish(name: str, parts: Iterable[pa.Table]) -> pa.Table:
    """Concatenate, sort and number: the table as the model promises it, in one chunk per column."""
    tables = [t for t in parts if t.num_rows]
    if not tables:
        return empty(name)
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    order = start_order(table)
    if order is not None:
        table = table.take(pa.array(order)).combine_chunks()
    return with_ids(table)
