"""The replay on hand-written traces: what waited for what, and what follows when something changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.linked import AUTOGRAD, US, Linked
from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.replay.ranks import Replay
from traceanalyzer.analyzers.replay.whatif import WhatIf, what_if
from traceanalyzer.analyzers.steps import StepsAnalyzer
from traceanalyzer.errors import UsageError
from traceanalyzer.model.trace import Capability

if TYPE_CHECKING:
    from traceanalyzer.analyzers.results import Steps


def steps_of(rows: Linked) -> Steps:
    return StepsAnalyzer().analyze(rows.trace(), {})


def asked(rows: Linked, *remove: str, speedup: tuple[tuple[str, float], ...] = ()) -> WhatIf:
    return what_if(rows.trace(), steps_of(rows), remove, speedup)


def step_us(result: WhatIf) -> tuple[float, float]:
    assert result.together is not None
    low, high = result.together.step_ns
    return low / US, high / US


def device_bound() -> Linked:
    """Two kernels of 100 µs, launched one after the other within the first 20 µs."""
    rows = Linked()
    rows.step(1, 0, 30)
    rows.launch("gemm", 5, 10, 110)
    rows.launch("relu", 15, 111, 211)
    return rows


def test_a_faster_kernel_shortens_a_step_that_the_device_decides() -> None:
    assert step_us(asked(device_bound(), speedup=(("gemm", 2.0),))) == (161, 161)


def test_a_faster_kernel_saves_nothing_where_the_host_is_late() -> None:
    rows = Linked()
    rows.step(1, 0, 320)
    rows.launch("gemm", 5, 10, 110)
    rows.launch("relu", 300, 305, 310)
    assert step_us(asked(rows, speedup=(("gemm", 2.0),))) == (320, 320)


def test_work_on_another_stream_goes_on_beside_it() -> None:
    rows = device_bound()
    rows.launch("side", 20, 25, 400, stream=20)
    assert step_us(asked(rows, speedup=(("gemm", 2.0),))) == (400, 400)


@pytest.mark.parametrize("streams", [(7, 7, 7, 7), (7, 20, 21, 22)])
def test_kernels_overlap_no_more_than_they_were_seen_to(streams: tuple[int, ...]) -> None:
    """Each may fill the device: on streams of their own they still take their time one after the other."""
    rows = Linked()
    rows.step(1, 0, 400)
    for i, stream in enumerate(streams):
        rows.annotation("slow", 100 * i, 100 * i + 95)
        rows.launch("gemm", 100 * i + 95, 100 * i + 100, 100 * i + 180, stream=stream)
    assert asked(rows).measured_ns == 480 * US
    low, _ = step_us(asked(rows, "slow"))
    assert 4 * 80 <= low < 4 * 80 + 20
    low, _ = step_us(asked(rows, "slow", speedup=(("gemm", 2.0),)))
    assert 4 * 40 <= low < 4 * 40 + 20


def test_a_device_may_have_any_number() -> None:
    rows = Linked()
    rows.step(1, 0, 30)
    rows.launch("gemm", 5, 10, 110, device=-1)
    assert step_us(asked(rows, speedup=(("gemm", 2.0),))) == (60, 60)


def test_kernels_that_were_seen_side_by_side_stay_there() -> None:
    rows = Linked()
    rows.step(1, 0, 200)
    rows.annotation("slow", 0, 100)
    rows.launch("gemm", 100, 110, 190)
    rows.launch("side", 105, 115, 195, stream=20)
    assert step_us(asked(rows, "slow")) == (100, 100)


def test_a_call_that_waited_returns_sooner_when_its_work_ends_sooner() -> None:
    rows = Linked()
    rows.step(1, 0, 200)
    rows.launch("gemm", 5, 10, 110)
    rows.call("cudaDeviceSynchronize", 10, 115)
    assert step_us(asked(rows, speedup=(("gemm", 2.0),))) == (150, 150)
    assert step_us(asked(rows, "cudaDeviceSynchronize"))[0] == 110  # the device decides now
    assert step_us(asked(rows, "SYNC001"))[0] == 110


def test_a_call_did_not_wait_for_work_that_ran_on_after_it() -> None:
    rows = Linked()
    rows.step(1, 0, 200)
    rows.launch("gemm", 5, 10, 190)
    rows.call("cudaStreamSynchronize", 10, 115)
    assert step_us(asked(rows, speedup=(("gemm", 9.0),))) == (200, 200)


def test_the_autograd_thread_takes_its_turn_in_between() -> None:
    rows = Linked()
    rows.step(1, 0, 300)
    rows.launch("forward", 5, 10, 12)
    rows.op("autograd::engine::evaluate_function: AddBackward0", 40, 60, tid=AUTOGRAD)
    rows.launch("backward", 50, 55, 57, tid=AUTOGRAD)
    rows.launch("update", 290, 295, 297)
    rows.annotation("slow", 10, 45)
    assert step_us(asked(rows, "slow")) == (265, 265)


def test_a_pageable_copy_that_is_pinned_no_longer_holds_the_host_up() -> None:
    rows = Linked()
    rows.step(1, 0, 200)
    call = rows.call("cudaMemcpyAsync", 10, 110)
    rows.copy("HtoD", 60, 109, "pageable", "device", api_call=call, bytes=1 << 20)
    rows.launch("gemm", 120, 125, 195)
    low, high = step_us(asked(rows, "COPY001"))
    assert low < high < 200


def test_a_large_copy_that_is_pinned_surely_moves_at_the_speed_of_the_slowest_link() -> None:
    rows, size = Linked(), 12 << 20
    rows.step(1, 0, 5000)
    call = rows.call("cudaMemcpyAsync", 10, 4000)
    rows.copy("HtoD", 20, 4000, "pageable", "device", api_call=call, bytes=size)
    rows.launch("gemm", 4010, 4015, 4995)
    low, high = step_us(asked(rows, "COPY001"))
    assert high == pytest.approx(size / thresholds.PINNED_LEAST_BYTES_PER_NS / US + 980, abs=40)
    assert low == pytest.approx(3980 / thresholds.PINNED_SPEEDUP + 980, abs=40)


@pytest.mark.parametrize(
    ("optimizer", "op", "most_us"),
    [("AdamW", "aten::_foreach_mul_", 200), ("Adam", "aten::mul_", 400), ("SGD", "aten::_foreach_mul_", 400)],
)
def test_only_passes_of_adam_over_lists_are_sure_to_become_fewer(
    optimizer: str, op: str, most_us: int
) -> None:
    rows = Linked()
    rows.step(1, 0, 30)
    rows.annotation(f"Optimizer.step#{optimizer}.step", 1, 29)
    for i in range(4):
        kernel = rows.launch("multi_tensor_apply", 3 + 5 * i, 30 + 100 * i, 130 + 100 * i)
        kernel["op"] = rows.op(op, 2 + 5 * i, 6 + 5 * i)
    low, high = step_us(asked(rows, "OPT001"))
    assert high - low == pytest.approx(most_us - 400 / thresholds.FUSED_OPTIMIZER_SPEEDUP, abs=1)


def test_of_small_products_in_a_row_one_is_left_in_each_step() -> None:
    """12 products of 2 µs, one every 10 µs, and 30 µs of other work on the host in each step."""
    rows = Linked()
    for number in (0, 1):
        begin = 150 * number
        rows.step(number, begin, begin + 150)
        for i in range(12):
            at = begin + 10 * i
            op = rows.op("aten::mm", at, at + 4, input_dims="[[64,64],[64,64]]", step=number)
            rows.launch("gemm", at + 1, at + 5, at + 7, op=op)
    low, high = step_us(asked(rows, "BATCH001"))
    assert (low, high) == (pytest.approx(4 + 36, abs=2), pytest.approx(4 + 36 + 2, abs=4))


def test_at_most_the_operator_that_asked_for_a_size_goes_away_with_the_question() -> None:
    """`x[mask]` is an index with a nonzero in it; an index by numbers asks nothing and stays."""
    rows = Linked()
    rows.step(1, 0, 400)
    by_numbers = rows.op("aten::index", 5, 55)
    rows.launch("gather", 40, 45, 60, op=by_numbers)
    by_mask = rows.op("aten::index", 100, 300)
    asking = rows.op("aten::nonzero", 110, 210, parent=by_mask, depth=1)
    rows.launch("count", 150, 155, 200, op=asking)
    rows.call("cudaStreamSynchronize", 160, 205)
    rows.launch("gather", 280, 285, 300, op=by_mask)
    low, high = step_us(asked(rows, "SYNC003"))
    assert low == 400 - 200
    assert 400 - 45 <= high < 400  # at least nothing waits


def test_a_wait_between_streams_that_only_timing_shows_is_kept() -> None:
    rows = device_bound()
    rows.launch("side", 20, 214, 300, stream=20)
    result = asked(rows, speedup=(("gemm", 2.0),))
    assert step_us(result) == (250, 250)
    assert any("inferred from timing" in note for note in result.notes)


def test_a_recorded_wait_between_streams_is_kept() -> None:
    rows = device_bound()
    recorded = rows.call("cudaEventRecord", 18, 19, correlation=7)
    rows.call("cudaStreamWaitEvent", 19, 20, correlation=8)
    rows.add(
        "syncs", "Stream Wait Event", 19, 20, kind="Stream Wait Event", device=0, stream=20, correlation=8,
        waits_on_stream=7, waits_on_correlation=recorded["correlation"],
    )  # fmt: skip
    rows.launch("side", 20, 214, 300, stream=20)
    result = asked(rows, speedup=(("gemm", 2.0),))
    assert step_us(result) == (250, 250)
    assert result.notes == ()


def test_work_without_a_launch_says_nothing_of_the_gaps_between_other_work() -> None:
    """It begins when it was seen to begin; what is launched after it need not keep such a distance."""

    def late(stray: bool) -> Linked:
        rows = Linked()
        rows.step(1, 0, 1000)
        for start in range(0, 1000, 100):
            rows.annotation("slow", start, start + 90)
            rows.launch("gemm", start + 90, start + 95, start + 100)
        if stray:
            rows.kernel("stray", 570, 571)
        return rows

    (without, _), (with_one, _) = step_us(asked(late(False), "slow")), step_us(asked(late(True), "slow"))
    assert without == 100
    assert with_one - without <= 75  # it began 70 µs after the work ahead of it, and was seen to


def test_the_launch_queue_holds_the_host_back() -> None:
    """1,026 kernels of 10 µs: the host is 1,024 ahead, and then launches one for each that ends."""
    limit = thresholds.LAUNCH_QUEUE
    rows = Linked()
    rows.step(1, 0, 2096)
    for i in range(limit):
        rows.launch("k", 2 * i + 1, 10 + 10 * i, 20 + 10 * i)
    result = asked(rows, speedup=(("k", 1e6),))
    assert step_us(result)[0] < 2200
    late = rows.call("cudaLaunchKernel", 2050, 2052)
    rows.kernel("k", 10 + 10 * limit, 20 + 10 * limit, api_call=late)
    whole = Replay.of(rows.trace(), steps_of(rows), (0,))
    assert int(whole.graphs[0].slot[-2]) == 0  # the first kernel makes room for the last


def test_all_together_removes_shared_time_once() -> None:
    rows = Linked()
    rows.step(1, 0, 300)
    rows.annotation("outer", 10, 200)
    rows.annotation("inner", 50, 100)
    rows.launch("gemm", 280, 285, 290)
    result = asked(rows, "outer", "inner")
    assert [c.step_ns[0] / US for c in result.changes] == [110, 250]
    assert step_us(result) == (110, 110)


def test_the_critical_path_sums_to_the_step() -> None:
    result = asked(device_bound())
    assert sum(result.path.values()) == result.measured_ns == 211 * US
    assert result.path["compute"] == 200 * US


def test_delays_that_nothing_explains_are_distrusted() -> None:
    """The kernel begins 500 µs after its launch although nothing else runs."""
    rows = Linked()
    rows.step(1, 0, 30)
    rows.launch("gemm", 5, 505, 605)
    result = asked(rows, speedup=(("gemm", 2.0),))
    assert result.error_share < -thresholds.REPLAY_ERROR_SHARE
    assert result.distrust is not None
    assert result.changes == ()
    assert result.together is None


@pytest.mark.parametrize("remove", ["NOPE999", "aten::nope"])
def test_a_change_that_fits_nothing_is_an_error(remove: str) -> None:
    with pytest.raises(UsageError, match="no op, range or call"):
        asked(device_bound(), remove)


def test_a_trace_without_launches_is_no_question_for_a_replay() -> None:
    rows = device_bound()
    with pytest.raises(UsageError, match="nothing to replay"):
        what_if(rows.trace({Capability.DEVICE_WORK}), steps_of(rows), (), ())


def test_a_rank_that_is_not_there_is_named() -> None:
    rows = device_bound()
    with pytest.raises(UsageError, match="no rank 3"):
        what_if(rows.trace(), steps_of(rows), (), (), rank=3)
