"""The tab in a real TensorBoard: three runs, one of them broken, looked at with the system's Chromium."""

from __future__ import annotations

import json
import os
import re
import shutil
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from opened import Opened
from tensorboard_server import WITH_THE_TAB, Board, tensorboard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Frame, Page

ROOT = Path(__file__).parents[2]
SIMULATED = ROOT / "fixtures/simulated/sim_training_mixed.json.gz"
TUNED = ROOT / "fixtures/simulated/sim_dataloader_stall.json.gz"
RECORDED = ROOT / "fixtures/recorded/cpu_train.json.gz"
HOSTILE = """<img src=x onerror="window.pwned=1">.pt.trace.json"""
SECTIONS = ["verdict", "quality", "where", "opportunities", "timeline", "tables", "code", "limits", "roofline",
            "memory", "communication", "queue", "method"]  # fmt: skip

pytestmark = [
    *WITH_THE_TAB,
    pytest.mark.skipif(not (SIMULATED.exists() and RECORDED.exists()), reason="the fixtures are not there"),
]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """`tensorboard --logdir` over a simulated, a recorded and a broken trace, and what tries to lead outside."""
    place = tmp_path_factory.mktemp("tensorboard")
    logs = place / "logs"
    for run in ("gpu/baseline", "gpu/tuned", "cpu", "broken"):
        (logs / run).mkdir(parents=True)
    shutil.copy(TUNED, logs / "gpu/tuned/tuned.pt.trace.json.gz")
    shutil.copy(SIMULATED, logs / "gpu/baseline/rank0.pt.trace.json.gz")
    shutil.copy(RECORDED, logs / "cpu/host.pt.trace.json.gz")
    (logs / "broken" / HOSTILE).write_text("not a trace")
    shutil.copy(RECORDED, place / "outside.json.gz")
    (logs / "cpu/link.pt.trace.json.gz").symlink_to(place / "outside.json.gz")
    with tensorboard(logs, place) as running:
        yield running


@pytest.fixture
def tab(browser: Browser, board: Board) -> Iterator[Opened]:
    """The tab in a window of its own. What leaves this machine, and what our code says, fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, accept_downloads=True)
    opened = Opened(context.new_page())
    page = opened.page
    page.goto(f"{board.address}#traceanalyzer")
    outer(page).locator("table.overview tbody tr").first.wait_for()
    yield opened
    assert opened.errors == []
    assert [line for line in opened.console if "traceanalyzer" in line] == []
    assert [url for url in opened.requests if not url.startswith((board.address, "data:", "blob:"))] == []
    context.close()


def outer(page: Page) -> Frame:
    """The tab's own frame."""
    return _frame(page, lambda frame: "plugin_entry" in frame.url)


def report(page: Page) -> Frame:
    """The frame with the report, ready."""
    frame = _frame(page, lambda frame: "/page?" in frame.url)
    frame.locator("#timeline-status").wait_for()
    return frame


def _frame(page: Page, wanted: Callable[[Frame], bool]) -> Frame:
    for _ in range(300):
        for frame in page.frames:
            if wanted(frame):
                return frame
        page.wait_for_timeout(100)
    raise AssertionError([frame.url for frame in page.frames])


def pick(page: Page, file: str) -> None:
    outer(page).get_by_role("button", name=file).click()


def background(frame: Frame) -> str:
    colour: str = frame.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


def test_the_tab_shows_and_lists_every_run(tab: Opened) -> None:
    assert tab.page.get_by_role("tab", name="Trace Analyzer").is_visible()
    assert sorted(outer(tab.page).locator(".overview .run").all_inner_texts()) == [
        "broken",
        "cpu",
        "gpu/baseline",
        "gpu/tuned",
    ]


def test_runs_stand_side_by_side(tab: Opened) -> None:
    rows = outer(tab.page).locator("table.overview tbody tr")
    gpu, cpu = rows.filter(has_text="gpu/baseline"), rows.filter(has_text="host.pt.trace")
    gpu.locator("td.verdict").wait_for()
    cpu.locator("td.verdict").wait_for()
    assert "GPU idle" in gpu.inner_text()
    assert "simulated" in gpu.inner_text()
    assert "Compute" in (gpu.locator("svg.mini").get_attribute("aria-label") or "")
    assert "no GPU work" in cpu.inner_text()
    assert "–" in cpu.inner_text(), "unknown is not zero"


def test_a_broken_file_says_so_and_nothing_else_breaks(tab: Opened) -> None:
    row = outer(tab.page).locator("tbody tr", has_text="broken")
    row.locator(".failed").wait_for()
    assert "is not of a known format" in row.inner_text()
    row.locator("button.open").click()
    assert "is not of a known format" in outer(tab.page).locator("#message").inner_text()
    assert outer(tab.page).evaluate("window.pwned") is None, "a file's name is text"
    outer(tab.page).get_by_role("button", name="All traces").click()
    pick(tab.page, "rank0.pt.trace.json.gz")
    assert report(tab.page).locator("h1").is_visible()


def test_the_report_has_its_sections_and_draws_its_timeline(tab: Opened) -> None:
    pick(tab.page, "rank0.pt.trace.json.gz")
    frame = report(tab.page)
    assert frame.locator("main > section").evaluate_all("all => all.map(s => s.id)") == SECTIONS
    frame.locator("#timeline-canvas").scroll_into_view_if_needed()
    colours = """canvas => {
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return new Set(new Uint32Array(data.buffer)).size;
    }"""
    assert frame.locator("#timeline-canvas").evaluate(colours) > 5
    assert frame.evaluate("traceReport.timeline.data.n") > 1000
    assert frame.locator("#theme").count() == 0, "the theme is TensorBoard's"


def test_figures_are_drawn_within_the_host_s_policy(tab: Opened) -> None:
    pick(tab.page, "rank0.pt.trace.json.gz")
    frame = report(tab.page)
    frame.locator('figure[data-figure="durations"]').scroll_into_view_if_needed()
    frame.wait_for_selector('figure[data-figure="durations"] .plot[data-drawn] svg', timeout=30_000)


def test_tables_and_the_json_work_as_on_the_page(tab: Opened) -> None:
    pick(tab.page, "rank0.pt.trace.json.gz")
    frame = report(tab.page)
    frame.locator("table[data-sheet=kernels] th[data-key=count] button").click()
    assert (
        frame.locator("table[data-sheet=kernels] th[data-key=count]").get_attribute("aria-sort")
        == "descending"
    )
    with tab.page.expect_download() as download:
        frame.locator("#download").click()
    assert json.loads(Path(download.value.path()).read_text("utf-8"))["schema_version"] == 1


def test_the_pickers_lead_from_run_to_run(tab: Opened) -> None:
    outer(tab.page).locator("#run").select_option("gpu/baseline")
    assert "rank0.pt.trace.json.gz" in report(tab.page).locator(".file").first.inner_text()
    assert outer(tab.page).locator("#file").input_value() == "rank0.pt.trace.json.gz"
    outer(tab.page).locator("#run").select_option("cpu")
    tab.page.frame_locator("iframe").frame_locator("#report").locator(".file", has_text="host.pt").wait_for()


def test_the_choice_outlives_a_reload(tab: Opened) -> None:
    pick(tab.page, "rank0.pt.trace.json.gz")
    report(tab.page)
    tab.page.reload()
    assert report(tab.page).locator("h1").is_visible()


def test_two_runs_are_compared(tab: Opened) -> None:
    page = tab.page
    pick(page, "tuned.pt.trace.json.gz")
    report(page)
    outer(page).locator("#base").select_option(label="gpu/baseline: rank0.pt.trace.json.gz")
    frame = _frame(page, lambda frame: "/diff?" in frame.url)
    frame.locator("#diff h1").wait_for()
    assert re.match(r"The step (is|takes) ", frame.locator("#diff h1").inner_text())
    sides = frame.locator(".side h2").all_inner_texts()
    assert "rank0.pt.trace.json.gz" in sides[0]
    assert "tuned.pt.trace.json.gz" in sides[1]
    frame.locator("table[data-sheet=diff-kernels] th[data-key=change_ns] button").click()
    assert (
        frame.locator("table[data-sheet=diff-kernels] th[data-key=change_ns]").get_attribute("aria-sort")
        == "descending"
    )
    light = background(frame)
    page.evaluate("document.body.classList.add('dark-mode')")
    page.wait_for_timeout(200)
    assert background(frame) == background(outer(page)) != light
    page.evaluate("document.body.classList.remove('dark-mode')")
    page.reload()
    assert _frame(page, lambda frame: "/diff?" in frame.url).locator("#diff h1").inner_text()
    outer(page).locator("#base").select_option(label="nothing")
    assert report(page).locator("h1").is_visible()


def test_a_broken_file_cannot_be_chosen_to_compare_with(tab: Opened) -> None:
    outer(tab.page).locator("tr", has_text="broken").locator(".failed").wait_for()
    pick(tab.page, "rank0.pt.trace.json.gz")
    report(tab.page)
    options = outer(tab.page).locator("#base option").all_inner_texts()
    assert not [option for option in options if "broken" in option]


def test_dark_mode_follows_tensorboard(tab: Opened) -> None:
    page = tab.page
    pick(page, "rank0.pt.trace.json.gz")
    frames = [outer(page), report(page)]
    light = [background(frame) for frame in frames]
    page.evaluate("document.body.classList.add('dark-mode')")
    page.wait_for_timeout(200)
    dark = [background(frame) for frame in frames]
    assert light == ["rgb(255, 255, 255)"] * 2
    assert dark[0] == dark[1] != light[0]
    page.evaluate("document.body.classList.remove('dark-mode')")
    page.wait_for_timeout(200)
    assert [background(frame) for frame in frames] == light


def test_a_trace_that_appears_while_it_runs_is_shown(tab: Opened, board: Board) -> None:
    late = board.logs / "late/one.pt.trace.json.gz"
    late.parent.mkdir()
    shutil.copy(RECORDED, late)
    try:
        outer(tab.page).get_by_role("button", name="one.pt.trace.json.gz").wait_for(timeout=30_000)
    finally:
        shutil.rmtree(late.parent)


@pytest.mark.parametrize("route", ["page", "timeline", "report.json", "analyze"])
@pytest.mark.parametrize(
    ("run", "file"),
    [
        ("..", "outside.json.gz"),
        ("cpu", "../../outside.json.gz"),
        ("cpu", "link.pt.trace.json.gz"),
        ("", "/etc/passwd"),
        ("/etc", "passwd"),
        ("cpu", "host.pt.trace.json.gz\0"),
        ("", ""),
    ],
)
def test_paths_that_lead_outside_are_refused(board: Board, route: str, run: str, file: str) -> None:
    board.traces()
    status, body = board.get(route, run=run, file=file)
    assert status == 404
    assert body == b"no such trace below the log directory"


@pytest.mark.parametrize("route", ["diff", "analyze-diff"])
@pytest.mark.parametrize(
    "file", ["../../outside.json.gz", "link.pt.trace.json.gz", "", "host.pt.trace.json.gz\0"]
)
def test_what_is_compared_with_is_guarded_as_well(board: Board, route: str, file: str) -> None:
    board.traces()
    gpu = {"run": "gpu/baseline", "file": "rank0.pt.trace.json.gz"}
    status, body = board.get(route, **gpu, base_run="cpu", base_file=file)
    assert (status, body) == (404, b"no such trace below the log directory")
    broken = next(row for row in board.traces() if row["run"] == "broken")
    status, body = board.get("diff", **gpu, base_run="broken", base_file=broken["file"])
    assert status == 422
    assert b"is not of a known format" in body


def test_every_script_that_the_page_uses_is_served(board: Board) -> None:
    board.traces()
    page = board.get("page", run="cpu", file="host.pt.trace.json.gz")[1].decode()
    used = re.findall(r'<(?:script|link)[^>]* (?:src|href)="([^"]+)"', page)
    assert "report.css" in used
    assert "page.js" in used
    for name in [*used, "index.js", "view.css", "plotly.js"]:
        assert board.get(name)[0] == 200, name


def test_the_routes_answer_for_what_is_listed(board: Board) -> None:
    board.traces()
    gpu = {"run": "gpu/baseline", "file": "rank0.pt.trace.json.gz"}
    status, page = board.get("page", **gpu)
    assert (status, page[:15]) == (200, b"<!doctype html>")
    assert len(zlib.decompress(board.get("timeline", **gpu)[1])) > 10_000
    assert json.loads(zlib.decompress(board.get("report.json", **gpu)[1]))["schema_version"] == 1
    broken = next(row for row in board.traces() if row["run"] == "broken")
    assert board.get("page", run="broken", file=broken["file"])[0] == 422


def test_the_tab_gives_no_simplified_characters_to_who_reads_traditional_ones(
    browser: Browser, board: Board
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="zh-TW")
    page = context.new_page()
    page.goto(f"{board.address}#traceanalyzer")
    outer(page).get_by_role("button", name="All traces").wait_for()
    context.close()


@pytest.mark.parametrize(("locale", "query"), [("zh-CN", ""), ("en-US", "?lang=zh"), ("zh-TW", "?lang=zh")])
def test_the_tab_speaks_the_browsers_language_or_the_one_asked_for(
    browser: Browser, board: Board, locale: str, query: str
) -> None:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale=locale)
    page = context.new_page()
    page.goto(f"{board.address}{query}#traceanalyzer")
    row = outer(page).locator("table.overview tbody tr", has_text="gpu/baseline")
    row.locator("td.verdict").wait_for()
    assert outer(page).get_by_role("button", name="所有 trace").is_visible()
    assert "模拟的" in row.inner_text()
    row.locator("button.open").click()
    assert report(page).locator("html").get_attribute("lang") == "zh-CN"
    assert "时间去向" in report(page).locator("#where h2").inner_text()
    context.close()


def test_of_a_run_the_newest_trace_is_analysed_by_itself_and_all_when_asked_for(
    browser: Browser, tmp_path: Path
) -> None:
    (run := tmp_path / "logs" / "run").mkdir(parents=True)
    for cycle in range(3):
        shutil.copy(SIMULATED, trace := run / f"worker.{cycle}.pt.trace.json.gz")
        os.utime(trace, (1e9 + cycle, 1e9 + cycle))
    with tensorboard(tmp_path / "logs", tmp_path) as board:
        page = browser.new_page()
        page.goto(f"{board.address}#traceanalyzer")
        verdicts = outer(page).locator("td.verdict")
        verdicts.wait_for()
        assert "worker.2" in outer(page).locator("tr", has=verdicts).inner_text()
        everything = outer(page).get_by_role("button", name="Analyse all 2")
        everything.click()
        verdicts.nth(2).wait_for()
        assert everything.is_hidden()
        page.close()
