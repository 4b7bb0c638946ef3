"""What `report` writes, where, and what it never overwrites; on a trace and an analysis made by hand."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from traceanalyzer.cli.command_line import run

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.rules.analysis import Analysis

pytest_plugins = ["faked_commands"]
pytestmark = pytest.mark.usefixtures("here", "loaded")
Out = Callable[..., str]


def test_report_writes_beside_the_current_folder_and_summarises(here: Path, out: Out) -> None:
    assert out("report", "run.json") == "<text 5>\n"
    assert (here / "run.report.html").read_text() == "<html 50>\n"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("x/run.json.gz", "run"), ("host.1.pt.trace.json", "host.1"), ("run.zst", "run"),
        ("no_suffix", "no_suffix"), ("rank*.json", "rank"), ("*.json", "trace"), ("-", "stdin"),
    ],
)  # fmt: skip
def test_report_is_named_after_the_first_input(
    given: str, name: str, here: Path, monkeypatch: pytest.MonkeyPatch, out: Out
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    out("report", given, "other.json")
    assert (here / f"{name}.report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        (["--format", "markdown"], {"run.report.md": "<markdown 50>\n"}),
        (["-o", "x.md", "--top", "7"], {"x.md": "<markdown 7>\n"}),
        (["-o", "x.html", "--json", "x.json"], {"x.html": "<html 50>\n", "x.json": "<json 50>\n"}),
    ],
)
def test_report_formats(arguments: list[str], written: dict[str, str], here: Path, out: Out) -> None:
    out("report", "run.json", *arguments)
    new = {p.name: p.read_text() for p in here.iterdir() if p.is_file() and p.name != "run.json"}
    assert new == written


def test_report_json_on_stdout_is_json_alone_and_writes_nothing(here: Path, out: Out) -> None:
    assert out("report", "run.json", "--json", "-") == "<json 50>\n"
    assert [p.name for p in here.iterdir()] == ["run.json"]


def test_report_on_stdout(out: Out) -> None:
    assert out("report", "run.json", "--format", "markdown", "-o", "-") == "<markdown 50>\n"


def test_report_does_not_overwrite_unless_forced(
    here: Path, loaded: list[tuple[Any, ...]], capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "run.report.html").write_text("mine")
    assert run(["report", "run.json"]) == 2
    assert "--force" in capsys.readouterr().err
    assert loaded == []  # told before the work, not after it
    assert (here / "run.report.html").read_text() == "mine"
    assert run(["report", "run.json", "--force"]) == 0
    assert (here / "run.report.html").read_text() == "<html 50>\n"


def test_report_never_overwrites_its_input(here: Path) -> None:
    assert run(["report", "run.json", "-o", "./run.json", "--force"]) == 2
    assert (here / "run.json").read_text() == "{}"


@pytest.mark.parametrize("place", ["-", "x.json"])
def test_report_and_json_cannot_go_to_the_same_place(place: str, here: Path) -> None:
    assert run(["report", "run.json", "-o", place, "--json", place]) == 2
    assert [p.name for p in here.iterdir()] == ["run.json"]


def test_report_writes_the_page_also_when_nobody_reads_the_summary(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(_: Analysis) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("traceanalyzer.cli.report.print_summary", gone)
    monkeypatch.setattr(os, "dup2", lambda *_: None)
    assert run(["report", "run.json", "-o", "page.html"]) == 141
    assert (here / "page.html").read_text() == "<html 50>\n"


def test_report_into_a_folder_that_is_not_there_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", "run.json", "-o", "no/where.html"]) == 2
    assert "folder does not exist" in capsys.readouterr().err
