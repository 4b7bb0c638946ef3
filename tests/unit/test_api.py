"""The Python API as it is documented."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import traceanalyzer as ta
from traceanalyzer.model.schema import TABLES

TRACE = Path(__file__).parents[2] / "fixtures" / "simulated" / "sim_training_mixed.json.gz"


@pytest.fixture(scope="module")
def analysis() -> Any:
    return ta.analyze(ta.load(TRACE))


def test_an_analysis_has_a_verdict_findings_and_results_by_name(analysis: Any) -> None:
    assert analysis.verdict.headline
    assert analysis.findings
    assert analysis["breakdown"].devices


def test_a_mistyped_analyzer_is_told_which_there_are(analysis: Any) -> None:
    with pytest.raises(KeyError, match=r"no analyzer 'brakdown'; there are .*breakdown"):
        analysis["brakdown"]


def test_report_writes_every_format_and_can_be_called_again(analysis: Any, tmp_path: Path) -> None:
    for name in ("run.html", "again.html", "run.json", "run.md", "run.txt"):
        assert ta.report(analysis, tmp_path / name).stat().st_size > 100
    assert (tmp_path / "run.html").read_bytes() == (tmp_path / "again.html").read_bytes()


def test_every_table_of_the_schema_is_an_attribute_with_its_columns(analysis: Any) -> None:
    for table in TABLES:
        loaded = getattr(analysis.trace, table.name)
        assert loaded.column_names == [c.name for c in table.columns], table.name
        assert list(loaded.to_pandas().columns) == loaded.column_names
    with pytest.raises(AttributeError, match="it has ops"):
        _ = analysis.trace.no_such_table


def test_many_files_load_as_ranks_on_one_axis() -> None:
    pair = sorted(TRACE.parent.glob("sim_straggler_rank*.json.gz"))
    trace = ta.load(*pair)
    assert [s.rank for s in trace.sources] == [0, 1]
    assert set(trace.kernels["rank"].to_pylist()) == {0, 1}
    assert trace.kernels["id"].to_pylist() == list(range(trace.kernels.num_rows))
    alone = [ta.load(p).kernels for p in pair]
    assert trace.kernels["dur"].to_pylist() == [d for t in alone for d in t["dur"].to_pylist()]


def test_the_same_file_twice_gets_two_ranks_and_says_so(tmp_path: Path) -> None:
    copy = tmp_path / "copy.json.gz"
    copy.write_bytes(TRACE.read_bytes())
    trace = ta.load(TRACE, copy)
    assert [s.rank for s in trace.sources] == [0, 1]
    assert "shown as rank 1" in trace.sources[1].notes[-1].message


def test_importing_costs_nothing() -> None:
    code = "import sys, traceanalyzer; print([m for m in ('numpy', 'pyarrow', 'pandas', 'click') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_at_a_prompt_everything_is_a_line(analysis: Any) -> None:
    assert repr(analysis.trace).startswith(f"<Trace {str(TRACE)!r}: ")
    assert " kernels, " in repr(analysis.trace)
    assert analysis.verdict.headline in repr(analysis)
    assert "INPUT001" in repr(analysis)
    comparison = ta.compare(analysis, analysis)
    assert repr(comparison).endswith(": +0.0% per step>")
    assert all(len(repr(shown)) < 1000 for shown in (analysis.trace, analysis, comparison))
