"""Every cell that is loaded equals a dull reading of the file with `json` and `Decimal`, in every layout.

`plain_reader.py` is the definition. What is compared: the columns that a source writes, cell by cell with
nulls, and the arguments that no column holds. The linked columns have tests of their own.
"""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings

from traceanalyzer.model.schema import TABLES
from traceanalyzer.pipeline import load as load_inputs

from . import plain_reader
from .corpus import NO_CACHE, load, needs_corpus, path_of, traces
from .layouts import LAYOUTS, Layout, parsed, write

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from traceanalyzer.model.table import Table
    from traceanalyzer.model.trace import Trace

FIVE = ["a100_nccl_train", "h100_qwen", "mi300_vllm_decode_graph", "a100_alexnet_sync", "ranks/rank-0"]
"""Between them: DDP with collectives, stacks and [memory] events, ROCm and a graph, cuda_sync, integer
times."""


@needs_corpus
@pytest.mark.parametrize("name", traces())
def test_every_cell_of_every_file(name: str) -> None:
    assert_same_cells(load(name), plain_reader.read(path_of(name)))


@needs_corpus
@pytest.mark.parametrize("name", FIVE)
def test_every_cell_in_every_layout(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("layouts")

    @given(layout=LAYOUTS)
    @example(layout=Layout("indent 2"))
    @example(layout=Layout("indent 4", header="after"))
    @example(layout=Layout("one line", shuffled_keys=0))
    @example(layout=Layout("minified", header="both", compression="gzip"))
    @example(layout=Layout("indent 2", shuffled_keys=1, compression="zstd"))
    @example(layout=Layout("one line", bare=True))
    @settings(
        max_examples=6, database=None, derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    def holds(layout: Layout) -> None:
        file = folder / layout.file_name
        file.write_bytes(write(_document(name), layout))
        assert_same_cells(load_inputs(file, options=NO_CACHE), _plain(name, layout.bare))

    holds()


@lru_cache(maxsize=1)
def _document(name: str) -> Any:
    document = parsed(gzip.decompress(path_of(name).read_bytes()))
    return document if isinstance(document, dict) else {"traceEvents": document}


@lru_cache(maxsize=2)
def _plain(name: str, bare: bool) -> plain_reader.PlainTrace:
    return plain_reader.parse(write(_document(name), Layout(bare=bare)))


def test_the_dull_reading_on_a_file_that_fits_the_page(tmp_path: Path) -> None:
    """Needs no corpus: the mapping by example, and the loader agrees with it."""
    events = [
        {"ph": "M", "name": "process_name", "pid": 7, "tid": 0, "ts": 0, "args": {"name": "python"}},
        {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 7, "tid": 8, "ts": 1712195495519689.047,
         "dur": 12.5, "args": {"External id": 3, "Input Dims": [[2, 3], [3, 4]], "Fancy": {"new": [1.50]}}},
        {"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": 1712195495519690,
         "dur": 3, "args": {"correlation": 5, "grid": [1, 2, 3], "device": 0, "stream": 7}},
        {"ph": "X", "cat": "gpu_memcpy", "name": "Memcpy HtoD (Pageable -> Device)", "pid": 0, "tid": 7,
         "ts": 1712195495519699.001, "dur": 0.999, "args": {"bytes": 64, "device": 0, "stream": 7}},
        {"ph": "X", "cat": "brand_new", "name": "?", "pid": "Spans", "tid": 1,
         "ts": 1712195495519700.1, "dur": -1},
    ]  # fmt: skip
    text = json.dumps({"distributedInfo": {"rank": 2}, "traceEvents": events})
    text = text.replace("1712195495519689.0", "1712195495519689.047")  # what a float64 lost
    text = text.replace("1712195495519699.0", "1712195495519699.001").replace("9700.0", "9700.100")
    plain = plain_reader.parse(text.encode())
    op, kernel, copy = (plain.tables[t][0] for t in ("ops", "kernels", "copies"))
    assert plain.start_ns == 1712195495519689047
    assert (op["ts"], op["dur"], op["rank"], op["input_dims"]) == (0, 12500, 2, "[[2,3],[3,4]]")
    assert (kernel["ts"], kernel["grid"], kernel["correlation"]) == (953, [1, 2, 3], 5)
    assert (copy["ts"], copy["kind"], copy["direction"]) == (9954, "memcpy", "HtoD")
    assert (copy["src_kind"], copy["dst_kind"]) == ("pageable", "device")
    assert plain.tables["others"][0]["dur"] == 0
    assert [e["json"] for e in plain.tables["extras"]] == [
        {"Fancy": {"new": [Decimal("1.5")]}},
        {"negative_dur_ns": -1000},
    ]
    file = tmp_path / "trace.json"
    file.write_text(text)
    assert_same_cells(load_inputs(file, options=NO_CACHE), plain)


def assert_same_cells(loaded: Trace, plain: plain_reader.PlainTrace) -> None:
    """Fails with the table, the column and the first rows that differ."""
    (source,) = loaded.sources
    assert (source.events, source.epoch_ns) == (plain.events, plain.epoch_ns)
    for table in TABLES:
        expected = plain.tables.get(table.name, [])
        assert loaded.tables[table.name].num_rows == len(expected), f"rows of {table.name}"
        if table.name == "extras":
            assert _extras(loaded) == {(row["table"], row["row"]): row["json"] for row in expected}
            continue
        for column in table.source_columns:
            cells = loaded.tables[table.name].column(column.name)
            assert_same_column(table, column.name, cells, [row.get(column.name) for row in expected])


def assert_same_column(table: Table, name: str, cells: pa.ChunkedArray, expected: list[Any]) -> None:
    """Values compare as Python objects: ints as ints, doubles bit by bit, texts as texts, null as None."""
    got = cells.to_pylist()
    if got != expected:
        different = [(i, a, b) for i, (a, b) in enumerate(zip(got, expected, strict=True)) if a != b]
        where = f"{table.name}.{name}: {len(different)} of {len(got)} cells differ"
        pytest.fail(f"{where}; (row, loaded, plain): {different[:3]}")


def _extras(loaded: Trace) -> dict[tuple[str, int], Any]:
    """Arguments without a column, by table and row, as values: their order depends on the layout."""
    rows = loaded.tables["extras"].to_pylist()
    result = {(row["table"], row["row"]): json.loads(row["json"], parse_float=Decimal) for row in rows}
    assert len(result) == len(rows)
    return result
