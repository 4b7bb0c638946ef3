"""The summaries for a terminal and for a pull request."""

from __future__ import annotations

import re
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import report_cases as cases
from rich.console import Console

from traceanalyzer import pipeline
from traceanalyzer.errors import UsageError
from traceanalyzer.reporters import REPORTERS, markdown, render, terminal
from traceanalyzer.reporters.facts import ReportFacts
from traceanalyzer.rules.findings import Evidence
from traceanalyzer.rules.savings import Combined
from traceanalyzer.text import say

GPU = Path(__file__).parents[2] / "fixtures" / "gpu"
HOSTILE = "x](http://evil) <script> |a| `b` \x1b[31m\u202e @everyone [bold]\r\n# no"


@pytest.mark.parametrize("format_", ["text", "markdown"])
def test_a_summary_says_what_is_slow_and_what_to_do_first(format_: str) -> None:
    text = render(cases.training(), format_, top=3)
    assert "The GPU idles 57 % of the step" in text
    assert text.index("LOAD001") < text.index("COPY001")
    assert "num_workers=8" in text
    assert "7.00–9.00 ms" in text
    assert "21.4 %" in text


@pytest.mark.parametrize("format_", ["text", "markdown"])
def test_unknown_is_a_dash(format_: str) -> None:
    text = render(cases.cpu_only(), format_)
    assert "CPU only" in text
    assert "0 s" not in text


@pytest.mark.parametrize("format_", list(REPORTERS))
def test_equal_analyses_give_equal_text(format_: str) -> None:
    assert render(cases.training(2, 2), format_) == render(cases.training(2, 2), format_)


@pytest.mark.parametrize("format_", list(REPORTERS))
def test_simulated_traces_say_so(format_: str) -> None:
    assert "simulated" in render(cases.cpu_only(), format_).lower()


@pytest.mark.parametrize("format_", ["html", "markdown", "text"])
def test_what_the_device_did_before_the_first_step_is_told_apart(format_: str) -> None:
    recorded = pipeline.analyze(pipeline.load(GPU / "gemm_fp32.plain.trace.json.gz"))
    (device,) = recorded["breakdown"].devices
    assert device.before_steps_ns > device.steps[0].wall_ns / 2, "the warm-up was still being worked on"
    said = "went into work that was launched before the first step"
    assert said in render(recorded, format_)
    assert said not in render(cases.training(), format_)


def test_the_summary_says_at_which_lines() -> None:
    evidence = tuple(Evidence(say("a gap"), python=line) for line in ("a.py:1", "b.py:2", "a.py:1", "c.py:3"))
    told = replace(cases.training(), findings=(replace(cases.training().findings[0], evidence=evidence),))
    assert "\n   at a.py:1, b.py:2 and 1 more\n" in terminal.render(told)


def test_where_no_kernel_was_recorded_the_summary_shows_the_ops_of_the_host() -> None:
    shown = terminal.render(cases.cpu_only()).splitlines()
    assert [line.split() for line in shown[-2:]] == [
        ["Op", "Host,", "self", "Calls"],
        ["aten::mm", "5.00", "µs", "1"],
    ]


def a_replay(*codes: str, saves: tuple[int, int], steps: int = 3) -> Combined:
    return Combined(codes, len(codes), 0, (0,), 0, steps, steps, 1_000_000, 0.01, saves)


def combined(found: Combined) -> str:
    return ReportFacts.of(replace(cases.training(), combined=found)).combined


def test_what_fixes_save_together_is_told_where_it_adds_to_what_was_said() -> None:
    assert combined(a_replay("A1", "B2", saves=(1000, 2000))).startswith(
        "All 2 fixes that can be replayed (A1, B2)"
    )
    assert combined(a_replay("A1", saves=(1000, 2000))) == (
        "The saving of A1 comes from a replay of steps 0 to 2 of rank 0, which gives the recorded time within 1.0 %."
    )
    assert combined(a_replay("A1", "B2", saves=(0, 0), steps=1)) == (
        "A replay of step 0 of rank 0 gets no shorter by A1, B2; without a change it comes out within 1.0 %."
    )


def test_without_steps_the_trace_was_replayed() -> None:
    base = cases.training()
    unmarked = {**base.results, "steps": replace(base["steps"], kind="window")}
    found = a_replay("A1", saves=(1000, 2000), steps=1)
    told = ReportFacts.of(replace(base, results=unmarked, combined=found)).combined
    assert "a replay of the trace of rank 0, which" in told


def test_what_is_none_of_the_time_is_not_told() -> None:
    recorded = pipeline.analyze(pipeline.load(GPU / "add.plain.trace.json.gz"))
    assert "Work is known for 100 % of the kernel time.\n" in terminal.render(recorded)


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="html, json, markdown, text"):
        render(cases.nothing(), "pdf")


def test_plain_text_has_no_escapes_and_fits_its_width() -> None:
    text = render(cases.training(), "text")
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= terminal.WIDTH


@pytest.mark.parametrize("width", [64, 80, 200])
def test_the_bar_fills_its_line_and_numbers_stay_whole(width: int) -> None:
    out = StringIO()
    terminal.show(cases.training(), console=Console(file=out, width=width, color_system=None))
    bar = next(line for line in out.getvalue().splitlines() if line.startswith("████"))
    assert len(bar) == min(width, terminal.MAX_BAR)
    assert "26.5 ms" in out.getvalue()


def test_a_narrow_terminal_gets_fewer_columns_and_no_cut_number() -> None:
    out = StringIO()
    terminal.show(cases.training(), console=Console(file=out, width=40, color_system=None))
    _, _, below = out.getvalue().partition("\nKernels\n")
    header, *rows = below.splitlines()
    assert header.split()[:3] == ["Kernel", "Total", "Share"]
    assert "Mean" not in header, "no room for it"
    assert rows
    assert all(re.search(r"… +\d[\d.]* (ms|µs) +[\d.]+ %", row) for row in rows if row.strip())


def test_colour_comes_with_a_terminal_and_not_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured, plain = StringIO(), StringIO()
    terminal.show(
        cases.training(2, 2), console=Console(file=coloured, force_terminal=True, color_system="standard")
    )
    assert "\x1b[34m" in coloured.getvalue()
    monkeypatch.setenv("NO_COLOR", "1")
    terminal.show(
        cases.training(2, 2), console=Console(file=plain, force_terminal=True, color_system="standard")
    )
    assert "\x1b[34m" not in plain.getvalue()


def test_hostile_names_do_not_reach_the_terminal_raw() -> None:
    text = render(cases.with_names(HOSTILE), "text")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "⟨U+001B⟩[31m" in text
    assert "[bold]" in text, "a name is no markup for rich"


def test_hostile_names_are_no_markdown() -> None:
    text = render(cases.with_names(HOSTILE), "markdown")
    assert "\x1b" not in text
    assert "\n# no" not in text
    outside_code = "".join(markdown._CODE_OR_FENCE.split(text)[::2])
    assert "<script>" not in outside_code
    assert not re.search(r"(?<!\\)\]\(", outside_code)


def test_a_name_cannot_end_its_code_span() -> None:
    assert markdown.code("a``b`") == "``` a``b` ```"


def test_an_empty_trace_gives_a_short_honest_summary() -> None:
    text = render(cases.nothing(), "text")
    assert "The trace holds no events" in text
    assert "The file holds no events" in text
    assert "What to do" not in text
