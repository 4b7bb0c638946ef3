"""A table as CSV, printed as nsys does: averages with one decimal, sizes with three, nothing for what is unknown."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceanalyzer.model.columns import one_chunk

if TYPE_CHECKING:
    from traceanalyzer.analyzers.nsys.table import StatsTable

_ROWS = 1 << 16
"""Printed at a time, so that the text of a table of millions of rows is never in memory as a whole."""
_TEXT = pa.large_string()
"""Ranges in ranges in ranges have long stacks."""


def write_csv(table: StatsTable, file: IO[bytes]) -> None:
    """Header and rows in UTF-8."""
    file.write(",".join(table.columns).encode() + b"\n")
    for batch in _quoted_dictionaries(table.cells).to_batches(max_chunksize=_ROWS):
        texts = [_text(*column) for column in zip(batch.columns, table.columns, strict=True)]
        file.write(_lines(texts))


def _quoted_dictionaries(cells: pa.Table) -> pa.Table:
    """Distinct texts quoted once, not once per row."""
    for i, field in enumerate(cells.schema):
        if pa.types.is_dictionary(field.type):
            column = one_chunk(cells.column(i))
            quoted = pa.DictionaryArray.from_arrays(column.indices, _quoted(column.dictionary.cast(_TEXT)))
            cells = cells.set_column(i, field.name, quoted)
    return cells


def _quoted(texts: pa.Array) -> pa.Array:
    special = pc.match_substring_regex(texts, '[",\r\n]')
    if not pc.any(special).as_py():
        return texts
    mark, nothing = pa.scalar('"', _TEXT), pa.scalar("", _TEXT)
    escaped = pc.binary_join_element_wise(mark, pc.replace_substring(texts, '"', '""'), mark, nothing)
    return pc.if_else(special, escaped, texts)


def _text(column: pa.Array, name: str) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        return column.dictionary.take(column.indices)
    if pa.types.is_floating(column.type):
        return _decimals(column, 3 if name.endswith("(MB)") else 1)
    texts = column.cast(_TEXT)
    return texts if pa.types.is_integer(column.type) else _quoted(texts)


def _decimals(column: pa.Array, digits: int) -> pa.Array:
    """Distinct numbers are printed once; 0 and -0, which are equal, are told apart by their bits."""
    numbers = column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    bits, place = np.unique(numbers.view(np.int64), return_inverse=True)
    printed = pa.array([f"{value:.{digits}f}" for value in bits.view(np.float64).tolist()], _TEXT)
    mask = np.asarray(column.is_null().to_numpy(zero_copy_only=False))
    return printed.take(pa.array(place, mask=mask))


def _lines(texts: list[pa.Array]) -> memoryview:
    """The rows, each ended by a new line."""
    how = {"null_handling": "replace", "null_replacement": ""}
    nothing, comma, end = (pa.scalar(text, _TEXT) for text in ("", ",", "\n"))
    last = pc.binary_join_element_wise(texts[-1], nothing, end, **how)
    lines = pc.binary_join_element_wise(*texts[:-1], last, comma, **how)
    _, offsets, characters = lines.buffers()
    return memoryview(characters)[: int(np.frombuffer(offsets, np.int64)[len(lines)])]
