"""What is painted: every event in view once, by itself or within a pixel, at every zoom; as much as is in sight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import report_cases as cases
from pages import until

from traceanalyzer.analyzers import results as r
from traceanalyzer.model.link import link
from traceanalyzer.model.tables import from_rows
from traceanalyzer.model.trace import Trace
from traceanalyzer.rules.analysis import Analysis

if TYPE_CHECKING:
    from collections.abc import Callable

    from opened import Opened
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

# How often each event was painted in a view, and whether what was merged lies within one pixel.
PAINTED = """([from, to]) => {
  const { timeline } = traceReport, { painter, data } = timeline, times = new Uint8Array(data.n);
  let wide = 0;
  painter.drawEvent = (pen, i) => { times[i] += 1; };
  painter.readColours(); // forgets what it has made
  painter.tiles.mix = (words, at, row, first, next) => {
    for (let i = first; i < next; i += 1) {
      times[i] += 1;
      if (data.dur[i] * painter.scale >= 1.5) wide += 1;
    }
  };
  timeline.t0 = from; timeline.t1 = to;
  timeline.scroll.scrollTop = 0;
  timeline.shownHeight = data.height;
  timeline.draw();
  delete painter.drawEvent; delete painter.tiles.mix;
  painter.readColours();
  const seen = (i) => data.start[i] < to && data.start[i] + data.dur[i] > from;
  return { missed: times.filter((n, i) => !n && seen(i)).length, twice: times.filter((n) => n > 1).length, wide,
    painted: times.filter(Boolean).length };
}"""
WATCH = """() => {
  window.watched = new MutationObserver(() => {});
  watched.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
}"""

# Pans a little at a time: what changed in the document, how many tiles were made, and whether the last picture is the
# one that is painted without what was kept.
PANNED = """async ([from, to]) => {
  const { timeline } = traceReport, { painter, canvas } = timeline, { tiles } = painter;
  const next = () => new Promise(requestAnimationFrame);
  const pixels = () => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.join();
  timeline.show(from, to);
  await next(); await next();
  await new Promise((r) => setTimeout(r, 300));
  const watched = new MutationObserver(() => {}), first = tiles.number;
  watched.observe(document, { subtree: true, childList: true, characterData: true, attributes: true });
  for (let i = 0; i < 20; i += 1) { timeline.pan(i < 15 ? 0.013 : -0.021); await next(); }
  await next();
  const changes = watched.takeRecords().map((r) => r.target.id || r.target.nodeName);
  const kept = pixels(), made = tiles.number - first;
  painter.readColours();
  timeline.draw();
  return { changes, made, first, same: kept === pixels() };
}"""


def many(seed: int, count: int) -> Analysis:
    """Kernels of very different lengths on one stream, some of which overlap as streams of graphs may."""
    random = np.random.default_rng(seed)
    durations = np.exp(random.uniform(0, 14, count)).astype(np.int64)
    pauses = np.where(
        random.random(count) < 0.1, -durations // 2, np.exp(random.uniform(0, 8, count)).astype(np.int64)
    )
    start = np.cumsum(np.concatenate([[0], (durations + pauses)[:-1]]))
    rows = [
        {"rank": 0, "name": f"k{i % 7}", "ts": int(t), "dur": int(d), "device": 0, "stream": 1}
        for i, (t, d) in enumerate(zip(start, durations, strict=True))
    ]
    base = cases.nothing()
    tables = dict(base.trace.tables) | {"kernels": from_rows("kernels", rows)}
    trace = link(Trace(base.trace.sources, tables, frozenset()))
    return Analysis(trace, {"steps": r.Steps("window", (), 0)}, base.verdict, (), (), ())


def views(page: Page) -> list[tuple[float, float]]:
    end = page.evaluate("traceReport.timeline.data.end")
    return [
        (at * end, min((at + span) * end, end)) for span in (1, 0.3, 0.01, 0.0003) for at in (0, 0.37, 0.62)
    ]


@pytest.mark.parametrize("case", [cases.training, lambda: many(1, 5_000), lambda: many(2, 20_000)])
def test_every_event_in_view_is_painted_once(
    open_page: Callable[..., Opened], case: Callable[[], Analysis]
) -> None:
    opened = open_page(case())
    until(opened.page, "Boolean(window.traceReport.timeline)")
    for view in views(opened.page):
        found: dict[str, Any] = opened.page.evaluate(PAINTED, list(view))
        assert (found["missed"], found["twice"], found["wide"]) == (0, 0, 0), view
        assert found["painted"]
    assert opened.errors == []


@pytest.mark.parametrize("span", [0.5, 0.01])
def test_panning_paints_what_is_new_in_view_and_leaves_the_page_alone(
    open_page: Callable[..., Opened], span: float
) -> None:
    page = open_page(many(2, 20_000)).page
    until(page, "Boolean(window.traceReport.timeline)")
    end = page.evaluate("traceReport.timeline.data.end")
    panned = page.evaluate(PANNED, [0.2 * end, (0.2 + span) * end])
    assert panned["changes"] == [], "a change of words costs a layout and a painting of the whole page"
    assert 0 < panned["made"] <= panned["first"] / 2, "a fifth of the width came into view"
    assert panned["same"]
    until(page, "document.getElementById('timeline-status').textContent.startsWith('Showing')")


def test_a_drag_leaves_the_page_alone(open_page: Callable[..., Opened]) -> None:
    page = open_page(many(2, 20_000)).page
    until(page, "Boolean(window.traceReport.timeline)")
    page.evaluate("traceReport.timeline.show(0, traceReport.timeline.data.end / 3)")
    canvas = page.locator("#timeline-canvas")
    canvas.hover(position={"x": 400, "y": 30})
    page.mouse.down()
    page.wait_for_timeout(300)
    page.evaluate(WATCH)
    before = page.evaluate("traceReport.timeline.t0")
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 100, box["y"] + 30, steps=10)
    assert page.evaluate("watched.takeRecords().length") == 0
    assert page.evaluate("traceReport.timeline.t0") != before
    page.mouse.up()


def test_what_is_merged_into_a_pixel_has_the_kind_with_most_time(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    until(page, "Boolean(window.traceReport.timeline)")
    wrong = page.evaluate("""(() => {
      const { data } = traceReport.timeline;
      let wrong = 0;
      for (const { first, last, busy } of data.rows) for (const { kind, before } of busy) {
        let sum = 0;
        for (let i = first; i < last; i += 1) {
          if (Math.abs(before[i - first] - sum) > 1e-3) wrong += 1;
          if (data.kind[i] === kind) sum += data.dur[i];
        }
      }
      return wrong;
    })()""")
    assert wrong == 0


def test_tracks_out_of_sight_scroll_into_it(open_page: Callable[..., Opened]) -> None:
    rows = [
        {"rank": 0, "name": "k", "ts": i, "dur": 5, "device": 0, "stream": i % 24} for i in range(480)
    ]  # more lanes than the window is high
    base = cases.nothing()
    tables = dict(base.trace.tables) | {"kernels": from_rows("kernels", rows)}
    trace = link(Trace(base.trace.sources, tables, frozenset()))
    page = open_page(Analysis(trace, {"steps": r.Steps("window", (), 0)}, base.verdict, (), (), ())).page
    until(page, "Boolean(window.traceReport.timeline)")
    assert page.evaluate("traceReport.timeline.data.height > traceReport.timeline.shownHeight")
    assert page.evaluate("traceReport.timeline.canvas.clientHeight") <= 0.7 * 900, "as high as what is seen"
    page.evaluate("traceReport.timeline.scroll.scrollTop = 1e6")
    page.wait_for_timeout(100)
    last = "traceReport.timeline.tracks.filter(t => t.type === 'row').at(-1)"
    inside = page.evaluate(
        f"{last}.y + {last}.h <= traceReport.timeline.view.bottom && {last}.y >= traceReport.timeline.view.top"
    )
    assert inside
    box = page.locator("#timeline-canvas").bounding_box()
    y = page.evaluate(f"{last}.y - traceReport.timeline.view.top + 5")
    assert box is not None
    page.locator("#timeline-canvas").hover(position={"x": box["width"] * 0.9, "y": y})
    assert page.locator("#timeline-tip b").inner_text() == "k"
