"""Memory on the time axis of the timeline: of the profiler's events, of a snapshot beside them, of a snapshot alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import report_cases as cases
from pages import until
from snapshot_files import BASE, MIB, USER, block, entry, segment, snapshot, write

import traceanalyzer as ta

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from opened import Opened
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
START_US = 1_700_000_000_000_000


def inked(page: Page, share: float) -> bool:
    """Whether the column of the memory canvas at a share of its width holds more than the base line."""
    held: int = page.evaluate(
        """share => {
          const c = document.getElementById('timeline-memory');
          const {data} = c.getContext('2d').getImageData(Math.floor(share * (c.width - 1)), 0, 1, c.height);
          return data.filter((v, i) => i % 4 === 3 && v > 40).length;
        }""",
        share,
    )
    return held > 2


def ready(open_page: Callable[..., Opened], analysis: object) -> Page:
    page = open_page(analysis).page
    until(page, "window.traceReport.curves")
    page.wait_for_timeout(80)
    return page


def test_the_curve_moves_with_the_timeline(open_page: Callable[..., Opened]) -> None:
    page = ready(open_page, cases.training())
    assert page.locator("#timeline-memory").is_visible()
    assert inked(page, 0.5)
    axes = "[traceReport.timeline.view.t0, traceReport.timeline.view.t1]"
    whole = page.evaluate(axes)
    page.locator("#timeline-memory").focus()
    page.keyboard.press("+")
    page.wait_for_timeout(60)
    assert page.evaluate(axes) != whole, "the same keys"
    page.locator("#timeline-memory").scroll_into_view_if_needed()
    box = page.locator("#timeline-memory").bounding_box()
    assert box is not None
    before = page.evaluate(axes)
    page.mouse.move(box["x"] + 500, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 30)
    page.mouse.up()
    page.wait_for_timeout(60)
    assert page.evaluate(axes)[0] > before[0], "and the same drag"


def test_it_tells_the_level_under_the_pointer(open_page: Callable[..., Opened]) -> None:
    analysis = cases.training()
    page = ready(open_page, analysis)
    line = analysis["memory"].timelines[0]
    peak = next(p for p in line.points if p[1] == line.peak_allocated_bytes)
    x = page.evaluate(
        "t => (t - traceReport.timeline.data.origin) * traceReport.timeline.view.scale + 0.6", peak[0]
    )
    page.locator("#timeline-memory").hover(position={"x": x, "y": 40})
    assert "allocated 13.3 GiB" in page.locator("#timeline-tip").inner_text()
    assert "reserved 22.0 GiB" in page.locator("#timeline-tip").inner_text()


def recorded(path: Path, seconds: int) -> Path:
    """A snapshot whose blocks come one a second."""
    trace = [entry("segment_alloc", BASE, 20 * MIB, START_US, [USER])]
    trace += [
        entry("alloc", BASE + i * MIB, MIB, START_US + (i + 1) * 1_000_000, [USER]) for i in range(seconds)
    ]
    blocks = [block(BASE + i * MIB, MIB, MIB, frames=[USER]) for i in range(seconds)]
    rest = block(BASE + seconds * MIB, (20 - seconds) * MIB, 0, "inactive")
    return write(path, snapshot([segment(BASE, [*blocks, rest])], trace))


def test_a_snapshot_alone_has_a_time_axis(open_page: Callable[..., Opened], tmp_path: Path) -> None:
    page = ready(open_page, ta.analyze(ta.load(recorded(tmp_path / "oom.pickle", 4))))
    (curve,) = page.evaluate("traceReport.timeline.data.memory")
    assert curve["allocated"] == [0, MIB, 2 * MIB, 3 * MIB, 4 * MIB]
    assert [t / 1e9 for t in curve["at"]] == [0, 1, 2, 3, 4]
    assert page.locator("#timeline-status").inner_text() == "Showing 4.00 s from 0 s"
    assert inked(page, 0.9)


def test_a_snapshot_beside_a_profile_lies_on_its_axis(
    open_page: Callable[..., Opened], tmp_path: Path
) -> None:
    snapshot_file = recorded(tmp_path / "run.pickle", 4)
    events = [
        {
            "ph": "X",
            "cat": "cpu_op",
            "name": "aten::mm",
            "pid": 1,
            "tid": 1,
            "ts": 1e6,
            "dur": 2.5e6,
            "args": {},
        }
    ]
    profile = tmp_path / "run.json"
    profile.write_text(
        json.dumps({"schemaVersion": 1, "baseTimeNanoseconds": START_US * 1000, "traceEvents": events})
    )
    page = ready(open_page, ta.analyze(ta.load(snapshot_file, profile)))
    data = page.evaluate("(({memory, end, n}) => ({memory, end, n}))(traceReport.timeline.data)")
    assert (data["n"], data["end"]) == (1, 4_000_000_000), "both fit"
    assert [t / 1e9 for t in data["memory"][0]["at"]] == [0, 1, 2, 3, 4]
    assert inked(page, 0.5)


def test_a_range_of_a_snapshot_tells_who_held_memory_in_it(
    open_page: Callable[..., Opened], tmp_path: Path
) -> None:
    page = ready(open_page, ta.analyze(ta.load(recorded(tmp_path / "oom.pickle", 4))))
    page.evaluate("traceReport.range.set(1.5e9, 2.5e9)")
    page.locator("#held-by-line-0 .ranged-note").wait_for()
    for by in ("category", "module", "line", "stack"):
        held = page.locator(f"#held-by-{by}-0 tbody td.ranged").all_inner_texts()
        assert held == ["2.00 MiB", "2"], "the blocks of the first and the second second"
    assert "most is held at 2.00 s" in page.locator("#held-by-line-0 .ranged-note").inner_text()
