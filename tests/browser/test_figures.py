"""The figures that Plotly draws: when they are looked at, in the page's colours, within the page's policy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import report_cases as cases
from compute_situations import FAST, STREAM, Computing
from pages import until

import traceanalyzer.pipeline as ta
from traceanalyzer.reporters.html import figures

if TYPE_CHECKING:
    from collections.abc import Callable

    from opened import Opened
    from playwright.sync_api import Page

    from traceanalyzer.rules.analysis import Analysis

pytestmark = pytest.mark.browser
SNAPSHOT = Path(__file__).parents[2] / "fixtures/snapshots/oom.pickle.gz"
HOSTILE = "aten::<b onmouseover=alert(1)></script>"


def computing(op: str = "aten::mm") -> Analysis:
    """Half of the time products near the peak, half an addition near the memory's bandwidth, on an H100."""
    b = Computing()
    for _ in range(4):
        b.work("aten::mm", FAST, 199, [4096, 4096], [4096, 4096])
        b.work("aten::add", STREAM, 200, [1 << 27], [1 << 27])
    analysis = ta.analyze(b.done().trace())
    found = analysis.results["roofline"]
    rows = tuple(replace(row, op=op) if row.op == "aten::mm" else row for row in found.rows)
    return replace(analysis, results={**analysis.results, "roofline": replace(found, rows=rows)})


def show(page: Page, name: str) -> Any:
    """Scroll to a figure, wait for it, and return what Plotly has drawn."""
    page.locator(f'figure[data-figure="{name}"]').scroll_into_view_if_needed()
    plot = f'figure[data-figure="{name}"] .plot'
    page.wait_for_selector(f"{plot}[data-drawn] svg", timeout=30_000)
    return page.locator(plot).evaluate(
        "p => p.data.map(t => ({name: t.name, mode: t.mode, x: t.x, y: t.y, text: t.text, colour: t.marker?.color}))"
    )


def test_nothing_is_drawn_across_the_bars_of_steps(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    name = page.locator("figure.steps").first.get_attribute("data-figure")
    page.locator("figure.steps").first.hover()
    page.wait_for_selector(f'figure[data-figure="{name}"] .plot[data-drawn] svg', timeout=30_000)
    borders = page.locator("figure.steps svg.main-svg").evaluate_all(
        "all => all.map(svg => getComputedStyle(svg).borderBottomWidth)"
    )
    assert set(borders) == {"0px"}, "the rule below the server's picture is not for Plotly's"


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_roofline_is_drawn_when_it_is_scrolled_to(open_page: Callable[..., Opened], theme: str) -> None:
    opened = open_page(computing(), color_scheme=theme)
    page = opened.page
    assert page.evaluate("typeof Plotly") == "undefined", (
        "4.8 MB of script are not run before a figure is looked at"
    )
    drawn = {t["name"]: t for t in show(page, "roofline")}
    assert set(drawn) == {
        "compute", "memory bandwidth", "3.35 TB/s", "bf16 989.4 TFLOP/s", "tf32 494.7 TFLOP/s", "fp32 66.9 TFLOP/s",
    }  # fmt: skip
    (speed,) = drawn["compute"]["y"]
    assert speed == pytest.approx(2 * 4096**3 / 199e-6 / 1e12, rel=1e-3)
    colour = page.evaluate("getComputedStyle(document.documentElement).getPropertyValue('--compute').trim()")
    assert drawn["compute"]["colour"] == colour
    assert opened.errors == []
    assert opened.console == []
    assert len(opened.requests) == 1


def test_the_figures_follow_the_theme(open_page: Callable[..., Opened]) -> None:
    page = open_page(computing(), color_scheme="light").page
    before = show(page, "roofline")[0]["colour"]
    page.emulate_media(color_scheme="dark")
    until(
        page,
        "old => document.querySelector('figure[data-figure=roofline] .plot').data[0].marker.color !== old",
        arg=before,
    )


def test_durations_add_up_to_the_kernel_time(open_page: Callable[..., Opened]) -> None:
    analysis = computing()
    drawn = show(open_page(analysis).page, "durations")
    total_ms = sum(sum(trace["y"]) for trace in drawn)
    assert total_ms == pytest.approx(analysis.results["kernels"].total_ns / 1e6, rel=1e-6)


def test_hostile_names_are_text_in_figures(open_page: Callable[..., Opened]) -> None:
    opened = open_page(computing(HOSTILE))
    show(opened.page, "roofline")
    told = json.dumps(opened.page.locator("#roofline .plot").first.evaluate("p => p.data.map(t => t.text)"))
    assert "&lt;b onmouseover" in told
    assert "<b " not in told
    assert opened.page.locator("#roofline b[onmouseover]").count() == 0
    assert opened.errors == []


def test_a_page_without_figures_carries_no_plotly(open_page: Callable[..., Opened]) -> None:
    assert open_page(cases.cpu_only()).page.locator("#plotly").count() == 0
    assert figures.roofline(None) is None


def test_steps_are_columns_that_add_up_to_the_wall_time(open_page: Callable[..., Opened]) -> None:
    analysis = cases.training()
    opened = open_page(analysis)
    page = opened.page
    assert page.locator('figure[data-figure="steps-0"] svg').count() == 1, (
        "until then the picture of the server"
    )
    drawn = {t["name"]: t for t in show(page, "steps-0")}
    (device,) = analysis["breakdown"].devices
    expected = [part.wall_ns / 1e6 for part in device.steps]
    parts = [drawn[name]["y"] for name in ("Compute", "Exposed communication", "Exposed copies", "Idle")]
    assert [sum(values) for values in zip(*parts, strict=True)] == pytest.approx(expected, rel=1e-5)
    assert "ProfilerStep#8" in drawn["Idle"]["text"][5]
    assert page.locator('figure[data-figure="steps-0"] .plot > svg').count() == 0, "the server's is gone"
    assert opened.errors == []
    assert opened.console == []


def test_what_memory_was_for_is_drawn_when_it_is_scrolled_to(open_page: Callable[..., Opened]) -> None:
    analysis = ta.analyze(ta.load(SNAPSHOT))
    opened = open_page(analysis)
    page = opened.page
    assert page.evaluate("typeof Plotly") == "undefined"
    drawn = {t["name"]: t for t in show(page, "uses-0")}
    (device,) = analysis["snapshot"].devices
    assert set(drawn) == {use.replace("_", " ") for use in device.composition.by_category}
    use, levels = next(iter(device.composition.by_category.items()))
    share = [y / max(1e-9, level) for y, level in zip(drawn[use]["y"], levels, strict=True) if level]
    assert max(share) == pytest.approx(min(share), rel=1e-3)
    assert opened.errors == []


def test_without_javascript_the_steps_are_still_there(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training(), java_script_enabled=False).page
    assert page.locator('figure[data-figure="steps-0"] svg').is_visible()
