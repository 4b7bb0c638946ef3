"""What each command prints and writes, on a trace and an analysis made by hand."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click
import pyarrow.parquet as pq
import pytest
from fake_pipeline import DEVICE, KERNELS, MS, RESULTS, a_kernel, a_trace

from traceanalyzer.analyzers.results import (
    Breakdown,
)
from traceanalyzer.cli.command_line import run
from traceanalyzer.cli.table import print_text
from traceanalyzer.ingest import cache
from traceanalyzer.model.parquet import storable
from traceanalyzer.model.schema import BY_NAME
from traceanalyzer.model.trace import HOW_TO_CAPTURE, Capability
from traceanalyzer.reporters.units import UNKNOWN

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.rules.analysis import Analysis

pytest_plugins = ["faked_commands"]
pytestmark = pytest.mark.usefixtures("here", "loaded")
Out = Callable[..., str]


def test_text_shows_readable_units_under_a_header(out: Out) -> None:
    header, first, *_ = out("kernels", "run.json").splitlines()
    assert re.split(r"  +", header) == ["Kernel", "Total", "Share", "Calls", "Mean", "Limited by", "Of roof"]
    assert first.split() == ["gemm", "3.00", "ms", "50", "%", "2", "1.50", "µs", "–", "–"]


def test_text_never_prints_control_characters_of_names(out: Out) -> None:
    for arguments in (["kernels", "run.json"], ["query", "run.json", "SELECT name FROM kernels"]):
        text = out(*arguments)
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "evil" in text


def test_top_limits_rows_and_the_rest_is_told_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["kernels", "run.json", "--top", "1"]) == 0
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 2
    assert "2 more" in captured.err


@pytest.mark.parametrize(
    ("command", "rows", "field", "value"),
    [
        ("kernels", 3, "total_ns", 3_000_000),
        ("ops", 1, "device_ns", 3_000_000),
        ("modules", 2, "path", "Net"),
        ("steps", 2, "idle_ns", 20),
        ("memory", 1, "peak_allocated_bytes", 3 << 30),
    ],
)
def test_json_has_a_schema_version_and_exact_values(
    command: str, rows: int, field: str, value: object, out: Out
) -> None:
    content = json.loads(out(command, "run.json", "--json"))
    assert content["schema_version"] == 1
    assert len(content[command]) == rows
    assert content[command][0][field] == value


@pytest.mark.parametrize("command", ["kernels", "ops", "modules", "steps", "memory"])
def test_csv_has_the_columns_of_json_and_empty_for_unknown(command: str, out: Out) -> None:
    rows = list(csv.DictReader(io.StringIO(out(command, "run.json", "--csv"))))
    assert rows
    if command != "memory":
        first = json.loads(out(command, "run.json", "--json"))[command][0]
        assert list(rows[0]) == list(first)
        assert [rows[0][k] == "" for k in first] == [v is None for v in first.values()]


def test_csv_quotes_names(out: Out) -> None:
    rows = list(csv.DictReader(io.StringIO(out("kernels", "run.json", "--csv"))))
    assert [row["name"] for row in rows] == [row.name for row in KERNELS.rows]


def test_on_a_terminal_the_summary_is_in_colour(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    def show(_: Analysis, *, top: int) -> None:
        sys.stdout.write(f"colourful {top}")

    monkeypatch.setattr(import_module("traceanalyzer.reporters.terminal"), "show", show)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert out("summary", "run.json", "--top", "9") == "colourful 9"


def test_text_fits_a_terminal_and_keeps_both_ends_of_names(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "20")
    long = replace(KERNELS, rows=(a_kernel("begin" + "x" * 80 + "end", MS),))
    monkeypatch.setitem(RESULTS, "kernels", long)
    header, row = out("kernels", "run.json").splitlines()
    assert len(click.unstyle(header)) == len(row) == 80
    assert re.match(r"beginx+…x*end ", row)


def test_of_a_line_of_code_a_narrow_terminal_keeps_file_and_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    print_text(["Line", "Bytes"], [False, True], [["src/company/models/language.py:41 forward", "960 MiB"]])
    row = capsys.readouterr().out.splitlines()[1]
    assert row.startswith("…")
    assert "/language.py:41 forward" in row
    assert len(row) <= 40


def test_columns_without_room_on_a_terminal_are_named_and_numbers_stay_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "36")
    titles, cells = ["Kernel", "Total", "Calls", "Mean"], [["gemm" * 9, "123 ms", "12,345", "10.0 µs"]]
    print_text(titles, [False, True, True, True], cells)
    told = capsys.readouterr()
    lines = click.unstyle(told.out).splitlines()
    assert [line.split()[1:] for line in lines] == [
        ["Total", "Calls"],
        ["123", "ms", "12,345"],
    ]
    assert max(map(len, lines)) <= 36
    assert told.err == "No room for Mean: widen the terminal\n"


def test_steps_of_several_devices_name_them(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    assert "Device" not in out("steps", "run.json")
    monkeypatch.setitem(RESULTS, "breakdown", Breakdown((DEVICE, replace(DEVICE, device=0)), ()))
    header, *rows = out("steps", "run.json").splitlines()
    assert header.split()[:3] == ["Rank", "Device", "Step"]
    assert [row.split()[:2] for row in rows] == [["0", "1"], ["0", "1"], ["0", "0"], ["0", "0"]]


def test_json_and_csv_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["kernels", "run.json", "--json", "--csv"]) == 2
    assert "exclude" in capsys.readouterr().err


def test_ops_by_shape(out: Out) -> None:
    assert "[[2,3]]" in out("ops", "run.json", "--by-shape")
    assert "[[2,3]]" not in out("ops", "run.json")


def test_modules_are_indented_by_depth(out: Out) -> None:
    _, net, linear = out("modules", "run.json").splitlines()
    assert net.startswith("Net ")
    assert linear.startswith("  Linear ")


def test_steps_without_a_device_show_their_duration_alone(monkeypatch: pytest.MonkeyPatch, out: Out) -> None:
    monkeypatch.delitem(RESULTS, "breakdown")
    first, second = json.loads(out("steps", "run.json", "--json"))["steps"]
    assert (first["wall_ns"], second["wall_ns"]) == (100, 80)
    assert first["compute_ns"] is None


def test_memory_names_the_peak_and_its_holders(out: Out) -> None:
    text = out("memory", "run.json")
    assert f"peak 3.00 GiB allocated, {UNKNOWN} reserved" in text
    assert "train.py:7" in text


@pytest.mark.parametrize(
    ("command", "capability"),
    [("kernels", "DEVICE_WORK"), ("modules", "MODULES"), ("memory", "MEMORY"), ("steps", "STEPS")],
)
def test_what_was_not_recorded_is_said_with_how_to_capture_it(
    command: str, capability: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(RESULTS, command)
    assert run([command, "run.json"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert HOW_TO_CAPTURE[Capability[capability]] in captured.err


def test_options_reach_the_pipeline(out: Out, loaded: list[tuple[Any, ...]]) -> None:
    out("kernels", "a.json", "b*.json", "--no-cache", "--max-ratio", "9", "--workers", "3", "--step", "batch")
    (inputs, options, progress, mapping), (step,) = loaded
    assert inputs == ("a.json", "b*.json")
    assert (options.use_cache, options.max_ratio, options.workers) == (False, 9.0, 3)
    assert progress is None  # stderr is no terminal here
    assert step == "batch"
    assert mapping is None
    out("kernels", "a.json", "--mapping", "eager.json")
    assert loaded[2][3] == "eager.json"


def test_a_terminal_is_no_trace(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    assert run(["info", "-"]) == 2
    assert "stdin is a terminal" in capsys.readouterr().err


def test_info_says_what_is_there_what_is_missing_and_how_to_get_it(out: Out) -> None:
    text = out("info", "run.json")
    for said in ("chrome", "512 B", "ab" * 32, "kernels", "device work", "partial: is cut Copy again."):
        assert said in text
    assert f"shapes: {HOW_TO_CAPTURE[Capability.SHAPES]}" in text
    content = json.loads(out("info", "run.json", "--json"))
    assert content["shows"] == ["device_work"]
    assert set(content["lacks"]) == {c.value for c in Capability} - {"device_work"}


def test_export_writes_every_table(here: Path, out: Out) -> None:
    out("export", "run.json", "-o", "new/tables")
    assert {p.stem for p in (here / "new/tables").iterdir()} == set(BY_NAME)
    assert pq.read_table(here / "new/tables/kernels.parquet").equals(storable(a_trace().kernels))


def test_export_does_not_overwrite_unless_forced(here: Path, out: Out) -> None:
    out("export", "run.json", "-o", "t")
    assert run(["export", "run.json", "-o", "t"]) == 2
    out("export", "run.json", "-o", "t", "--force")


def test_cache_shows_and_clears(here: Path, out: Out, capsys: pytest.CaptureFixture[str]) -> None:
    cache.store(here / "run.json", "ab" * 32, a_trace())
    assert "run.json" in out("cache")
    assert json.loads(out("cache", "--json"))["entries"][0]["sha256"] == "ab" * 32
    assert run(["cache", "clear"]) == 0
    assert "Entries removed from" in capsys.readouterr().err
    assert out("cache") == ""


def test_summary_as_csv_has_one_row_per_device_and_a_column_per_cause(
    monkeypatch: pytest.MonkeyPatch, out: Out
) -> None:
    devices = [
        {"rank": 0, "device": 0, "wall_ns": 9, "idle_causes": {"dispatch": 3}, "steps": [{"wall_ns": 9}]},
        {"rank": 0, "device": 1, "wall_ns": 8, "idle_causes": {"copy": 2}, "steps": []},
    ]
    content = json.dumps({"breakdown": devices})
    monkeypatch.setattr(import_module("traceanalyzer.reporters"), "render", lambda *_, **__: content)
    assert out("summary", "run.json", "--csv").splitlines() == [
        "rank,device,wall_ns,idle_copy_ns,idle_dispatch_ns",
        "0,0,9,,3",
        "0,1,8,2,",
    ]
