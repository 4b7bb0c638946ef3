"""Fixtures of commands on a pipeline that answers with a trace and results made by hand."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest
from fake_pipeline import RESULTS, a_trace

from traceanalyzer import pipeline
from traceanalyzer.cli.command_line import run
from traceanalyzer.ingest import cache
from traceanalyzer.rules.analysis import Analysis
from traceanalyzer.rules.findings import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from traceanalyzer.model.trace import Trace


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, with a file that the fake loader pretends to read."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(cache.DIRECTORY_VARIABLE, str(tmp_path / "cache"))
    (tmp_path / "run.json").write_text("{}")
    return tmp_path


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was asked of the pipeline; it answers with the hand-made trace and results."""
    asked: list[tuple[Any, ...]] = []

    def load(*inputs: str, options: Any, progress: Any, mapping: Any) -> Trace:
        asked.append((inputs, options, progress, mapping))
        return a_trace()

    def analyze(trace: Trace, *, step: str | None, hardware: object) -> Analysis:
        asked.append((step,))
        verdict = Verdict("compute", "Compute bound.", "high")
        return Analysis(trace, dict(RESULTS), verdict, (), (), ())

    monkeypatch.setattr(pipeline, "load", load)
    monkeypatch.setattr(pipeline, "analyze", analyze)
    room = import_module("traceanalyzer.reporters")
    monkeypatch.setattr(room, "render", lambda _, form, *, top: f"<{form} {top}>\n")
    return asked


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that succeeds; its stdout."""

    def of(*arguments: str) -> str:
        code = run(arguments)
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    return of
