"""A range of the timeline: drawn, typed or set by keys; what each lane does in it; the tables narrowed to it."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import report_cases as cases
from pages import until

import traceanalyzer as ta
from traceanalyzer.reporters import timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from opened import Opened
    from playwright.sync_api import Page

    from traceanalyzer.rules.analysis import Analysis

pytestmark = pytest.mark.browser
MS = 1_000_000
TRACE = Path(__file__).parents[2] / "fixtures/simulated/sim_training_mixed.json.gz"


def opened(open_page: Callable[..., Opened], analysis: Analysis) -> Page:
    page = open_page(analysis).page
    until(page, "window.traceReport.range")
    page.locator("#timeline-canvas").scroll_into_view_if_needed()
    return page


def settled(page: Page) -> tuple[float, float] | None:
    """The range, after the tables have followed."""
    page.wait_for_timeout(250)
    found = page.evaluate(
        "traceReport.range.from === null ? null : [traceReport.range.from, traceReport.range.to]"
    )
    return None if found is None else (found[0], found[1])


def drag(page: Page, first: float, last: float, canvas: str = "#timeline-canvas") -> None:
    """From one share of the width to another, at the height of the first label."""
    page.locator(canvas).scroll_into_view_if_needed()
    box = page.locator(canvas).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * first, box["y"] + 12)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * (first + last) / 2, box["y"] + 12)
    page.mouse.move(box["x"] + box["width"] * last, box["y"] + 12)
    page.mouse.up()


def kernels_within(analysis: Analysis, start: float, end: float) -> dict[str, tuple[int, int]]:
    """Time and number of executions of each kernel, from the rows of the trace."""
    found: dict[str, tuple[int, int]] = {}
    for row in analysis.trace.kernels.to_pylist():
        part = min(row["ts"] + row["dur"], end) - max(row["ts"], start)
        if part > 0:
            time, count = found.get(row["name"], (0, 0))
            found[row["name"]] = (time + part, count + 1)
    return found


def view(page: Page) -> list[float]:
    found: list[float] = page.evaluate("[traceReport.timeline.t0, traceReport.timeline.t1]")
    return found


def table(page: Page, sheet: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(io.StringIO(page.evaluate(f"traceReport.sheets['{sheet}'].csv()"))))


def test_shift_and_drag_measures_and_does_not_pan(open_page: Callable[..., Opened]) -> None:
    analysis = cases.training()
    page = opened(open_page, analysis)
    seen = view(page)
    page.keyboard.down("Shift")
    drag(page, 0.25, 0.75)
    page.keyboard.up("Shift")
    found = settled(page)
    assert found is not None
    end = page.evaluate("traceReport.timeline.data.end")
    assert found[0] == pytest.approx(end * 0.25, rel=0.01)
    assert found[1] == pytest.approx(end * 0.75, rel=0.01)
    assert view(page) == seen
    assert page.locator("#timeline-range output").inner_text() == page.evaluate(
        f"traceReport.duration({found[1] - found[0]})"
    )


def test_the_button_makes_dragging_measure(open_page: Callable[..., Opened]) -> None:
    page = opened(open_page, cases.training())
    drag(page, 0.6, 0.4)
    assert settled(page) is None, "without the mode a drag pans"
    page.locator("#timeline-measure").click()
    assert page.locator("#timeline-measure").get_attribute("aria-pressed") == "true"
    drag(page, 0.6, 0.4)
    first = settled(page)
    assert first is not None
    page.locator("#timeline-measure").click()
    drag(page, 0.6, 0.8)
    moved = settled(page)
    assert moved is not None
    assert moved[0] == pytest.approx(first[0])
    assert moved[1] > first[1], "an edge can be taken hold of without the mode"


def test_each_lane_says_how_long_it_is_busy(open_page: Callable[..., Opened]) -> None:
    analysis = cases.training()
    page = opened(open_page, analysis)
    page.locator("#timeline-range input").first.evaluate("i => { i.value = 20000; }")
    page.locator("#timeline-range input").last.evaluate(
        "i => { i.value = 30000; i.dispatchEvent(new Event('change')); }"
    )
    assert settled(page) == (20 * MS, 30 * MS)
    lanes = page.evaluate("traceReport.lanesWithin(traceReport.timeline.data, 20e6, 30e6)")
    busy = {7: 0, 20: 0}
    for name in ("kernels", "copies"):
        for row in analysis.trace.tables[name].to_pylist():
            busy[row["stream"]] += max(0, min(row["ts"] + row["dur"], 30 * MS) - max(row["ts"], 20 * MS))
    assert {lane["label"]: lane["busy"] for lane in lanes if lane["side"] == "device"} == {
        "GPU 0 · stream 7": busy[7], "GPU 0 · stream 20": busy[20],
    }  # fmt: skip
    shown = page.locator("#timeline-range tbody tr").all_inner_texts()
    assert any("stream 7" in row for row in shown)
    assert "GPU 0" in page.locator("#timeline-range li").first.inner_text()
    assert "idle" in page.locator("#timeline-range li").first.inner_text()


def test_the_tables_hold_what_ran_in_it(open_page: Callable[..., Opened]) -> None:
    analysis = cases.training()
    page = opened(open_page, analysis)
    before = [row["name"] for row in table(page, "kernels")]
    page.evaluate("traceReport.range.set(11e6, 12e6)")
    settled(page)
    expected = kernels_within(analysis, 11 * MS, 12 * MS)
    rows = table(page, "kernels")
    assert {row["name"]: (float(row["ns_in_range"]), int(row["count_in_range"])) for row in rows} == expected
    assert 0 < len(rows) < len(before)
    times = [float(row["ns_in_range"]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert page.locator("table[data-sheet=kernels] tbody tr:visible").count() == len(rows)
    assert "In 1.00 ms from 11.0 ms" in page.locator("#kernels .ranged-note").inner_text()
    ops = table(page, "ops")
    assert ops
    assert all(float(row["host_ns_in_range"]) + float(row["device_ns_in_range"]) > 0 for row in ops)
    page.locator("[data-range=clear]").click()
    assert settled(page) is None
    assert [row["name"] for row in table(page, "kernels")] == before
    assert page.locator(".ranged").count() == 0


def test_the_idle_gaps_are_narrowed_by_their_times(open_page: Callable[..., Opened]) -> None:
    analysis = cases.training()
    longest = analysis["breakdown"].largest_gaps[0]
    page = opened(open_page, analysis)
    origin = page.evaluate("traceReport.timeline.data.origin")
    page.evaluate(
        f"traceReport.range.set({longest.start_ns - origin + 1000}, {longest.start_ns - origin + 2000})"
    )
    settled(page)
    (row,) = table(page, "idle-gaps")
    assert (int(row["start_ns"]), float(row["ns_in_range"])) == (longest.start_ns, 1000)


def test_what_ran_in_it_and_is_not_listed_is_told(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training(), top=1).page
    until(page, "window.traceReport.range")
    page.evaluate("traceReport.range.set(0, traceReport.timeline.data.end)")
    settled(page)
    assert (
        "in 4 that this table does not list): 1 of 1 row"
        in page.locator("#kernels .ranged-note").inner_text()
    )


def test_what_is_summed_is_told_and_counts_for_lanes(
    open_page: Callable[..., Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timeline, "GPU_BUDGET", 100)
    analysis = cases.training()
    page = opened(open_page, analysis)
    page.evaluate("traceReport.range.set(0, traceReport.timeline.data.end)")
    settled(page)
    assert "events too short to be drawn one by one" in page.locator("#kernels .ranged-note").inner_text()
    lanes = page.evaluate(
        "traceReport.lanesWithin(traceReport.timeline.data, 0, traceReport.timeline.data.end)"
    )
    recorded = analysis.trace.kernels.num_rows + analysis.trace.tables["copies"].num_rows
    on_devices = [lane for lane in lanes if lane["side"] == "device"]
    assert sum(lane["events"] + lane["summed"] for lane in on_devices) == recorded
    busy = sum(
        row["dur"] for name in ("kernels", "copies") for row in analysis.trace.tables[name].to_pylist()
    )
    assert sum(lane["busy"] for lane in on_devices) == pytest.approx(busy)


def test_keys_take_move_zoom_and_clear(open_page: Callable[..., Opened]) -> None:
    page = opened(open_page, cases.training())
    page.locator("#timeline-canvas").focus()
    for _ in range(3):
        page.keyboard.press("+")
    page.keyboard.press("r")
    first = settled(page)
    assert first is not None
    assert list(first) == pytest.approx(view(page), abs=1), "to the ns"
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("Shift+ArrowUp")
    moved = settled(page)
    assert moved is not None
    assert moved[0] > first[0]
    assert moved[1] < first[1]
    page.keyboard.press("0")
    page.keyboard.press("z")
    page.wait_for_timeout(60)
    assert view(page) == pytest.approx(list(moved))
    page.keyboard.press("Escape")
    assert settled(page) is None
    assert not page.locator("#timeline-range").is_visible()


def test_a_selected_event_is_taken_as_the_range(open_page: Callable[..., Opened]) -> None:
    page = opened(open_page, cases.training())
    page.locator("#timeline-canvas").focus()
    page.keyboard.press("n")
    page.keyboard.press("r")
    longest = max(gap.duration_ns for gap in cases.training()["breakdown"].largest_gaps)
    found = settled(page)
    assert found is not None
    assert found[1] - found[0] == longest


def held_within(analysis: Analysis, start: float, end: float) -> tuple[int, int, int]:
    """Moment, bytes and blocks where most of what the trace saw allocated is held, one event after the other."""
    rows = sorted(analysis.trace.allocations.to_pylist(), key=lambda row: row["ts"])
    live: dict[int, int] = {}
    best = (-1, 0, 0)
    for row, following in zip(rows, [*rows[1:], {"ts": end}], strict=True):
        if row["device_type"] != "cuda":
            continue
        if row["bytes"] > 0:
            live[row["address"]] = row["bytes"]
        else:
            live.pop(row["address"], None)
        if following["ts"] > start and row["ts"] < end and sum(live.values()) > best[0]:
            best = (sum(live.values()), len(live), int(max(row["ts"], start)))
    return best[2], best[0], best[1]


def test_who_holds_memory_is_told_of_the_range(open_page: Callable[..., Opened]) -> None:
    analysis = ta.analyze(ta.load(TRACE))
    page = opened(open_page, analysis)
    origin, end = page.evaluate("[traceReport.timeline.data.origin, traceReport.timeline.data.end]")
    for start, stop in ((end * 0.2, end * 0.41), (end * 0.145, end * 0.155)):
        page.evaluate("([a, b]) => traceReport.range.set(a, b)", [start, stop])
        settled(page)
        at, held, blocks = held_within(analysis, round(start) + origin, round(stop) + origin)
        rows = table(page, "holders")
        told = page.locator("#holders .ranged-note").inner_text()
        others = page.evaluate(
            "([a, b]) => traceReport.heldWithin(traceReport.timeline.data.blocks[0], a, b).bytes[0] ?? 0",
            [round(start), round(stop)],
        )
        assert sum(int(row["bytes_in_range"]) for row in rows) + others == held
        assert sum(int(row["blocks_in_range"]) for row in rows) <= blocks
        assert page.evaluate(f"traceReport.duration({at - origin})") in told
        assert rows
