"""A range of the timeline narrows ops by shape and modules: what each row took in it, checked against the trace."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pages import until

import traceanalyzer as ta

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opened import Opened
    from playwright.sync_api import Page

    from traceanalyzer.rules.analysis import Analysis

pytestmark = pytest.mark.browser
TRACE = Path(__file__).parents[2] / "fixtures/simulated/sim_training_mixed.json.gz"
EVERY = 1000  # rows of a table


@cache
def analysis() -> Analysis:
    return ta.analyze(ta.load(TRACE))


def opened(open_page: Callable[..., Opened], top: int = EVERY) -> Page:
    page = open_page(analysis(), top=top).page
    until(page, "window.traceReport.range")
    return page


def narrowed(page: Page, sheet: str, start: float, end: float) -> tuple[list[dict[str, Any]], int, int]:
    """The rows within a range given as shares of the axis, and the range in ns of the trace."""
    first, last, origin = page.evaluate(
        "([a, b]) => { const { data } = traceReport.timeline; traceReport.range.set(data.end * a, data.end * b);"
        " return [traceReport.range.from, traceReport.range.to, data.origin]; }",
        [start, end],
    )
    page.wait_for_timeout(250)
    rows = list(csv.DictReader(io.StringIO(page.evaluate(f"traceReport.sheets['{sheet}'].csv()"))))
    return rows, first + origin, last + origin


def within(table: str, start: int, end: int) -> Iterator[tuple[dict[str, Any], int]]:
    """The rows of a table of the trace that run in a stretch of time, each with how long."""
    for row in analysis().trace.tables[table].to_pylist():
        part = min(row["ts"] + row["dur"], end) - max(row["ts"], start)
        if part > 0:
            yield row, part


def by_shape(start: int, end: int) -> dict[tuple[str, str], list[float]]:
    """Device time, host time and calls of each op and shapes."""
    found: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0, 0, 0])
    ops = analysis().trace.ops.to_pylist()
    for table in ("kernels", "copies"):
        for row, part in within(table, start, end):
            if row["op"] is not None:
                op = ops[row["op"]]
                found[op["name"], op["input_dims"] or ""][0] += part
    for row, part in within("ops", start, end):
        total = found[row["name"], row["input_dims"] or ""]
        total[1] += part
        total[2] += 1
    return dict(found)


def by_module(start: int, end: int) -> dict[str, list[float]]:
    """Device time with the modules inside, host time and calls of each module."""
    found: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0])
    for table in ("kernels", "copies"):
        for row, part in within(table, start, end):
            parts = (row["module"] or "").split("/")
            for depth in range(1, len(parts) + 1):
                found["/".join(parts[:depth])][0] += part
    for row, part in within("python_calls", start, end):
        if row["name"].startswith("nn.Module: "):
            found[row["module"]][1] += part
            found[row["module"]][2] += 1
    return {path: total for path, total in found.items() if path}


IN_RANGE = ("device_ns_in_range", "host_ns_in_range", "count_in_range")


@pytest.mark.parametrize("part", [(0, 1), (0.2, 0.41), (0.145, 0.155)], ids=str)
def test_ops_by_shape_hold_what_each_took_in_it(
    open_page: Callable[..., Opened], part: tuple[float, float]
) -> None:
    page = opened(open_page)
    rows, start, end = narrowed(page, "ops-by-shape", *part)
    shown = {(row["name"], row["input_dims"]): [float(row[key]) for key in IN_RANGE] for row in rows}
    assert shown == by_shape(start, end)
    assert "from" in page.locator("#ops-by-shape .ranged-note").inner_text()


@pytest.mark.parametrize("part", [(0, 1), (0.2, 0.41), (0.145, 0.155)], ids=str)
def test_modules_hold_what_each_took_in_it(
    open_page: Callable[..., Opened], part: tuple[float, float]
) -> None:
    page = opened(open_page)
    rows, start, end = narrowed(page, "modules", *part)
    shown = {row["path"]: [float(row[key]) for key in IN_RANGE] for row in rows}
    assert shown == by_module(start, end)


def test_the_whole_trace_as_a_range_says_what_the_tables_say(open_page: Callable[..., Opened]) -> None:
    page = opened(open_page)
    rows, _, _ = narrowed(page, "modules", 0, 1)
    for row in rows:
        assert float(row["device_ns_in_range"]) == float(row["device_ns"])
        assert float(row["host_ns_in_range"]) == float(row["host_ns"])
        assert row["count_in_range"] == row["calls"]
    rows, _, _ = narrowed(page, "ops-by-shape", 0, 1)
    for row in rows:
        assert float(row["device_ns_in_range"]) == float(row["self_device_ns"])
        assert row["count_in_range"] == row["count"]


def test_modules_that_are_not_listed_count_for_the_ones_around_them(open_page: Callable[..., Opened]) -> None:
    page = opened(open_page, top=5)
    rows, start, end = narrowed(page, "modules", 0.2, 0.41)
    expected = by_module(start, end)
    assert 0 < len(rows) <= 5
    for row in rows:
        assert [float(row[key]) for key in IN_RANGE] == expected[row["path"]]


def test_what_no_row_holds_is_told(open_page: Callable[..., Opened]) -> None:
    page = opened(open_page, top=3)
    rows, start, end = narrowed(page, "ops-by-shape", 0.2, 0.41)
    listed = {(row["name"], row["input_dims"]) for row in rows}
    work = sum(part for table in ("kernels", "copies") for _, part in within(table, start, end))
    rest = work - sum(total[0] for key, total in by_shape(start, end).items() if key in listed)
    told = page.evaluate(f"traceReport.duration({rest})")
    assert (
        f"(and {told} that no row of this table holds)"
        in page.locator("#ops-by-shape .ranged-note").inner_text()
    )


def test_clearing_it_brings_the_tree_of_modules_back(open_page: Callable[..., Opened]) -> None:
    page = opened(open_page)
    order = "[...document.querySelectorAll('#modules tbody tr')].map((row) => row.cells[0].textContent)"
    before = json.dumps(page.evaluate(order))
    narrowed(page, "modules", 0.2, 0.41)
    assert json.dumps(page.evaluate(order)) != before
    page.evaluate("traceReport.range.clear()")
    page.wait_for_timeout(60)
    assert json.dumps(page.evaluate(order)) == before
