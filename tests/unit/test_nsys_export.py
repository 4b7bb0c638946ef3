"""What `trace-analyze export` writes for other tools, from an Nsight Systems export and read back."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pyarrow.csv
import pytest
from nsys_files import Export, global_id

from traceanalyzer.cli.command_line import run as command
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import load


@pytest.fixture
def run(tmp_path: Path) -> Path:
    export = Export().range(9, 50, 900, "outer").range(9, 90, 150, "inner, with a comma")
    export.launch(9, 100, 120, 1).kernel(9, 200, 300, 1, "gemm").launch(9, 130, 160, 2).kernel(
        9, 301, 331, 2, "gemm"
    )
    export.add("CUPTI_ACTIVITY_KIND_MEMCPY", start=400, end=500, deviceId=0, contextId=1, streamId=7,
               correlationId=7, globalPid=global_id(9), bytes=2_000_000, copyKind=1, srcKind=1,
               dstKind=2)  # fmt: skip
    return export.write(tmp_path / "run.sqlite")


def exported(run: Path, form: str) -> Path:
    folder = run.parent / form
    assert command(["export", str(run), "--no-cache", "--to", form, "-o", str(folder)]) == 0
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_nsys_stats_tables(run: Path) -> None:
    folder = exported(run, "nsys-stats")
    assert rows(folder / "cuda_gpu_kern_sum.csv") == [{
        "Time (%)": "100.0", "Total Time (ns)": "130", "Instances": "2", "Avg (ns)": "65.0", "Med (ns)": "65.0",
        "Min (ns)": "30", "Max (ns)": "100", "StdDev (ns)": "49.5", "Name": "gemm",
    }]  # fmt: skip
    (size,) = rows(folder / "cuda_gpu_mem_size_sum.csv")
    assert (size["Total (MB)"], size["Operation"]) == ("2.000", "[CUDA memcpy Host-to-Device]")
    (launch,) = rows(folder / "cuda_kern_exec_sum.csv")
    assert (launch["TAvg (ns)"], launch["AAvg (ns)"], launch["QAvg (ns)"]) == ("200.5", "25.0", "110.5")
    projected = {r["Name"]: r for r in rows(folder / "nvtx_gpu_proj_trace.csv")}
    outer, inner = projected["outer"], projected["inner, with a comma"]
    # the second launch ends after the inner range: it belongs to the outer one alone
    assert (outer["NumGPUOps"], outer["Projected Start (ns)"], outer["Projected Duration (ns)"]) == (
        "2",
        "200",
        "131",
    )
    assert (inner["NumGPUOps"], inner["Lvl"], inner["ParentId"]) == ("1", "1", "1")


def test_a_chrome_trace_that_reads_back_the_same(run: Path) -> None:
    written = exported(run, "perfetto") / "trace.json"
    events: list[dict[str, Any]] = json.loads(written.read_text())["traceEvents"]
    assert [e["args"]["name"] for e in events if e["name"] == "process_name"] == [
        "rank 0: process 9",
        "rank 0: GPU 0",
    ]
    assert len([e for e in events if e["ph"] == "s"]) == 2
    options = LoadOptions(use_cache=False)
    before, after = load(run, options=options), load(written, options=options)
    for table, columns in (
        ("kernels", ["name", "ts", "dur", "stream", "correlation", "grid", "registers", "api_call", "op"]),
        ("copies", ["name", "ts", "dur", "kind", "direction", "bytes"]),
        ("api_calls", ["name", "ts", "dur", "correlation"]),
        ("annotations", ["name", "ts", "dur"]),
    ):
        same = (t.tables[table].select(columns).to_pylist() for t in (before, after))
        assert next(same) == next(same)


def test_csv_has_plain_columns(run: Path) -> None:
    table = pyarrow.csv.read_csv(exported(run, "csv") / "kernels.csv")
    assert table["name"].to_pylist() == ["gemm", "gemm"]
    assert [table[f"grid_{axis}"][0].as_py() for axis in "xyz"] == [8, 2, 1]


def test_forms_share_a_folder_but_a_file_is_not_overwritten(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = exported(run, "perfetto")
    assert command(["export", str(run), "--no-cache", "--to", "perfetto", "-o", str(folder)]) == 2
    assert "trace.json: exists" in capsys.readouterr().err


def test_a_chrome_trace_knows_its_device(tmp_path: Path) -> None:
    recorded = Path(__file__).parents[2] / "fixtures/gpu/gemm_small.plain.trace.json.gz"
    assert (
        command(["export", str(recorded), "--no-cache", "--to", "perfetto", "-o", str(tmp_path / "p")]) == 0
    )
    written = tmp_path / "p/trace.json"
    named = [
        e["args"]["name"]
        for e in json.loads(written.read_text())["traceEvents"]
        if e["name"] == "process_name"
    ]
    assert named[-1] == "rank 0: GPU 0 (NVIDIA H200)"
    options = LoadOptions(use_cache=False)
    before, after = (load(path, options=options).devices for path in (recorded, written))
    assert after.to_pylist() == before.to_pylist()
