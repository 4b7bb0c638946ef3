"""The report page of a trace of a million events in headless Chromium, beside a Plotly bar timeline of the same events.

`python tests/benchmarks/page.py`: how large the page is, when its timeline is painted, whether frames are dropped while
it pans. `make bench` adds the section to reports/benchmarks.md. A busy machine drops frames by itself, which the
controls beside the panning show; `chrt -r 5 python tests/benchmarks/page.py` lets others wait.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import section as section_of
from run import CLI, MAKER, SEED, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

HEADING = "## The page of a million events"
TRACE_MB = 240
FRAME_MS = 1000 / 60
DROPPED = 1.5  # frames between two pictures that count as a dropped one
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
PLOTLY_EVENTS = (5_000, 50_000, 500_000)
PLOTLY_LIMIT_S = 120

OPENED = """document.addEventListener('timelineready', () => requestAnimationFrame(() => requestAnimationFrame(() => {
  window.paintedMs = performance.now(); })))"""
# Pans to and fro in views of several widths, a step per frame: the times between frames, and of each painting. Before
# each, as many frames in which nothing happens, and in which the same canvases are filled with a colour: what is late
# there, the machine and the browser drop by themselves.
PAN = """async (shares) => {
  const { timeline } = traceReport, frames = [], paints = [];
  const paint = timeline.draw.bind(timeline);
  timeline.draw = () => { const t = performance.now(); paint(); paints.push(performance.now() - t); };
  const next = () => new Promise(requestAnimationFrame), idle = [], filled = [];
  const during = async (times, act) => {
    for (let i = 0, last = await next(); i < 120; i += 1) {
      act(i);
      const now = await next();
      times.push(now - last);
      last = now;
    }
  };
  const fill = (i) => [timeline.canvas, timeline.axis].forEach((canvas) => {
    const pen = canvas.getContext('2d');
    pen.fillStyle = i % 2 ? '#eee' : '#ddd';
    pen.fillRect(0, 0, canvas.width, canvas.height);
  });
  for (const share of shares) {
    await during(idle, () => {});
    await during(filled, fill);
    timeline.show(0, timeline.data.end * share);
    await next(); await next();
    await during(frames, (i) => timeline.pan(i < 60 ? 0.02 : -0.02));
  }
  delete timeline.draw;
  return { frames, idle, filled, paints, heap: performance.memory.usedJSHeapSize };
}"""
PLOTLY = """async ({ most, limitMs }) => {
  if (!window.Plotly) {
    const script = document.createElement('script');
    script.textContent = new TextDecoder().decode(await traceReport.inflate(document.getElementById('plotly')));
    document.head.append(script);
  }
  const { data } = traceReport.timeline, rowOf = new Uint32Array(data.n), kinds = new Map();
  data.rows.forEach(({ first, last }, r) => rowOf.fill(r, first, last));
  const longest = Array.from({ length: data.n }, (_, i) => i).sort((a, b) => data.dur[b] - data.dur[a]).slice(0, most);
  for (const i of longest) {
    if (!kinds.has(data.kind[i])) kinds.set(data.kind[i], { type: 'bar', orientation: 'h', base: [], x: [], y: [] });
    const trace = kinds.get(data.kind[i]);
    trace.base.push(data.start[i]); trace.x.push(data.dur[i]); trace.y.push(rowOf[i]);
  }
  const place = document.createElement('div');
  document.body.replaceChildren(place);
  const next = () => new Promise(requestAnimationFrame);
  const start = performance.now();
  await Plotly.newPlot(place, [...kinds.values()], { barmode: 'overlay', width: 1100, height: 600 });
  await next(); await next();
  const drawnMs = performance.now() - start, frames = [];
  for (let i = 0; i < 20 && performance.now() - start < limitMs; i += 1) {
    const before = performance.now();
    await Plotly.relayout(place, { 'xaxis.range': [data.end * i / 100, data.end * (0.5 + i / 100)] });
    await next();
    frames.push(performance.now() - before);
  }
  return { drawnMs, frames };
}"""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the browser told of the page.

    Times in ms: `frames` between two pictures while panning, `idle` while nothing happens, `filled` while the canvases
    are filled with a colour, `paints` of our own script.
    """

    events: int
    drawn: int
    page_bytes: int
    painted_ms: float
    cpu_ms: float
    frames: list[float]
    idle: list[float]
    filled: list[float]
    paints: list[float]
    heap_bytes: int

    @property
    def dropped(self) -> int:
        """Pictures that came too late."""
        return late(self.frames)


def chromium() -> str | None:
    return next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


@contextmanager
def browser_of_the_system() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium(), args=ARGS)


def late(frames: list[float]) -> int:
    return sum(frame > DROPPED * FRAME_MS for frame in frames)


def middle(values: list[float], share: float = 0.5) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def opened(browser: Browser, path: Path) -> tuple[Page, float]:
    """A page whose timeline is painted, and the CPU time of its thread until then, ms."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    page.set_default_timeout(PLOTLY_LIMIT_S * 1000)
    page.add_init_script(OPENED)
    page.goto(path.as_uri())
    while not page.evaluate("window.paintedMs"):
        page.wait_for_timeout(50)
    metrics = session.send("Performance.getMetrics")["metrics"]
    return page, next(m["value"] for m in metrics if m["name"] == "ThreadTime") * 1000


def ours(browser: Browser, path: Path, events: int, runs: int = 5) -> Measured:
    """The median opening of several; the pan of the last one."""
    painted, cpu = [], []
    for run in range(runs):
        page, cpu_ms = opened(browser, path)
        painted.append(page.evaluate("window.paintedMs"))
        cpu.append(cpu_ms)
        if run < runs - 1:
            page.close()
    page.locator("#timeline-canvas").scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    panned = page.evaluate(PAN, [0.5, 0.1, 0.01])
    drawn = page.evaluate("traceReport.timeline.data.n")
    page.close()
    return Measured(
        events,
        drawn,
        path.stat().st_size,
        middle(painted),
        middle(cpu),
        panned["frames"],
        panned["idle"],
        panned["filled"],
        panned["paints"],
        panned["heap"],
    )


def plotly_bars(path: Path, most: int) -> dict[str, Any] | str:
    """The longest `most` events of the page as bars, or why there is no picture: in a process that can be ended."""
    command = [sys.executable, __file__, "--plotly", str(most), str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        told, _ = process.communicate(timeout=PLOTLY_LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return f"not within {PLOTLY_LIMIT_S} s"
    return json.loads(told) if process.returncode == 0 else "the page died"


def print_plotly(path: Path, most: int) -> None:
    with browser_of_the_system() as browser:
        page, _ = opened(browser, path)
        found = page.evaluate(PLOTLY, {"most": most, "limitMs": PLOTLY_LIMIT_S * 1000})
    sys.stdout.write(json.dumps(found))


def lines(found: Measured, bars: dict[int, dict[str, Any] | str], release: str) -> list[str]:
    """The section of the report."""
    goals = (
        ("page at most 6 MB", f"{found.page_bytes / 1e6:.2f} MB", found.page_bytes <= 6e6),
        ("timeline painted within 1.5 s", f"{found.painted_ms / 1000:.2f} s", found.painted_ms <= 1500),
        ("no dropped frame while panning", f"{found.dropped} of {len(found.frames)}", found.dropped == 0),
    )
    return [
        HEADING,
        "",
        f"Copies of one trace with {found.events:,} events, {found.drawn:,} of them drawn one by one. Chromium "
        f"{release}, headless, without a GPU; plotly.py {version('plotly')}. Painted: from the start of the "
        "navigation, median of 5.",
        "",
        *section_of.goals_table(goals),
        "",
        f"Opening takes {found.cpu_ms / 1000:.2f} s of CPU time of the page's thread. A picture while panning costs "
        f"{middle(found.paints):.1f} ms of script in the middle, {middle(found.paints, 0.99):.1f} ms at the 99th "
        f"percentile; the page holds {found.heap_bytes / 1e6:.0f} MB. Beside the panning, the machine dropped "
        f"{late(found.idle)} of {len(found.idle)} frames in which nothing happened in the page, and "
        f"{late(found.filled)} of {len(found.filled)} in which the same canvases were filled with a colour.",
        "",
        "| way | events drawn | first picture, s | next picture while panning, ms |",
        "| --- | ---: | ---: | ---: |",
        f"| our canvas | {found.drawn:,} | {found.painted_ms / 1000:.2f} | {middle(found.frames):.1f} |",
        *(_bar_line(most, bar) for most, bar in bars.items()),
    ]


def _bar_line(most: int, bar: dict[str, Any] | str) -> str:
    name = "Plotly bars (after the page is open)"
    if isinstance(bar, str):
        return f"| {name} | {most:,} | none: {bar} | |"
    return f"| {name} | {most:,} | {bar['drawnMs'] / 1000:.2f} | {middle(bar['frames']):,.0f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mb", type=int, default=TRACE_MB, help="size of the trace, MB")
    parser.add_argument("--trace", type=Path, help="a trace that is there already")
    parser.add_argument(
        "--plotly", type=int, metavar="EVENTS", help="only draw events of PAGE as bars, print JSON"
    )
    parser.add_argument("page", type=Path, nargs="?")
    parser.add_argument("--report", type=Path, help="file whose section is replaced or added")
    options = parser.parse_args()
    if options.plotly:
        print_plotly(options.page, options.plotly)
        return
    if not (MAKER.exists() and SEED.exists() and chromium()):
        say("skipped: needs ../shared, whose trace is multiplied, and Chromium")
        return
    import traceanalyzer as ta

    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        trace, path = options.trace or Path(name, "big.json"), Path(name, "page.html")
        if not options.trace:
            subprocess.run(
                [sys.executable, MAKER, SEED, trace, str(options.mb)], check=True, stdout=sys.stderr
            )
        subprocess.run([*CLI, "report", str(trace), "-o", str(path)], check=True, stdout=subprocess.DEVNULL)
        events = sum(source.events for source in ta.load(trace).sources)
        with browser_of_the_system() as browser:
            found, release = ours(browser, path, events), browser.version
        say(f"  ours: {found.page_bytes:,} bytes, {found.painted_ms:.0f} ms, {found.dropped} dropped")
        bars = {}
        for most in PLOTLY_EVENTS:
            say(f"  Plotly bars: {most:,}")
            bars[most] = plotly_bars(path, most)
        section = lines(found, bars, release)
    if options.report:
        section_of.put(options.report, HEADING, "\n".join(section))
    sys.stdout.write("\n".join(section) + "\n")


if __name__ == "__main__":
    main()
