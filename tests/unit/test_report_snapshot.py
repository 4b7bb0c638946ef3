"""The memory section of the page: the error, what memory was for over time, where blocks lie, who holds them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from snapshot_files import BASE, MIB, USER, block, entry, frame, segment, snapshot, write

from traceanalyzer.analyzers.snapshot.state import device_states
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import analyze, load
from traceanalyzer.reporters import render
from traceanalyzer.reporters.html import plotly

if TYPE_CHECKING:
    from traceanalyzer.rules.analysis import Analysis

FIXTURE = Path(__file__).parents[2] / "fixtures/snapshots/oom.pickle.gz"
NO_CACHE = LoadOptions(use_cache=False)
WEIGHT = frame("/app/model.py", 3, "load_weights")


@pytest.fixture(scope="module")
def analysis() -> Analysis:
    return analyze(load(FIXTURE, options=NO_CACHE))


@pytest.fixture(scope="module")
def section(analysis: Analysis) -> str:
    page = render(analysis, "html")
    return page[page.index('<section id="memory">') : page.index('<section id="opportunities">')]


def test_the_error_comes_first_with_its_figures_causes_and_changes(section: str, analysis: Analysis) -> None:
    (oom,) = analysis["oom"].rows
    first = section[: section.index("</article>")]
    assert "Out of memory asking for 12.0 MiB" in first
    assert first.count("<li>") == len(oom.causes)
    assert first.count("<tr>") == 1 + len(oom.changes)


def test_areas_and_map_draw_every_use_that_there_was(section: str, analysis: Analysis) -> None:
    (device,) = analysis["snapshot"].devices
    assert set(device.composition.by_category) == set(
        re.findall(r'<path d="[^"]+" class="use-(\w+)"', section)
    )
    (oom,) = analysis["oom"].rows
    assert section.count('class="free"') == len(oom.map.rows)


def test_holders_are_shown_by_use_module_line_and_stack(section: str) -> None:
    for by in ("category", "module", "line", "stack"):
        assert f'id="held-by-{by}-0"' in section
    assert "train.py:27 log_loss ← train.py:31 main" in section


def test_stacks_are_an_icicle_of_bytes_under_their_callers(section: str, analysis: Analysis) -> None:
    data = json.loads(re.findall(r'id="held-0-icicle">(.+?)</script>', section)[0])
    (oom,) = analysis["oom"].rows
    roots = [v for v, above in zip(data["metrics"][0]["values"], data["parent"], strict=True) if above < 0]
    assert (data["unit"], sum(roots)) == ("bytes", oom.moment.active_bytes)
    assert {data["names"][n] for n, above in zip(data["name"], data["parent"], strict=True) if above < 0} == {
        "train.py:40 <module>"
    }


def test_uses_add_up_to_what_is_active_at_every_moment_that_is_told(analysis: Analysis) -> None:
    (state,) = device_states(analysis.trace)
    (device,) = analysis["snapshot"].devices
    active = dict(zip(state.ts.tolist(), state.active.tolist(), strict=True))
    sums = [sum(column) for column in zip(*device.composition.by_category.values(), strict=True)]
    assert len(sums) > 100
    assert sums == [active[at] for at in device.composition.at]


def test_the_map_tells_every_byte_of_a_segment(tmp_path: Path) -> None:
    blocks = [
        block(BASE, 2 * MIB, 2 * MIB, frames=[WEIGHT]),
        block(BASE + 2 * MIB, MIB, MIB, frames=[WEIGHT]),
        block(BASE + 3 * MIB, 5 * MIB, 0, "inactive"),
        block(BASE + 8 * MIB, 12 * MIB, 12 * MIB, frames=[USER]),
    ]
    trace = load(write(tmp_path / "a.pickle", snapshot([segment(BASE, blocks)], [])), options=NO_CACHE)
    (device,) = analyze(trace)["snapshot"].devices
    (row,) = device.map_at_end.rows
    assert row.runs == ((0, 3 * MIB, "parameters"), (8 * MIB, 12 * MIB, "unknown"))
    assert (row.bytes, row.active_bytes, row.blocks) == (20 * MIB, 15 * MIB, 3)


def test_segments_that_hold_nothing_are_counted_and_not_drawn(tmp_path: Path) -> None:
    full, empty = (
        block(BASE, 2 * MIB, 2 * MIB, frames=[WEIGHT]),
        block(BASE + (1 << 30), 20 * MIB, 0, "inactive"),
    )
    content = snapshot([segment(BASE, [full]), segment(BASE + (1 << 30), [empty])], [])
    analysis = analyze(load(write(tmp_path / "a.pickle", content), options=NO_CACHE))
    (device,) = analysis["snapshot"].devices
    found = device.map_at_end
    assert (found.count, len(found.rows), found.empty_count, found.empty_bytes) == (2, 1, 1, 20 * MIB)
    assert "Segments that hold nothing: 1, 20.0 MiB in all." in render(analysis, "html")


def test_a_page_of_memory_alone_begins_with_it(tmp_path: Path) -> None:
    page = render(analyze(load(FIXTURE, options=NO_CACHE)), "html")
    assert re.findall(r'<section id="(\w+)"', page) == re.findall(r'<li><a href="#(\w+)"', page)
    assert page.index('<section id="memory"') < page.index('<section id="opportunities"')
    assert "<td>optimizer_state" not in page


def test_a_segment_with_many_blocks_is_drawn_in_parts_that_are_mostly_used(tmp_path: Path) -> None:
    small, used = 16 << 10, []
    for i in range(1280):  # the first half is full, of the second every fourth
        full = i < 640 or i % 4 == 0
        place = [WEIGHT] if i % 2 else [USER]
        used.append(
            block(
                BASE + i * small,
                small,
                small if full else 0,
                "active_allocated" if full else "inactive",
                place,
            )
        )
    trace = load(write(tmp_path / "a.pickle", snapshot([segment(BASE, used)], [])), options=NO_CACHE)
    (device,) = analyze(trace)["snapshot"].devices
    (row,) = device.map_at_end.rows
    assert len(row.runs) == 30
    assert max(start + size for start, size, _ in row.runs) == 10 * MIB


@pytest.mark.parametrize("name", ["<script>alert(1)</script>", "a\x1b[31m", "x" * 5000])
def test_hostile_names_are_escaped_and_cut(tmp_path: Path, name: str) -> None:
    evil = frame(f"/app/{name}.py", 1, name)
    trace = [entry("alloc", BASE, MIB, 1, [evil], compile_context=name), entry("oom", 0, 1 << 40, 2, [evil])]
    marks: Any = [{"stage": "START", "name": name, "device": 0, "time_us": 0}]
    content = snapshot([segment(BASE, [block(BASE, 2 * MIB, MIB, frames=[evil])])], trace, marks)
    page = render(analyze(load(write(tmp_path / "a.pickle", content), options=NO_CACHE)), "html")
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert len(page) - len(plotly.packed()) < 400_000
