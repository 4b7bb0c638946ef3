"""Of many devices a report shows whole one that is like most and those that are not; the others are folded away."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.report_cases import MS, training
from traceanalyzer.analyzers.results import Breakdown, DeviceBreakdown, Memory, Partition
from traceanalyzer.languages import spoken
from traceanalyzer.model.tables import empty, from_rows
from traceanalyzer.reporters import html, markdown, notebook, terminal
from traceanalyzer.reporters.devices import MOST, shown
from traceanalyzer.reporters.timeline.events import device_events, stream_labels, whole_ranks
from traceanalyzer.reporters.timeline.lanes import MAX_LANES, Words, split
from traceanalyzer.reporters.timeline.memory import curves_of

if TYPE_CHECKING:
    from traceanalyzer.rules.analysis import Analysis


def device(rank: int, compute_ms: float, communication_ms: float, idle_ms: float) -> DeviceBreakdown:
    parts = [round(ms * MS) for ms in (compute_ms, communication_ms, 0, idle_ms)]
    return DeviceBreakdown(rank, 0, "NVIDIA H100", 0, Partition(sum(parts), *parts), (), 0, 0, ())


def node(ranks: int, slow: int) -> list[DeviceBreakdown]:
    """Ranks that wait for one of them, whose host is slow."""
    return [device(r, 43, 10, 47) if r == slow else device(r, 40 + r / 10, 55, 5) for r in range(ranks)]


def run_of(devices: list[DeviceBreakdown]) -> Analysis:
    """A report's analysis with these devices in place of its own, each with memory."""
    analysis = training()
    breakdown: Breakdown = analysis["breakdown"]
    memory: Memory = analysis["memory"]
    (line, *_) = memory.timelines
    lines = tuple(
        replace(line, rank=d.rank, peak_allocated_bytes=(1 + d.rank % 6) << 30, live_at_peak=())
        for d in devices
    )
    results = {
        **analysis.results,
        "breakdown": replace(breakdown, devices=tuple(devices)),
        "memory": replace(memory, timelines=lines),
    }
    return replace(analysis, results=results)


@pytest.mark.parametrize("count", [0, 1, MOST])
def test_a_few_are_all_shown(count: int) -> None:
    devices = node(count, slow=0)
    assert [one.device for one in shown(devices)] == devices
    assert all(one.why is None for one in shown(devices))


def test_of_many_the_usual_one_comes_first_and_then_the_odd_one_with_the_reason() -> None:
    usual, odd = shown(node(8, slow=5))
    assert usual.device.rank != 5
    assert spoken(usual.why or "") == "like most of the 8 devices"
    assert (odd.number, odd.device.rank) == (5, 5)
    assert spoken(odd.why or "") == "unlike most: Exposed communication 10 %, elsewhere 55 %"


def test_of_many_that_are_alike_one_is_enough() -> None:
    assert len(shown([device(r, 40, 55, 5) for r in range(64)])) == 1


def test_what_did_nothing_is_unlike_what_works() -> None:
    idle = device(7, 0, 0, 0)
    assert [one.device.rank for one in shown([*node(7, slow=-1), idle])][1:] == [7]


@given(st.lists(st.tuples(*[st.integers(0, 100)] * 3), max_size=40))
@example(
    [(0, 0, 0), (0, 0, 0), (0, 0, 1), (0, 0, 1), (0, 1, 1)]
)  # none is like most: all are as far from the median
def test_no_device_twice_and_never_more_than_a_few(parts: list[tuple[int, int, int]]) -> None:
    devices = [device(rank, *three) for rank, three in enumerate(parts)]
    chosen = [one.number for one in shown(devices)]
    assert len(set(chosen)) == len(chosen) <= MOST
    assert bool(chosen) == bool(devices)
    assert all(one.device is devices[one.number] for one in shown(devices))


def test_the_page_has_a_line_for_every_device_and_folds_those_that_are_alike() -> None:
    page = html.render(run_of(node(8, slow=5)))
    assert page.count('<div class="strip') == 8
    whole, _, folded = page[page.index('<section id="where">') :].partition('<details class="others">')
    assert whole.count('<div class="device">') == 2
    assert "<bdi>Rank 5, GPU 0: NVIDIA H100</bdi>" in whole
    assert "… and 6 more devices" in folded
    assert folded[: folded.index("</section>")].count('<div class="device">') == 6


def test_the_page_shows_the_highest_of_many_peaks_and_folds_the_others() -> None:
    page = html.render(run_of(node(8, slow=5)))
    memory = page[page.index('<section id="memory">') :]
    whole, _, folded = memory[: memory.index("</section>")].partition('<details class="others">')
    assert whole.count('<div class="device">') == 1
    assert "Rank 5" in whole
    assert folded.count('<div class="device">') == 7


def test_a_few_devices_are_not_folded() -> None:
    page = html.render(run_of(node(2, slow=1)))
    assert '<details class="others">' not in page
    assert '<div class="strip' not in page


def test_summaries_name_the_odd_rank_and_count_the_rest() -> None:
    analysis = run_of(node(8, slow=5))
    for text in (terminal.render(analysis), markdown.render(analysis)):
        assert "unlike most: Exposed communication 10 %, elsewhere 55 %" in text
        assert "… and 6 more devices" in text
    assert "… and 6 more devices" in notebook.html(analysis)


def test_the_timeline_keeps_every_stream_of_the_ranks_that_are_shown_whole() -> None:
    rows = [
        {"name": "k", "rank": rank, "ts": 10 * rank, "dur": 1 + stream, "device": 0, "stream": stream}
        for rank in range(32)
        for stream in (7, 20)
    ]
    analysis = run_of(node(32, slow=29))
    tables = {**analysis.trace.tables, "kernels": from_rows("kernels", rows), "copies": empty("copies")}
    sources = tuple(replace(analysis.trace.sources[0], rank=rank) for rank in range(32))
    traced = replace(analysis, trace=replace(analysis.trace, tables=tables, sources=sources))
    usual, odd = (one.device.rank for one in shown(node(32, slow=29)))
    side = split(device_events(traced, Words()), stream_labels(traced), 1000, whole_ranks(traced))
    assert len(side.labels) == MAX_LANES
    assert list(side.labels[:4]) == [f"rank {r} · GPU 0 · stream {s}" for r in (usual, odd) for s in (20, 7)]
    assert side.lanes_left_out == 64 - MAX_LANES


def test_of_many_curves_of_memory_those_of_the_ranks_that_are_shown_whole_stay() -> None:
    analysis = run_of(node(32, slow=29))
    assert 29 in [curve.timeline.rank for curve in curves_of(analysis, whole_ranks(analysis))]
