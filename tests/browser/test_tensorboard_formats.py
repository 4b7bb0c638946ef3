"""The tab over named log directories that hold a memory snapshot, an Nsight Systems export and two traces."""

from __future__ import annotations

import gzip
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe import AXE, violations
from pages import until
from tensorboard_server import WITH_THE_TAB, Board, tensorboard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Frame, Page

FIXTURES = Path(__file__).parents[2] / "fixtures"
SNAPSHOT = {"run": "memory", "file": "oom.pickle.gz"}
NSIGHT = {"run": "nsight/job", "file": "train.sqlite"}
TRACE = {"run": "torch", "file": "rank0.pt.trace.json.gz"}
FIXED = {"run": "torch", "file": "fixed.pt.trace.json.gz"}

pytestmark = WITH_THE_TAB


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """`tensorboard --logdir_spec memory:…,nsight:…,torch:…`, with links to sources."""
    place = tmp_path_factory.mktemp("spec")
    for folder in ("a", "b/job", "c", "src"):
        (place / folder).mkdir(parents=True)
    shutil.copy(FIXTURES / "snapshots/oom.pickle.gz", place / "a")
    (place / "b/job/train.sqlite").write_bytes(
        gzip.decompress((FIXTURES / "nsys/train.sqlite.gz").read_bytes())
    )
    shutil.copy(FIXTURES / "simulated/sim_sync_loop.json.gz", place / "c" / TRACE["file"])
    shutil.copy(FIXTURES / "simulated/sim_gemm_bound.json.gz", place / "c" / FIXED["file"])
    shutil.copy(FIXTURES / "simulated/sim_gemm_bound.json.gz", place / "outside.json.gz")
    (place / "c/link.pt.trace.json.gz").symlink_to(place / "outside.json.gz")
    spec = f"memory:{place / 'a'},nsight:{place / 'b'},torch:{place / 'c'}"
    url = "https://github.com/org/repo/blob/abc/{path}#L{line}"
    with tensorboard(spec, place, "--logdir_spec", TRACEANALYZER_SOURCE_URL=url) as running:
        for _ in range(200):
            if len(running.traces()) == 4:
                break
        yield running


def tab(browser: Browser, board: Board, theme: str) -> Page:
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(f"{board.address}#traceanalyzer")
    page.evaluate("dark => document.body.classList.toggle('dark-mode', dark)", theme == "dark")
    return page


def frame_of(page: Page, part: str) -> Frame:
    for _ in range(300):
        for frame in page.frames:
            if part in frame.url:
                return frame
        page.wait_for_timeout(100)
    raise AssertionError([frame.url for frame in page.frames])


def test_directories_have_their_names_and_every_format_is_listed(board: Board) -> None:
    listed = sorted((row["run"], row["file"]) for row in board.traces())
    assert listed == sorted((f["run"], f["file"]) for f in (SNAPSHOT, NSIGHT, TRACE, FIXED))


def test_a_snapshot_has_its_page_with_the_error_and_its_curve(board: Board) -> None:
    status, page = board.get("page", **SNAPSHOT)
    assert status == 200
    assert b"Why it did not fit" in page
    assert board.get("timeline", **SNAPSHOT)[0] == 200


def test_an_nsight_export_has_its_page(board: Board) -> None:
    status, page = board.get("page", **NSIGHT)
    assert status == 200
    assert b"<title>train.sqlite" in page


def test_lines_of_code_are_links_where_the_environment_says_where(board: Board) -> None:
    status, page = board.get("page", **SNAPSHOT)
    assert status == 200
    links = set(re.findall(r'class="source" href="([^"#]+)', page.decode()))
    assert all(link.startswith("https://github.com/org/repo/blob/abc/") for link in links)


@pytest.mark.parametrize(
    "file", ["../outside.json.gz", "link.pt.trace.json.gz", "../c/rank0.pt.trace.json.gz", "."]
)
@pytest.mark.parametrize("run", ["torch", "", ".", "torch/..", "nsight"])
def test_paths_that_lead_outside_are_refused(board: Board, run: str, file: str) -> None:
    assert board.get("page", run=run, file=file) == (404, b"no such trace below the log directory")
    assert board.get("diff", **TRACE, base_run=run, base_file=file)[0] == 404


def test_two_traces_are_compared_and_what_only_one_recorded_is_told(board: Board) -> None:
    status, page = board.get("diff", **FIXED, base_run=TRACE["run"], base_file=TRACE["file"])
    assert status == 200
    sides = re.findall(r"<h2>(\w+) <bdi[^>]*>([^<]+)</bdi></h2>", page.decode())
    assert sides == [("Before", f"torch: {TRACE['file']}"), ("After", f"torch: {FIXED['file']}")]
    status, told = board.get("diff", **TRACE, base_run=SNAPSHOT["run"], base_file=SNAPSHOT["file"])
    assert status == 200
    assert b"Recorded in one run only, so not compared" in told


def test_a_range_narrows_the_tables_in_the_tab(browser: Browser, board: Board) -> None:
    page = tab(browser, board, "light")
    frame_of(page, "plugin_entry").get_by_role("button", name=TRACE["file"]).click()
    frame = frame_of(page, "/page?")
    until(frame, "Boolean(window.traceReport?.range)")
    frame.evaluate("traceReport.range.set(0, traceReport.timeline.data.end / 3)")
    frame.locator("#kernels .ranged-note").wait_for()
    assert frame.locator("table[data-sheet=kernels] th[data-key=ns_in_range]").count() == 1
    page.context.close()


def test_a_snapshot_s_curve_is_drawn_in_the_tab(browser: Browser, board: Board) -> None:
    page = tab(browser, board, "light")
    frame_of(page, "plugin_entry").get_by_role("button", name=SNAPSHOT["file"]).click()
    frame = frame_of(page, "/page?")
    until(frame, "Boolean(window.traceReport?.curves)")
    assert frame.locator("#timeline-memory").is_visible()
    page.context.close()


@pytest.mark.skipif(not AXE.exists(), reason="NO AXE: accessibility is not tested; make .venv/axe.min.js")
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_everybody_can_use_it(browser: Browser, board: Board, theme: str) -> None:
    page = tab(browser, board, theme)
    outer = frame_of(page, "plugin_entry")
    until(outer, "document.querySelectorAll('td.verdict').length >= 3", limit_ms=60_000)
    assert violations(outer) == []
    outer.get_by_role("button", name=TRACE["file"]).click()
    frame = frame_of(page, "/page?")
    until(frame, "Boolean(window.traceReport?.range)")
    assert violations(frame) == []
    page.context.close()
