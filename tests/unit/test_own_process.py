"""Our own processes do not load pandas, which works there afterwards, nor modules that lie beside the traces."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from traceanalyzer.own_process import worker_command

FIXTURE = Path(__file__).parents[2] / "fixtures/simulated/sim_gemm_bound.json.gz"


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_a_report_is_made_without_pandas(tmp_path: Path) -> None:
    said = run(
        "import sys\n"
        "from traceanalyzer.cli import main\n"
        f"sys.argv = ['trace-analyze', 'report', {str(FIXTURE)!r}, '--no-cache', '-o', {str(tmp_path / 'x.html')!r}]\n"
        "try:\n    main()\nexcept SystemExit as done:\n    assert not done.code\n"
        "print('pandas loaded:', 'pandas' in sys.modules)"
    )
    assert said.endswith("pandas loaded: False\n")


def test_pandas_works_after_it_was_left_out() -> None:
    said = run(
        "from traceanalyzer.own_process import start_light\n"
        "start_light()\n"
        "import pyarrow as pa, sys\n"
        "pa.array([1])\n"
        "assert 'pandas' not in sys.modules\n"
        "print(type(pa.table({'a': [1]}).to_pandas()).__module__)"
    )
    assert said.strip().startswith("pandas")


@pytest.mark.parametrize(
    "module", ["ingest.chrome.worker", "ingest.snapshot.worker", "ingest.ncu.report"], ids=lambda m: m
)
def test_a_worker_runs_nothing_that_lies_where_it_is_started(module: str, tmp_path: Path) -> None:
    for name in ("json", "numpy", "msgspec"):
        (tmp_path / f"{name}.py").write_text("open('executed', 'w')")
    subprocess.run(worker_command(f"traceanalyzer.{module}"), cwd=tmp_path, capture_output=True, check=False)
    assert not (tmp_path / "executed").exists()
