"""An export with several processes beside other files: no two processes share a rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nsys_files import Export

from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import load

if TYPE_CHECKING:
    from pathlib import Path


def an_export(path: Path, *pids: int) -> Path:
    export = Export()
    for device, pid in enumerate(pids):
        export.launch(pid, 10, 20, 1).kernel(pid, 30, 40, 1, f"kernel of {pid}", device)
    return export.write(path)


def test_ranks_of_several_exports_are_shifted_together(tmp_path: Path) -> None:
    files = [an_export(tmp_path / "a.sqlite", 100), an_export(tmp_path / "b.sqlite", 200, 300)]
    trace = load(*files, options=LoadOptions(use_cache=False))
    assert {(k["rank"], k["name"]) for k in trace.kernels.to_pylist()} == {
        (0, "kernel of 100"), (1, "kernel of 200"), (2, "kernel of 300")}  # fmt: skip
    calls = trace.api_calls.to_pylist()
    assert all(calls[k["api_call"]]["pid"] == int(k["name"].split()[-1]) for k in trace.kernels.to_pylist())
