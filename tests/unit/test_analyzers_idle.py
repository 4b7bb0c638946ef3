"""The cause of an idle gap: one small schedule per cause. Times are µs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from linked import AUTOGRAD, Linked

from traceanalyzer.analyzers.breakdown import BreakdownAnalyzer
from traceanalyzer.analyzers.idle import CAUSES
from traceanalyzer.analyzers.steps import StepsAnalyzer

if TYPE_CHECKING:
    from traceanalyzer.analyzers.results import Breakdown, IdleGap


def analyzed(b: Linked) -> Breakdown:
    trace = b.trace()
    return BreakdownAnalyzer().analyze(trace, {"steps": StepsAnalyzer().analyze(trace, {})})


def gap_after_first_kernel(b: Linked) -> IdleGap:
    """The gap that begins at 100, where the first kernel of `running` ends."""
    return next(g for g in analyzed(b).largest_gaps if g.start_ns == 100_000)


@pytest.fixture
def running() -> Linked:
    """A step in which a kernel runs from 0 to 100 and the next work is up to the test."""
    b = Linked()
    b.step(1, 0, 1000)
    b.kernel("first", 0, 100, api_call=b.call("cudaLaunchKernel", 0, 0))
    return b


def test_the_host_dispatches_too_slowly(running: Linked) -> None:
    running.op("aten::linear", 90, 170)
    running.launch("next", called=160, start=165, end=200)
    gap = gap_after_first_kernel(running)
    assert (gap.cause, gap.next_work, gap.host_call) == ("dispatch", "next", "aten::linear")


def test_launched_in_time_and_short_is_launch_latency(running: Linked) -> None:
    running.launch("next", called=50, start=102, end=200)
    assert gap_after_first_kernel(running).cause == "launch_latency"


def test_launched_in_time_and_long_is_a_dependency(running: Linked) -> None:
    running.launch("next", called=50, start=130, end=200)
    assert gap_after_first_kernel(running).cause == "dependency"


def test_kernels_of_one_graph_launch_never_wait_for_the_host(running: Linked) -> None:
    call = running.call("cudaGraphLaunch", 60, 300)
    running.kernel("node 1", 101, 150, api_call=call)
    running.kernel("node 2", 180, 200, api_call=call)
    causes = {g.start_ns // 1000: g.cause for g in analyzed(running).largest_gaps}
    assert (causes[100], causes[150]) == ("launch_latency", "dependency")


def test_a_wait_that_drains_the_queue_is_charged_with_what_follows(running: Linked) -> None:
    running.op("aten::item", 10, 104)
    running.call("cudaStreamSynchronize", 11, 103)
    running.launch("next", called=150, start=155, end=200)
    assert gap_after_first_kernel(running).cause == "host_sync"


def test_a_wait_costs_no_more_than_it_held_the_host_up(running: Linked) -> None:
    """Called 5 µs before the device ran dry: without it the host would have been 5 µs earlier, not 50."""
    running.call("cudaStreamSynchronize", 95, 103)
    running.launch("next", called=150, start=155, end=200)
    assert gap_after_first_kernel(running).cause == "dispatch"


def test_a_sync_before_the_gap_is_not_its_cause(running: Linked) -> None:
    running.call("cudaStreamSynchronize", 20, 90)
    running.launch("next", called=150, start=155, end=200)
    assert gap_after_first_kernel(running).cause == "dispatch"


def test_the_dataloader_keeps_its_gap_although_a_sync_came_first(running: Linked) -> None:
    running.call("cudaStreamSynchronize", 10, 102)
    running.annotation("enumerate(DataLoader)#_MultiProcessingDataLoaderIter.__next__", 110, 400)
    running.launch("next", called=420, start=425, end=500)
    assert gap_after_first_kernel(running).cause == "dataloader"


@pytest.mark.parametrize(
    ("table", "name", "cause"),
    [
        ("ops", "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", "dataloader"),
        ("api_calls", "cudaMalloc", "allocator"),
        ("api_calls", "hipFree", "allocator"),
        ("api_calls", "cuMemMap", "allocator"),
        ("api_calls", "cudaDeviceSynchronize", "host_sync"),
        ("api_calls", "hipEventSynchronize", "host_sync"),
        ("python_calls", "<built-in function collect>", "gc"),
        ("annotations", "entire_frame_compile (dynamo_timed)", "compile"),
        ("api_calls", "cuModuleLoadData", "compile"),
        ("annotations", "Optimizer.step#AdamW.step", "optimizer"),
        ("ops", "autograd::engine::evaluate_function: MmBackward0", "autograd"),
        ("ops", "aten::mm", "dispatch"),
        ("api_calls", "cudaMallocAsync", "dispatch"),
        ("api_calls", "cudaEventQuery", "dispatch"),
    ],
)
def test_what_the_launching_thread_did_most(running: Linked, table: str, name: str, cause: str) -> None:
    running.host(table, name, 105, 150)
    running.launch("next", called=160, start=165, end=200)
    assert gap_after_first_kernel(running).cause == cause


def test_nested_kinds_are_counted_once_the_stall_first(running: Linked) -> None:
    running.annotation("Optimizer.step#SGD.step", 100, 200)
    running.call("cudaMalloc", 110, 170)
    running.launch("next", called=200, start=205, end=210)
    assert gap_after_first_kernel(running).cause == "allocator"


def test_another_thread_is_not_to_blame(running: Linked) -> None:
    running.annotation("enumerate(DataLoader)#_X.__next__", 100, 155, tid=99)
    running.launch("next", called=160, start=165, end=200)
    assert gap_after_first_kernel(running).cause == "dispatch"


def test_the_thread_that_waits_for_backward_is_one_with_it(running: Linked) -> None:
    """The main thread reads the loss and then calls backward(): the next launch is the autograd thread's."""
    running.call("cudaStreamSynchronize", 10, 103)
    running.op("autograd::engine::evaluate_function: MmBackward0", 140, 170, tid=AUTOGRAD)
    running.launch("next", called=150, start=155, end=200, tid=AUTOGRAD)
    assert gap_after_first_kernel(running).cause == "host_sync"


def test_a_pageable_copy_blocks_the_host(running: Linked) -> None:
    call = running.call("cudaMemcpyAsync", 105, 400)
    running.copy("HtoD", 300, 400, "pageable", "device", api_call=call)
    assert gap_after_first_kernel(running).cause == "host_copy"


def test_a_pinned_copy_does_not(running: Linked) -> None:
    call = running.call("cudaMemcpyAsync", 105, 108)
    running.copy("HtoD", 300, 400, "pinned", "device", api_call=call)
    assert gap_after_first_kernel(running).cause == "dispatch"


def test_a_slow_launch_that_began_in_time_is_late_after_all(running: Linked) -> None:
    running.kernel("next", 290, 400, api_call=running.call("cudaLaunchKernel", 95, 288))
    assert gap_after_first_kernel(running).cause == "dispatch"


def test_work_without_a_recorded_launch_has_no_known_cause(running: Linked) -> None:
    running.kernel("next", 150, 200)
    assert gap_after_first_kernel(running).cause == "unknown"


def test_after_the_last_work_nothing_was_launched(running: Linked) -> None:
    gap = gap_after_first_kernel(running)
    assert (gap.cause, gap.duration_ns, gap.next_work) == ("no_more_work", 900_000, None)


@pytest.mark.parametrize(
    ("does", "cause"),
    [
        ("<built-in function collect>", "gc"),
        ("torch/utils/data/dataloader.py(700): __next__", "dataloader"),
        ("train.py(9): save", "no_more_work"),
    ],
)
def test_a_stall_after_the_last_work_is_called_by_its_name(running: Linked, does: str, cause: str) -> None:
    step = running.frame("train.py", 12, 0, 990)
    running.host("python_calls", does, 150, 950, parent=step, depth=1)
    gap = gap_after_first_kernel(running)
    assert (gap.cause, gap.python) == (cause, "train.py:12")


def test_the_place_is_the_innermost_user_line_that_filled_the_gap(running: Linked) -> None:
    outer = running.frame("train.py", 12, 0, 900)
    inner = running.frame("data/augment.py", 40, 101, 155, parent=outer)
    running.frame("torch/functional.py", 7, 102, 154, parent=inner)
    running.launch("next", called=160, start=165, end=200, module="Net_0/Linear_1")
    gap = gap_after_first_kernel(running)
    assert (gap.python, gap.module) == ("data/augment.py:40", "Net_0/Linear_1")


def test_installed_code_is_named_only_when_there_is_no_user_code(running: Linked) -> None:
    outer = running.frame("/x/site-packages/serving/engine.py", 3, 0, 900)
    running.frame("threading.py", 9, 90, 160, parent=outer)
    running.launch("next", called=160, start=165, end=200)
    assert gap_after_first_kernel(running).python == "/x/site-packages/serving/engine.py:3"


def test_causes_sum_to_the_idle_time_and_have_texts(running: Linked) -> None:
    running.launch("next", called=160, start=165, end=200)
    (device,) = analyzed(running).devices
    assert sum(c.total_ns for c in device.idle_causes) == device.whole.idle_ns
    assert {c.cause for c in device.idle_causes} <= set(CAUSES)


def test_gaps_are_listed_longest_first_and_counted_in_all() -> None:
    b = Linked()
    b.step(1, 0, 10_000)
    for i in range(300):
        b.launch("k", called=i * 20 + 11, start=i * 20 + 13, end=i * 20 + 20)
    found = analyzed(b)
    lengths = [g.duration_ns for g in found.largest_gaps]
    assert len(lengths) == 200
    assert lengths == sorted(lengths, reverse=True)
    assert sum(c.gaps for c in found.devices[0].idle_causes) == 301


def test_the_longest_gap_of_each_cause_is_listed_however_short() -> None:
    b = Linked()
    b.step(1, 0, 10_000)
    for i in range(300):
        b.launch("k", called=i * 20 + 11, start=i * 20 + 13, end=i * 20 + 20)
    b.launch("waits", called=5990, start=6002, end=6010)
    found = analyzed(b)
    assert "launch_latency" in {c.cause for c in found.devices[0].idle_causes}
    assert [g.duration_ns for g in found.largest_gaps if g.cause == "launch_latency"] == [2_000]
    assert len(found.largest_gaps) == 201
