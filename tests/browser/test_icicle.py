"""The icicles: boxes as wide as their time, walked by mouse and keyboard."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import report_cases as cases

from traceanalyzer.analyzers.results import PythonStacks, StackNode

if TYPE_CHECKING:
    from collections.abc import Callable

    from opened import Opened
    from playwright.sync_api import Page

    from traceanalyzer.rules.analysis import Analysis

pytestmark = pytest.mark.browser
MS = 1_000_000
NODES = (
    StackNode(-1, 0, "run.py(1): <module>", 100 * MS, 80 * MS),
    StackNode(0, 1, "run.py(9): main", 100 * MS, 80 * MS),
    StackNode(1, 2, "model.py(20): forward", 60 * MS, 60 * MS),
    StackNode(2, 3, "attention.py(5): forward", 20 * MS, 45 * MS),
    StackNode(1, 2, "optim.py(3): step", 40 * MS, 20 * MS),
)


def with_stacks(*nodes: StackNode) -> Analysis:
    base = cases.training()
    return replace(base, results={**base.results, "python_stacks": PythonStacks(nodes or NODES, 0, 0)})


def shown(page: Page) -> Any:
    """Names and widths of the boxes, as shares of the canvas."""
    page.locator("figure[data-icicle=stacks]").scroll_into_view_if_needed()
    page.wait_for_selector("figure[data-icicle=stacks][data-drawn]")
    return page.evaluate("""(() => {
      const icicle = traceReport.icicles.stacks;
      return icicle.boxes.map(b => [icicle.nameOf(b.i), Math.round(100 * b.w / icicle.canvas.clientWidth)]);
    })()""")


def status(page: Page) -> str:
    return page.locator("#stacks-status").inner_text()


def test_it_begins_where_the_time_forks(open_page: Callable[..., Opened]) -> None:
    opened = open_page(with_stacks())
    assert shown(opened.page) == [
        ["run.py(1): <module>", 100],
        ["run.py(9): main", 100],
        ["model.py(20): forward", 75],
        ["attention.py(5): forward", 56],
        ["optim.py(3): step", 25],
    ]
    assert opened.errors == []
    assert opened.console == []


def test_a_click_fills_the_view_and_the_button_goes_back(open_page: Callable[..., Opened]) -> None:
    page = open_page(with_stacks()).page
    shown(page)
    page.locator("figure[data-icicle=stacks] canvas").click(position={"x": 20, "y": 50})
    assert ["attention.py(5): forward", 75] in shown(page)
    assert status(page) == "model.py(20): forward: 60.0 ms, 75.0 % of device time"
    page.locator("figure[data-icicle=stacks]").get_by_role("button", name="Up").click()
    assert ["attention.py(5): forward", 56] in shown(page)


def test_the_keyboard_walks_it(open_page: Callable[..., Opened]) -> None:
    page = open_page(with_stacks()).page
    shown(page)
    page.locator("figure[data-icicle=stacks] canvas").focus()
    for key, told in (
        ("ArrowDown", "model.py(20): forward"),
        ("ArrowRight", "optim.py(3): step"),
        ("ArrowLeft", "model.py(20): forward"),
        ("ArrowDown", "attention.py(5): forward"),
        ("ArrowUp", "model.py(20): forward"),
    ):
        page.keyboard.press(key)
        assert status(page).startswith(told)
    page.keyboard.press("Enter")
    assert ["attention.py(5): forward", 75] in shown(page)
    page.keyboard.press("Escape")
    assert ["attention.py(5): forward", 56] in shown(page)


def test_the_width_can_be_host_time(open_page: Callable[..., Opened]) -> None:
    page = open_page(with_stacks()).page
    shown(page)
    page.locator("figure[data-icicle=stacks] select").select_option(label="host time")
    assert ["model.py(20): forward", 60] in shown(page)


def test_search_sums_what_it_finds_once(open_page: Callable[..., Opened]) -> None:
    page = open_page(with_stacks()).page
    shown(page)
    page.get_by_label("Find: Python call paths").fill("forward")
    assert status(page) == "2 found, with 60.0 ms, 75.0 %"


def test_hostile_names_are_only_text(open_page: Callable[..., Opened]) -> None:
    name = """</script><script>window.pwned=1</script><img src=x onerror="pwned=1">"""
    opened = open_page(with_stacks(StackNode(-1, 0, name, MS, MS), StackNode(0, 1, "f", MS // 2, MS // 2)))
    assert shown(opened.page)[-1][0] in (name, "f")
    assert opened.page.evaluate("window.pwned") is None
    assert opened.errors == []


def test_without_javascript_the_largest_are_listed(open_page: Callable[..., Opened]) -> None:
    page = open_page(with_stacks(), java_script_enabled=False).page
    page.locator("figure[data-icicle=stacks] summary").click()
    told = page.locator("figure[data-icicle=stacks] ol.told li").all_inner_texts()
    assert told == [
        "attention.py(5): forward 45.0 ms, 56 %",
        "optim.py(3): step 20.0 ms, 25 %",
        "model.py(20): forward 15.0 ms, 19 %",
    ]
