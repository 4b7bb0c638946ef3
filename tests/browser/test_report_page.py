"""The page in a real browser: it loads nothing, works, and can be read without JavaScript, on a phone, on paper."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

import played_run
import pytest
import report_cases as cases

from traceanalyzer.reporters import json_report, render
from traceanalyzer.reporters.html import plotly

if TYPE_CHECKING:
    from collections.abc import Callable

    from opened import Opened
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SECTIONS = [
    "verdict",
    "quality",
    "where",
    "opportunities",
    "timeline",
    "tables",
    "code",
    "limits",
    "roofline",
    "memory",
    "communication",
    "queue",
    "method",
]
HOSTILE = """</script><script>window.pwned=1</script><img src=x onerror="pwned=1">'"\u202egnp.exe{{7*7}}"""


def view(page: Page) -> tuple[float, float]:
    start, end = page.evaluate("[traceReport.timeline.t0, traceReport.timeline.t1]")
    return float(start), float(end)


def visible_rows(page: Page, sheet: str) -> int:
    return page.locator(f'table[data-sheet="{sheet}"] tbody tr:visible').count()


@pytest.mark.parametrize("case", [cases.training, cases.nothing, cases.cpu_only])
def test_the_page_opens_without_an_error_or_a_request(
    open_page: Callable[..., Opened], case: Callable[[], object]
) -> None:
    opened = open_page(case())
    assert opened.errors == []
    assert opened.console == []
    assert [url for url in opened.requests if not url.startswith("file:")] == []
    assert len(opened.requests) == 1
    assert opened.page.locator("main > section").evaluate_all("all => all.map(s => s.id)") == SECTIONS


def test_the_reader_sees_what_is_slow_and_what_to_do_first(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    assert "57 % of the step" in page.locator("h1").inner_text()
    assert "The data loader holds the GPU up" in page.locator(".first").inner_text()
    fix = page.locator("article.finding .fix p:not(.label)").first.inner_text()
    assert fix in page.locator(".first").inner_text(), "not only what is wrong: what to do, too"
    assert page.locator(".first").bounding_box()["y"] < 900, "without scrolling"  # type: ignore[index]
    assert page.locator("#where .stack").bounding_box()["y"] < 900  # type: ignore[index]


def test_without_javascript_everything_but_the_timeline_can_be_read(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training(), java_script_enabled=False).page
    text = page.locator("body").inner_text()
    for what in ("57 % of the step", "The data loader holds the GPU up", "num_workers=8", "ncclDevKernel_AllReduce",
                 "The timeline is drawn by the page's script", "13.3 GiB", "21.4 %"):  # fmt: skip
        assert what in text
    assert page.locator("button:visible").count() == 0, "nothing that would do nothing"


def test_a_click_on_a_head_sorts_and_unknown_stays_last(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    table = page.locator('table[data-sheet="kernels"]')
    head = table.locator("th[data-key=occupancy_percent]")
    for order in ("descending", "ascending"):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == order
        assert "ncclDevKernel" in table.locator("tbody tr").last.inner_text()
    table.locator("th[data-key=count] button").click()
    counts = [int(t) for t in table.locator("tbody tr td:nth-child(4)").all_inner_texts()]
    assert counts == sorted(counts, reverse=True)


def test_filter_and_fold(open_page: Callable[..., Opened]) -> None:
    analysis = cases.training(20)
    page = open_page(analysis).page
    assert visible_rows(page, "idle-gaps") == 0, "folded away"
    page.locator("details.gaps summary").first.click()
    assert visible_rows(page, "idle-gaps") == 12
    page.locator("#idle-gaps input").fill(str(analysis["breakdown"].largest_gaps[0].duration_ns))
    assert visible_rows(page, "idle-gaps") == 1
    page.locator("#idle-gaps input").fill("")
    page.locator("#idle-gaps .more").click()
    assert visible_rows(page, "idle-gaps") == 20


def test_the_csv_holds_exact_values_under_stable_names(open_page: Callable[..., Opened]) -> None:
    analysis = cases.training()
    page = open_page(analysis).page
    rows = list(csv.DictReader(io.StringIO(page.evaluate("traceReport.sheets.kernels.csv()"))))
    expected = analysis["kernels"].rows
    assert [row["name"] for row in rows] == [k.name for k in expected]
    assert [int(row["total_ns"]) for row in rows] == [k.total_ns for k in expected]
    assert rows[1]["occupancy_percent"] == "", "unknown is empty, not 0"


def test_a_long_kernel_name_unfolds_to_the_whole(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    cell = page.locator('table[data-sheet="kernels"] details.long', has_text="flash_fwd_kernel")
    assert not cell.locator(".whole").is_visible()
    cell.locator("summary").click()
    assert cell.locator(".whole").inner_text() == played_run.FLASH


def test_the_json_can_be_saved_from_the_page(open_page: Callable[..., Opened]) -> None:
    analysis = cases.training()
    page = open_page(analysis).page
    with page.expect_download() as download:
        page.locator("#download").click()
    assert download.value.suggested_filename == "rank0.pt.trace.json.gz.report.json"
    with open(download.value.path(), encoding="utf-8") as file:  # noqa: PTH123 - the path is playwright's
        assert json.load(file) == json_report.document(analysis)


def test_the_theme_follows_the_system_until_it_is_chosen(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training(), color_scheme="dark").page
    paper = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(paper)
    page.locator("#theme").click()
    assert page.locator("#theme").inner_text() == "Theme: light"
    assert page.evaluate(paper) == "rgb(255, 255, 255)" != dark
    page.reload()
    assert page.evaluate(paper) == "rgb(255, 255, 255)", "the choice is remembered"


def test_the_timeline_zooms_pans_and_fits(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    whole = view(page)
    canvas = page.locator("#timeline-canvas")
    canvas.focus()
    for _ in range(4):
        page.keyboard.press("+")
    page.wait_for_timeout(60)
    zoomed = view(page)
    assert zoomed[1] - zoomed[0] < (whole[1] - whole[0]) / 5
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(60)
    assert view(page)[0] > zoomed[0]
    page.keyboard.press("0")
    page.wait_for_timeout(60)
    assert view(page) == whole
    canvas.hover()
    page.mouse.wheel(0, -240)
    page.wait_for_timeout(60)
    assert view(page)[1] - view(page)[0] < whole[1] - whole[0]
    page.locator("[data-zoom=fit]").click()
    page.wait_for_timeout(60)
    assert view(page) == whole


def test_the_wheel_scrolls_the_page_until_the_timeline_is_chosen(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    page.locator("#timeline-canvas").hover()
    before, top = view(page), page.evaluate("scrollY")
    page.mouse.wheel(0, 120)
    page.wait_for_timeout(400)
    assert view(page) == before
    assert page.evaluate("scrollY") != top


def test_the_timeline_tells_what_is_under_the_pointer(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    canvas = page.locator("#timeline-canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    y = page.evaluate("traceReport.timeline.tracks.find(t => t.type === 'gaps').y") + 5
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + y)
    tip = page.locator("#timeline-tip").inner_text()
    assert "Idle" in tip
    assert "the host waits for the next batch" in tip


def test_search_counts_dims_and_jumps(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    page.locator("#timeline-search").fill("flash_fwd")
    assert page.locator("#timeline-found").inner_text() == "96 found"
    before = view(page)
    page.keyboard.press("Enter")
    page.wait_for_timeout(60)
    assert view(page) != before
    assert "flash_fwd_kernel" in page.locator("#timeline-status").inner_text()
    assert "launched by aten::_flash_attention_forward" in page.locator("#timeline-status").inner_text()


def test_evidence_leads_to_its_place_on_the_timeline(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    page.locator("#finding-LOAD001 a.at").last.click()
    page.wait_for_timeout(60)
    start, end = view(page)
    assert (start < 90_000_000, end > 136_000_000) == (True, True), "all of it, and what is around"
    assert end - start == 92_000_000
    assert page.evaluate("location.hash") == "#timeline"


def test_hostile_names_are_text(open_page: Callable[..., Opened]) -> None:
    opened = open_page(cases.with_names(HOSTILE))
    assert opened.errors == []
    assert opened.page.evaluate("window.pwned") is None
    assert opened.page.locator("img").count() == 0
    text = opened.page.locator("body").inner_text()
    assert "<script>window.pwned=1</script>" in text
    assert "⟨U+202E⟩gnp.exe" in text
    assert "{{7*7}}" in text
    assert "\u202e" not in text
    opened.page.locator("#timeline-search").fill("pwned")
    assert opened.page.locator("#timeline-found").inner_text() == "2 found"


def test_a_smuggled_script_would_not_run(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.nothing()).page
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.pwned = 1'}))"
    )
    assert page.evaluate("window.pwned") is None


def test_a_megabyte_of_a_name_neither_bloats_nor_breaks_the_page(open_page: Callable[..., Opened]) -> None:
    analysis = cases.with_names("x" * 1_000_000)
    assert len(render(analysis, "html")) - len(plotly.packed()) < 500_000
    page = open_page(analysis).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize("case", [cases.training, cases.nothing, lambda: cases.with_names("n" * 3000)])
def test_a_phone_scrolls_in_one_direction_only(
    open_page: Callable[..., Opened], case: Callable[[], object]
) -> None:
    page = open_page(case(), width=390).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_an_address_leads_below_the_timeline_though_that_unpacks_later(
    open_page: Callable[..., Opened],
) -> None:
    page = open_page(cases.training()).page
    address = f"{page.url}#ops"
    page.goto("about:blank")
    page.goto(address)
    page.wait_for_function("window.traceReport.timeline")
    page.wait_for_timeout(150)
    assert 0 <= page.locator("#ops").bounding_box()["y"] < 150  # type: ignore[index]


def test_paper_has_no_controls_and_unfolds_what_is_folded(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    page.emulate_media(media="print")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert not page.locator("nav").is_visible()
    assert page.locator("button:not(thead button):visible").count() == 0
    assert page.locator("ul.checks").first.is_visible()


def test_paper_shows_no_empty_frames_and_names_that_can_be_read(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training(), width=700).page
    page.emulate_media(media="print")
    assert page.locator("figure[data-icicle]:not([data-drawn])").count(), (
        "on the screen they wait for the reader"
    )
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.locator("figure[data-icicle]:not([data-drawn])").count() == 0
    heights = page.locator(".plot:empty").evaluate_all("all => all.map(e => e.offsetHeight)")
    assert max(heights, default=0) < 20, "a figure that nobody looked at takes no place"
    widths = page.locator("#kernels tbody th.name").evaluate_all("all => all.map(e => e.offsetWidth)")
    assert min(widths) > 150


def test_every_chart_has_words_and_every_table_heads(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    assert page.locator("main svg[role=img]").evaluate_all(
        "all => all.every(s => s.getAttribute('aria-label'))"
    )
    assert page.locator("main table").evaluate_all(
        "all => all.every(t => t.querySelector('thead th[scope=col]'))"
    )
    assert (
        page.locator("tbody tr").evaluate_all(
            "all => all.filter(r => !r.querySelector('th[scope=row]')).length"
        )
        == 0
    )


def test_every_table_of_figures_sorts_and_is_copied(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training(20)).page
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    sheets = page.locator("table[data-sheet]")
    names = sheets.evaluate_all("all => all.map(t => t.dataset.sheet)")
    assert {"kernels", "ops", "idle-gaps", "steps-of-0", "holders"} <= set(names)
    for name in names:
        box = page.locator(f".sheet:has(table[data-sheet='{name}'])")
        assert box.get_by_role("button", name="Copy CSV").is_visible(), name
        assert box.locator("thead th button").count() == box.locator("thead th").count(), name
        rows = list(csv.reader(io.StringIO(page.evaluate(f"traceReport.sheets['{name}'].csv()"))))
        assert len({len(row) for row in rows}) == 1, name
        assert len(rows) > 1, name
    page.locator("#steps-of-0 th[data-key=wall_ns] button").click()
    longest = page.locator("#steps-of-0 tbody tr:visible th").first.inner_text()
    assert longest == "ProfilerStep#8", "the outlier"
