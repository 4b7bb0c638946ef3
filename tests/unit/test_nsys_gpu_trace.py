"""The table cuda_gpu_trace: what was not recorded is an empty cell, not a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chrome_files import dump

from traceanalyzer.analyzers.nsys.gpu_trace import cuda_gpu_trace
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import load

if TYPE_CHECKING:
    from pathlib import Path


def test_what_was_not_recorded_is_an_empty_cell(tmp_path: Path) -> None:
    kernel = {"cat": "kernel", "ph": "X", "pid": 0, "tid": 7, "ts": 10, "dur": 5, "name": "bare", "args": {}}
    known = {
        "correlation": 3,
        "grid": [2, 1, 1],
        "block": [64, 1, 1],
        "registers per thread": 40,
        "context": 1,
    }
    path = tmp_path / "a.json"
    path.write_text(dump({"traceEvents": [kernel, kernel | {"name": "told", "args": known}]}))
    table = cuda_gpu_trace(load(path, options=LoadOptions(use_cache=False)))
    bare, told = (dict(zip(table.columns, row, strict=True)) for row in table.rows)
    assert (bare["Name"], bare["Duration (ns)"]) == ("bare", 5000)
    for column in ("CorrId", "GrdX", "GrdZ", "BlkX", "Reg/Trd", "Ctx"):
        assert bare[column] is None, column
    assert [told[c] for c in ("CorrId", "GrdX", "BlkX", "Reg/Trd", "Ctx")] == [3, 2, 64, 40, 1]
