"""The page as text: the same every time, closed to the network, small, and honest about what is unknown."""

from __future__ import annotations

import base64
import hashlib
import re
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import report_cases as cases

from traceanalyzer.analyzers import results as r
from traceanalyzer.model.trace import Capability
from traceanalyzer.reporters import method, render
from traceanalyzer.reporters.html import _largest_modules, cells, charts, environment, plotly
from traceanalyzer.rules.analysis import Analysis
from traceanalyzer.rules.findings import Evidence
from traceanalyzer.text import say

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def page() -> str:
    return render(cases.training(), "html")


def test_equal_analyses_give_equal_pages(page: str) -> None:
    assert render(cases.training(), "html") == page


def test_the_page_refers_to_nothing_outside_itself(page: str) -> None:
    assert not re.search(r"""(?:src|href)=(?!"#)|@import|url\((?!#)""", page)


def test_only_the_page_s_own_script_and_style_may_run(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    assert policy.group(1).startswith("default-src 'none'; ")
    assert "unsafe" not in policy.group(1).replace("style-src-attr 'unsafe-inline'", "")
    for tag in ("script", "style"):
        text = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert len(text) == 1
        digest = base64.b64encode(hashlib.sha256(text[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'".replace("&#39;", "'") in policy.group(1).replace("&#39;", "'")
    assert not re.search(r"<[^>]+ (?:style|on\w+)=", page), "the policy would block it"


def test_the_page_is_small(page: str) -> None:
    assert len(page) - len(plotly.packed()) < 250_000


def test_a_run_without_a_device_shows_no_device_time() -> None:
    page = render(cases.cpu_only(), "html")
    assert 'data-key="self_ns"' in page
    assert 'data-key="device_ns"' not in page, "it was not measured, so there is no column of zeros"
    assert "Simulated." in page


def test_findings_are_sorted_by_saving_times_confidence(page: str) -> None:
    anchors = re.findall(r'<article class="finding[^"]*" id="([^"]+)"', page)
    assert anchors == ["finding-LOAD001", "finding-COPY001", "finding-MEM003"]


def test_every_link_has_a_place_to_go(page: str) -> None:
    ids = set(re.findall(r' id="([^"]+)"', page))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= ids


def test_ids_are_unique(page: str) -> None:
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_what_is_missing_comes_with_how_to_capture_it(page: str) -> None:
    assert "Python stacks, synchronisation events" in re.sub(r"\s+", " ", page)
    assert "profile with with_stack=True" in page


def test_a_complete_recording_is_praised() -> None:
    base = cases.training(2, 2)
    trace = type(base.trace)(base.trace.sources, base.trace.tables, frozenset(Capability))
    page = render(Analysis(trace, base.results, base.verdict, (), (), ()), "html")
    assert "Everything that the analyses look for was recorded" in page
    assert "No rule found anything to improve" in page


def test_a_result_that_an_analyzer_could_not_deliver_is_no_obstacle() -> None:
    base = cases.training(2, 2)
    page = render(Analysis(base.trace, {}, base.verdict, base.findings, (), ()), "html")
    assert "No memory events were recorded" in page


def test_a_stack_fills_the_bar() -> None:
    segments = charts.stack(r.Partition(1000, 500, 0, 167, 333))
    assert [s.percent for s in segments] == ["50.0 %", "0.0 %", "16.7 %", "33.3 %"]
    assert sum(s.width for s in segments) == pytest.approx(100)


def test_many_steps_are_averaged_into_few_columns() -> None:
    steps = tuple(
        r.Step(i, f"step {i}", 0, i * 10, i * 10 + 9, i * 10, i * 10 + 9, i * 10 + 10) for i in range(1000)
    )
    parts = tuple(r.Partition(10, 5, 0, 0, 5) for _ in steps)
    device = r.DeviceBreakdown(0, 0, None, 0, r.Partition(10_000, 5_000, 0, 0, 5_000), parts, 0, 0, ())
    chart = charts.step_bars(device, r.Steps("profiler_step", steps, 10, (3,)))
    assert chart is not None
    assert len(chart.bars) <= charts.MAX_BARS
    assert chart.averaged == 7
    assert [bar.outlier for bar in chart.bars[:2]] == [True, False]


def test_a_line_keeps_its_extremes_when_it_is_thinned() -> None:
    points = tuple((i, 1_000_000 if i == 51_234 else 5, None) for i in range(100_000))
    timeline = r.MemoryTimeline(0, "cuda", 0, 1, None, None, None, points, (), 0)
    line = charts.memory_line(timeline)
    assert line is not None
    assert [name for name, _ in line.paths] == ["allocated"], "reserved was not measured"
    path = line.paths[0][1]
    assert "V0.0" in path
    assert path.count("H") <= charts.MAX_POINTS + 4


def test_modules_keep_what_is_around_them() -> None:
    rows = [r.ModuleRow("A", "A", 0, 1, 1, 10, 0), r.ModuleRow("A/B", "B", 1, 1, 1, 1, 1),
            r.ModuleRow("A/C", "C", 1, 1, 1, 9, 0), r.ModuleRow("A/C/D", "D", 2, 1, 1, 9, 9)]  # fmt: skip
    assert [m.name for m in _largest_modules(rows, 3)] == ["A", "C", "D"]


def test_rich_text_knows_code_and_nothing_else() -> None:
    html = str(cells.rich("Use `a<b>`:\n```python\nx = '<script>'\n```\nthen <b>stop</b>"))
    assert "<code>a&lt;b&gt;</code>" in html
    assert "<pre><code>x = &#39;&lt;script&gt;&#39;</code></pre>" in html
    assert "&lt;b&gt;stop" in html


def test_every_threshold_says_what_it_is() -> None:
    found = {t.name: t for t in method.all_thresholds()}
    assert found["TINY_KERNEL_NS"].value == "10.0 µs"
    assert all(len(t.meaning) > 20 for t in found.values())


def test_templates_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    folder = tmp_path / "__pycache__"

    def compiled() -> int:
        kept = environment.get().overlay(bytecode_cache=environment.Compiled(folder), cache_size=0)
        kept.get_template("verdict.html.j2")
        return next(folder.iterdir()).stat().st_mtime_ns

    assert compiled() == compiled()


@pytest.mark.parametrize("kept", [b"", b"j2 of another make"])
def test_compiled_templates_that_are_broken_are_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bytes
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    fresh = environment.get().overlay(bytecode_cache=environment.Compiled(tmp_path), cache_size=0)
    fresh.get_template("verdict.html.j2")
    (file,) = tmp_path.iterdir()
    file.write_bytes(kept)
    environment.get().overlay(bytecode_cache=environment.Compiled(tmp_path), cache_size=0).get_template(
        "verdict.html.j2"
    )
    assert file.read_bytes() != kept


def test_a_folder_that_takes_no_compiled_templates_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    occupied = tmp_path / "__pycache__"
    occupied.write_text("a file")
    kept = environment.get().overlay(bytecode_cache=environment.Compiled(occupied), cache_size=0)
    assert kept.get_template("verdict.html.j2").name == "verdict.html.j2"


def test_what_to_do_first_says_at_which_line() -> None:
    analysis = cases.training()
    first = replace(analysis.findings[0], evidence=(Evidence(say("a gap"), python="src/<train>.py:12"),))
    page = render(replace(analysis, findings=(first, *analysis.findings[1:])), "html")
    do_first = page[page.index('class="first"') : page.index('id="quality"')]
    assert "at src/&lt;train&gt;.py:12" in do_first


def test_no_line_of_a_headline_ends_between_a_number_and_its_unit() -> None:
    told = cells.heading("GPU idle 53 % of <the step>; saves 1.2–3.4 ms of 2 steps")
    assert told == (
        'GPU idle <span class="whole">53 %</span> of &lt;the step&gt;; saves <span class="whole">1.2–3.4 ms</span> '
        "of 2 steps"
    )
