"""Lists of a fixed length go into Parquet as lists that every version of Arrow can write and read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.model.columns import triples
from traceanalyzer.model.parquet import restored, storable

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = pa.schema([("name", pa.string()), ("grid", pa.list_(pa.int32(), 3))])
TRIPLES = st.lists(st.none() | st.lists(st.integers(0, 2**31 - 1), min_size=3, max_size=3), max_size=12)


def table(grids: list[list[int] | None]) -> pa.Table:
    return pa.table({"name": [str(i) for i in range(len(grids))], "grid": grids}, schema=SCHEMA)


@given(TRIPLES, TRIPLES)
def test_a_table_comes_back_as_it_was(first: list[list[int] | None], second: list[list[int] | None]) -> None:
    before = pa.concat_tables([table(first), table(second)])
    stored = storable(before)
    assert stored.schema.field("grid").type == pa.list_(pa.int32())
    assert stored["grid"].to_pylist() == before["grid"].to_pylist()
    assert restored(stored, SCHEMA) == before


@given(TRIPLES, TRIPLES)
def test_what_is_missing_reads_as_zeros_before_and_after(
    first: list[list[int] | None], second: list[list[int] | None]
) -> None:
    """What lies below a missing list is anything, once stored the values of the list before it."""
    before = pa.concat_tables([table(first), table(second)])
    for read in (before, restored(storable(before), SCHEMA)):
        assert triples(read, "grid").tolist() == [grid or [0, 0, 0] for grid in first + second]
        assert triples(read.slice(1), "grid").tolist() == [grid or [0, 0, 0] for grid in (first + second)[1:]]


def test_missing_lists_hold_no_values() -> None:
    """Arrow before 25 refuses to write missing lists that still have values."""
    (chunk,) = storable(table([[1, 2, 3], None, [4, 5, 6]]))["grid"].chunks
    assert chunk.values.to_pylist() == [1, 2, 3, 4, 5, 6]
    assert chunk.is_null().to_pylist() == [False, True, False]


def test_slices_keep_their_rows() -> None:
    assert storable(table([[1, 2, 3], None, [4, 5, 6], None]).slice(1, 2))["grid"].to_pylist() == [
        None,
        [4, 5, 6],
    ]


def test_through_a_file(tmp_path: Path) -> None:
    before = table([None, [1, 2, 3], None])
    pq.write_table(storable(before), tmp_path / "t.parquet")
    assert restored(pq.read_table(tmp_path / "t.parquet"), SCHEMA).equals(before)


def test_lists_of_another_length_are_refused() -> None:
    stored = pa.table({"name": ["a"], "grid": pa.array([[1, 2]], pa.list_(pa.int32()))})
    with pytest.raises(ValueError, match="3 values"):
        restored(stored, SCHEMA)
