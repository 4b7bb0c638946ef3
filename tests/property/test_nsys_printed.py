"""The CSV of nsys' tables: what Python's own writer gives for the same cells."""

from __future__ import annotations

import csv
import io
from typing import Any

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st

from traceanalyzer.analyzers.nsys.printed import write_csv
from traceanalyzer.analyzers.nsys.table import Labels, StatsTable, in_order

TEXT = st.none() | st.text(alphabet='ab,"\n\ré <>', max_size=6)
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(-1e15, 1e15),
        st.none() | st.floats(-1e15, 1e15),
        TEXT,
        TEXT,
    ),
    max_size=8,
)
COLUMNS = ("Count", "Avg (ns)", "Bytes (MB)", "Name", "RangeStack")


def by_python(rows: list[tuple[Any, ...]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\r\n", quoting=csv.QUOTE_MINIMAL)
    for row in (COLUMNS, *rows):
        cells = [f"{v:.{3 if i == 2 else 1}f}" if isinstance(v, float) else v for i, v in enumerate(row)]
        writer.writerow(["" if cell is None else cell for cell in cells])
    return file.getvalue()


@given(ROWS)
@example([(None, None, 0.0, None, None), (None, None, -0.0, None, None)])
def test_cells_are_printed_and_quoted_as_by_python(rows: list[tuple[Any, ...]]) -> None:
    columns = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    types = (pa.int64(), pa.float64(), pa.float64(), pa.string(), pa.string())
    cells = dict(zip(COLUMNS, (pa.array(c, t) for c, t in zip(columns, types, strict=True)), strict=True))
    cells["Name"] = cells["Name"].dictionary_encode()
    file = io.BytesIO()
    write_csv(StatsTable("any", pa.table(cells)), file)
    ours = csv.reader(io.StringIO(file.getvalue().decode(), newline=""))
    assert list(ours) == list(csv.reader(io.StringIO(by_python(rows), newline="")))
    assert (b'"' in file.getvalue()) is ('"' in by_python(rows))


@given(st.lists(st.tuples(st.integers(0, 3), TEXT.filter(lambda text: text is not None)), min_size=1))
def test_rows_are_in_the_order_of_numbers_then_texts(rows: list[tuple[int, str]]) -> None:
    numbers = pa.array([number for number, _ in rows], pa.int64())
    table = pa.table({"n": numbers, "text": pa.array([text for _, text in rows]).dictionary_encode()})
    ordered = in_order(
        {"n": numbers, "text": table["text"]}, numbers.to_numpy(), Labels.of(table, "text").alphabetical
    )
    assert list(zip(ordered["n"].to_pylist(), ordered["text"].to_pylist(), strict=True)) == sorted(rows)
