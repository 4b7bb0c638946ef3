"""Columns in a form that every reader of Parquet reads.

Lists of a fixed length, some of them missing, can neither be written nor read by Arrow before 25. In files they are
lists of any length; only their type is another.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def storable(table: pa.Table) -> pa.Table:
    """The table with lists of any length in place of those of a fixed one."""
    for place, field in enumerate(table.schema):
        if pa.types.is_fixed_size_list(field.type):
            lists = pa.chunked_array(
                [_any_length(chunk) for chunk in table.column(place).chunks], pa.list_(field.type.value_type)
            )
            table = table.set_column(place, field.name, lists)
    return table


def restored(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """What was made storable as it was: `schema` says which lists have a fixed length.

    Raises:
        ValueError: the lists do not hold as many values as lists of that length would.
    """
    for field in schema:
        if pa.types.is_fixed_size_list(field.type):
            place = table.schema.get_field_index(field.name)
            lists = pa.chunked_array(
                [_fixed_length(chunk, field.type) for chunk in table.column(place).chunks], field.type
            )
            table = table.set_column(place, field.name, lists)
    return table


def _any_length(lists: pa.FixedSizeListArray) -> pa.ListArray:
    known = lists.is_valid().to_numpy(zero_copy_only=False)
    offsets = np.concatenate(([0], np.cumsum(known * lists.type.list_size))).astype(np.int32)
    # A missing offset stands for a missing list, in every version of Arrow.
    missing = np.append(~known, False)
    return pa.ListArray.from_arrays(pa.array(offsets, mask=missing), lists.flatten())


def _fixed_length(lists: pa.ListArray, type_: pa.FixedSizeListType) -> pa.FixedSizeListArray:
    known = lists.is_valid().to_numpy(zero_copy_only=False)
    values = lists.flatten()
    if len(values) != int(known.sum()) * type_.list_size:
        raise ValueError(f"not every list has {type_.list_size} values")
    # Each value stands at its list's place; a missing list takes those of the one before it.
    places = np.maximum(np.cumsum(known) - 1, 0)[:, None] * type_.list_size + np.arange(type_.list_size)
    if not len(values):
        return pa.nulls(len(lists), type_)
    flat = values.take(pa.array(places.ravel()))
    return pa.FixedSizeListArray.from_arrays(flat, type=type_, mask=pa.array(~known))
