"""Findings and the timeline: every place that proves a finding has a flag, and a way there and back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import played_run
import pytest
import report_cases as cases
from pages import until

from traceanalyzer.rules.findings import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable

    from opened import Opened
    from playwright.sync_api import Page

    from traceanalyzer.rules.analysis import Analysis

pytestmark = pytest.mark.browser


def marks(page: Page) -> list[dict[str, Any]]:
    until(page, "window.traceReport.marks")
    found: list[dict[str, Any]] = page.evaluate(
        "traceReport.marks.all.map(({code, start, dur}) => ({code, start, dur}))"
    )
    return found


def test_every_place_of_a_finding_has_a_flag(open_page: Callable[..., Opened]) -> None:
    analysis = cases.training()
    placed = [
        (f.code, e.start_ns, e.duration_ns)
        for f in analysis.findings
        for e in f.evidence
        if e.start_ns is not None
    ]
    found = marks(open_page(analysis).page)
    assert [(m["code"], m["start"], m["dur"]) for m in found] == placed
    assert placed


def test_a_link_marks_the_place_and_the_flag_leads_back(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    (first, *_) = marks(page)
    page.locator(f"#finding-{first['code']} a.at").first.click()
    page.wait_for_timeout(80)
    assert page.locator("#timeline-status").inner_text().startswith(f"{first['code']} The data loader")
    axis = page.locator("#timeline-axis")
    middle = page.evaluate(
        "m => { const v = traceReport.timeline.view; return (m.start + m.dur / 2 - v.t0) * v.scale; }", first
    )
    axis.hover(position={"x": middle, "y": 30})
    assert first["code"] in page.locator("#timeline-tip").inner_text()
    axis.click(position={"x": middle, "y": 30})
    until(
        page,
        "id => document.getElementById(id).getBoundingClientRect().top < 100",
        arg=f"finding-{first['code']}",
    )


def test_escape_takes_the_mark_away(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    (first, *_) = marks(page)
    page.locator(f"#finding-{first['code']} a.at").first.click()
    assert page.evaluate("traceReport.marks.current !== null")
    page.locator("#timeline-canvas").focus()
    page.keyboard.press("Escape")
    page.wait_for_timeout(60)
    assert page.evaluate("traceReport.marks.current === null")
    assert page.locator("#timeline-status").inner_text().startswith("Showing")


def with_proofs() -> Analysis:
    """Two findings: one proved by a kernel and by an idle gap, one by the same kernel."""
    base = cases.training(16)
    gap = base["breakdown"].largest_gaps[15]
    idle = Evidence(
        "a gap", "idle_gaps", None, gap.start_ns, gap.duration_ns, rank=gap.rank, device=gap.device
    )
    kernel = Evidence("a kernel", "kernels", name=played_run.NORM)
    first = replace(base.findings[0], evidence=(kernel, idle))
    second = replace(base.findings[1], evidence=(kernel,))
    return replace(base, findings=(first, second))


def test_evidence_leads_to_the_row_that_proves_it_and_back(open_page: Callable[..., Opened]) -> None:
    page = open_page(with_proofs()).page
    page.locator("#finding-LOAD001 a.row").first.click()
    row = page.locator("table[data-sheet=kernels] tr:target")
    assert "layer_norm" in row.inner_text()
    assert row.locator("a.proves").all_inner_texts() == ["LOAD001", "COPY001"]
    row.locator("a.proves").last.click()
    assert page.evaluate("location.hash") == "#finding-COPY001"
    assert "LOAD001" not in page.evaluate("traceReport.sheets.kernels.csv()"), (
        "the mark is not part of the data"
    )


def test_a_row_that_is_folded_away_is_unfolded(open_page: Callable[..., Opened]) -> None:
    page = open_page(with_proofs()).page
    assert page.locator("table[data-sheet=idle-gaps] tr[id]").count() == 1
    assert not page.locator("table[data-sheet=idle-gaps] tr[id]").is_visible()
    page.locator("#finding-LOAD001 a.row").last.click()
    page.wait_for_timeout(60)
    assert page.locator("table[data-sheet=idle-gaps] tr:target").is_visible()


def test_the_place_is_marked_in_its_lane(open_page: Callable[..., Opened]) -> None:
    analysis = with_proofs()
    page = open_page(analysis).page
    marks(page)
    page.locator("#finding-LOAD001 a.at").click()
    selected = page.evaluate("(({y, start}) => ({y, start}))(traceReport.timeline.selected)")
    lane = page.evaluate("traceReport.timeline.tracks.find(t => t.type === 'gaps' && t.gap.of === 'GPU 0').y")
    assert selected["y"] == lane


def test_a_kernel_that_proves_is_found_on_the_timeline(open_page: Callable[..., Opened]) -> None:
    page = open_page(with_proofs()).page
    marks(page)
    page.locator("#finding-COPY001 a.search").click()
    assert page.locator("#timeline-found").inner_text() == "192 found"
    assert "layer_norm" in page.locator("#timeline-status").inner_text()


EVENT_SELECTED = """lane => {
  const { data, selected } = traceReport.timeline, rows = data.tracks.filter((t) => t.type === "row");
  const { row } = rows.find((t) => t.y === selected.y && data.lanes[t.row.lane].label === lane);
  const i = data.start.indexOf(selected.start, row.first);
  return i < row.last ? [data.start[i], data.dur[i]] : [];
}"""


def test_a_place_is_marked_in_the_row_of_its_stream_or_thread(open_page: Callable[..., Opened]) -> None:
    base = cases.training()
    tables = base.trace.tables
    kernel = next(row for row in tables["kernels"].to_pylist() if row["stream"] == 20)
    call = tables["api_calls"].to_pylist()[3]
    found = [
        Evidence("a kernel", "kernels", 0, kernel["ts"], kernel["dur"], rank=0, device=0, stream=20),
        Evidence("a call", "api_calls", 0, call["ts"], call["dur"], rank=0, pid=42, tid=42),
    ]
    page = open_page(replace(base, findings=(replace(base.findings[0], evidence=tuple(found)),))).page
    marks(page)
    origin = page.evaluate("traceReport.timeline.data.origin")
    for link, lane in enumerate(("GPU 0 · stream 20", "python main thread")):
        page.locator("#finding-LOAD001 a.at").nth(link).click()
        start, dur = page.evaluate(EVENT_SELECTED, lane)
        assert (start + origin, dur) == (found[link].start_ns, found[link].duration_ns)
