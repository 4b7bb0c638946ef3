"""Results show themselves in a notebook: HTML without scripts, small, and with every name as text."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from report_cases import cpu_only, nothing, training, with_names

import traceanalyzer as ta
from traceanalyzer.model.trace import Source, Trace
from traceanalyzer.rules.findings import Evidence, Finding, Verdict

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e"
VOID = {"br", "rect", "meta"}


class Tags(HTMLParser):
    """Collects tags and attributes, and fails on what is not closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID or (
            tag == "rect" and self.rawdata and not self.get_starttag_text().endswith("/>")
        ):  # type: ignore[union-attr]
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def hostile_finding() -> Finding:
    return Finding(HOSTILE, HOSTILE, "high", HOSTILE, (Evidence(HOSTILE),), HOSTILE, "high", saving_ns=(1, 2))


def hostile_trace(trace: Trace) -> Trace:
    return replace(trace, sources=(Source(HOSTILE, HOSTILE, "0" * 64, 1, 1, 0),))


def test_an_analysis_shows_its_verdict_where_the_time_went_and_what_to_do() -> None:
    analysis = training()
    shown = analysis._repr_html_()
    assert analysis.verdict.headline[:20] in shown
    assert "Compute" in shown
    assert "<svg" in shown
    assert analysis.findings[0].title in shown
    assert len(shown) < 30_000


@pytest.mark.parametrize("make", [training, nothing, cpu_only], ids=["training", "nothing", "cpu only"])
def test_whatever_was_recorded_makes_well_formed_html(make: object) -> None:
    analysis = make()  # type: ignore[operator]
    for shown in (analysis, analysis.trace):
        Tags(shown._repr_html_())


def test_names_from_files_are_text() -> None:
    analysis = with_names(HOSTILE)
    analysis = replace(
        analysis,
        trace=hostile_trace(analysis.trace),
        findings=(hostile_finding(),),
        verdict=Verdict("compute", HOSTILE, "low"),
    )
    for shown in (analysis, analysis.trace, hostile_finding()):
        html = shown._repr_html_()
        found = Tags(html)
        assert not found.names & {"script", "img", "style", "link", "iframe"}
        assert not [name for name in found.attributes if name.startswith("on")]
        assert "\u202e" not in html


def test_a_trace_says_what_it_holds_and_what_it_lacks() -> None:
    shown = training().trace._repr_html_()
    assert "events" in shown
    assert "Shows: " in shown


def test_a_comparison_shows_what_changed() -> None:
    trace = ta.load("fixtures/simulated/sim_training_mixed.json.gz")
    analysis = ta.analyze(trace)
    shown = ta.compare(analysis, analysis)._repr_html_()
    assert "The step takes" in shown
    Tags(shown)
