"""Arrow columns as numpy arrays: the way analyzers look at tables.

Everything here is a view where Arrow allows it; nothing makes a Python object per row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray


def one_chunk(column: Any) -> Any:
    """An array of a column, without a copy where it is one already."""
    if isinstance(column, pa.ChunkedArray):
        return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    return column


def ints(table: pa.Table, name: str, fill: int = -1) -> NDArray[np.int64]:
    """An integer column, shape (rows,), with nulls as `fill`."""
    array = one_chunk(table.column(name))
    if array.null_count:
        array = pc.fill_null(array, fill)
    return np.asarray(array.to_numpy(zero_copy_only=False)).astype(np.int64, copy=False)


def floats(table: pa.Table, name: str) -> NDArray[np.float64]:
    """A floating-point column, shape (rows,), with nulls as NaN."""
    array = one_chunk(table.column(name))
    return np.asarray(array.to_numpy(zero_copy_only=False)).astype(np.float64, copy=False)


def present(table: pa.Table, name: str) -> NDArray[np.bool_]:
    """Where a column is not null, shape (rows,)."""
    array = one_chunk(table.column(name))
    return np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False))


def has_any(table: pa.Table, name: str) -> bool:
    """Whether a column holds any value at all."""
    column = table.column(name)
    return bool(column.null_count < len(column))


def texts(table: pa.Table, name: str) -> tuple[NDArray[np.int32], list[str]]:
    """A text column as (codes, dictionary): codes of shape (rows,), -1 for null."""
    array = one_chunk(table.column(name))
    if not pa.types.is_dictionary(array.type):
        array = array.dictionary_encode()
    indices = array.indices
    if indices.null_count:
        indices = pc.fill_null(indices, -1)
    return np.asarray(indices.to_numpy(zero_copy_only=False)).astype(np.int32, copy=False), (
        array.dictionary.to_pylist()
    )


def triples(table: pa.Table, name: str) -> NDArray[np.int64]:
    """A grid or block column, shape (rows, 3), with nulls as zeros."""
    array = one_chunk(table.column(name))
    flat = array.values.slice(array.offset * 3, len(array) * 3)
    result = np.asarray(pc.fill_null(flat, 0).to_numpy(zero_copy_only=False)).astype(np.int64)
    result = result.reshape(-1, 3)
    if array.null_count:  # the values below a missing list are anything
        result[np.asarray(array.is_null().to_numpy(zero_copy_only=False))] = 0
    return result


def text_column(codes: NDArray[np.integer[Any]], dictionary: list[str]) -> pa.DictionaryArray:
    """The inverse of `texts`: codes below 0 become null."""
    mask = codes < 0
    indices = pa.array(np.where(mask, 0, codes).astype(np.int32), mask=mask if mask.any() else None)
    return pa.DictionaryArray.from_arrays(indices, pa.array(dictionary, pa.string()))


def nullable(values: NDArray[np.int64], missing: int = -1, type_: pa.DataType | None = None) -> pa.Array:
    """Integers as an Arrow column in which `missing` is null."""
    mask = values == missing
    return pa.array(values, type=type_ or pa.int64(), mask=mask if mask.any() else None)
