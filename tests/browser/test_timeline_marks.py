"""Findings and the timeline: every place that proves a finding has a flag, and a way there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import report_cases as cases

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Opened
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def marks(page: Page) -> list[dict[str, Any]]:
    page.wait_for_function("window.traceReport.marks")
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
    page.wait_for_function(
        "id => document.getElementById(id).getBoundingClientRect().top < 100", arg=f"finding-{first['code']}"
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
