"""Everybody can use it: axe-core finds nothing on the page and in the tab, light and dark, with everything unfolded."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import report_cases as cases
from axe import AXE, violations
from test_report_devices import node, run_of

import traceanalyzer as ta
from traceanalyzer.rules.comparison import compare
from traceanalyzer.source_links import source_links

if TYPE_CHECKING:
    from collections.abc import Callable

    from opened import Opened
    from playwright.sync_api import Page

    from traceanalyzer.rules.analysis import Analysis

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not AXE.exists(), reason="NO AXE: accessibility is not tested; make .venv/axe.min.js (needs npm)"
    ),
]


def test_it_would_find_something(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.nothing()).page
    page.evaluate("document.querySelector('h1').outerHTML = '<p class=muted>grey<img src=\"data:,\"></p>'")
    assert {line.split(":")[0] for line in violations(page)} == {"image-alt", "page-has-heading-one"}


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    page.wait_for_timeout(100)


def linked() -> Analysis:
    url = "https://github.com/org/repo/blob/abc/{path}#L{line}"
    return replace(cases.training(), source_links=source_links(None, url))


def many_ranks() -> Analysis:
    return run_of(node(8, slow=5))


def oom() -> Analysis:
    return ta.analyze(ta.load(ROOT / "fixtures/snapshots/oom.pickle.gz"))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("case", [linked, cases.nothing, cases.cpu_only, oom, many_ranks])
def test_the_page(open_page: Callable[..., Opened], case: Callable[[], Analysis], theme: str) -> None:
    page = open_page(case(), color_scheme=theme).page
    unfold(page)
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_with_a_range_and_an_event_chosen(open_page: Callable[..., Opened], theme: str) -> None:
    page = open_page(linked(), color_scheme=theme).page
    page.locator("#timeline-canvas").focus()
    page.keyboard.press("n")
    page.keyboard.press("r")
    page.wait_for_timeout(250)
    unfold(page)
    assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_two_runs_on_a_page(browser: Any, tmp_path: Path, theme: str) -> None:
    from traceanalyzer.reporters.html import comparison

    path = tmp_path / "diff.html"
    before, after = (
        ta.analyze(ta.load(ROOT / f"fixtures/simulated/sim_{name}_allreduce.json.gz"))
        for name in ("exposed", "overlapped")
    )
    path.write_text(comparison.page(compare(before, after)), "utf-8")
    with browser.new_context(color_scheme=theme) as context:
        page = context.new_page()
        page.goto(path.as_uri())
        unfold(page)
        assert violations(page) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_with_its_figures_drawn(open_page: Callable[..., Opened], theme: str) -> None:
    page = open_page(linked(), color_scheme=theme).page
    page.locator('figure[data-figure="steps-0"]').scroll_into_view_if_needed()
    page.wait_for_selector('figure[data-figure="steps-0"] .plot[data-drawn] svg', timeout=30_000)
    assert violations(page) == []
