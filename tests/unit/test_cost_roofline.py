"""The label of a kernel on an H100: 989.4 TFLOP/s in bf16, 66.9 in fp32, 3350 GB/s, 50 MB of L2."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compute_situations import BF16, FAST, STREAM, Computing, product

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.analyzers.roofline import RooflineAnalyzer, dominant
from traceanalyzer.hardware import Choice
from traceanalyzer.reporters.costs import cost_lines
from traceanalyzer.reporters.html import figures

if TYPE_CHECKING:
    from traceanalyzer.analyzers.roofline_results import Roofline, RooflineRow

BIG = [1 << 13, 1 << 13]  # a sum of two of these moves 403 MB: 120.2 µs


def roofline(b: Computing) -> Roofline:
    return RooflineAnalyzer().analyze(b.done().trace(), {})


def only(b: Computing) -> RooflineRow:
    (row,) = roofline(b).rows
    return row


def added(runs: float, shape: list[int] = BIG) -> RooflineRow:
    return only(Computing().work("aten::add", STREAM, runs, shape, shape))


@pytest.mark.parametrize(
    ("runs", "bound", "confidence"),
    [
        (150, "memory_bandwidth", "high"),
        (210, "latency", "low"),  # 57 % of the roof: NVIDIA's rule asks for 60
        (600, "latency", "high"),
        (100, "memory_bandwidth", "low"),  # above the roof
    ],
)
def test_the_nearer_the_roof_the_surer(runs: float, bound: str, confidence: str) -> None:
    row = added(runs)
    assert (row.bound, row.confidence) == (bound, confidence)
    assert row.efficiency == pytest.approx(120.2 / runs, rel=0.001)


@pytest.mark.parametrize(("runs", "bound", "confidence"), [(260, "compute", "high"), (300, "latency", "low")])
def test_half_of_the_peak_is_needed_to_be_limited_by_arithmetic(
    runs: float, bound: str, confidence: str
) -> None:
    """4096³ · 2 FLOPs take 139 µs: 53 % and 46 % of the peak."""
    row = only(product(FAST, runs, 4096))
    assert (row.bound, row.confidence) == (bound, confidence)


def filling(op: str, runs: float, *, occupancy: float = 100.0, waves: float = 16) -> RooflineRow:
    """A kernel that takes 120.2 µs at the roof. The device holds 16 blocks of 4 warps on each multiprocessor."""
    b = Computing().work(op, STREAM, runs, BIG, BIG)
    blocks = round(waves * 16 * 132 * occupancy / 100)
    b.rows["kernels"][0] |= {"grid": [blocks, 1, 1], "block": [128, 1, 1], "occupancy": occupancy}
    return only(b)


def test_a_full_device_hides_latency_and_leaves_the_instructions_of_a_kernel_that_calculates() -> None:
    near, far = filling("aten::add", 240), filling("aten::add", 1200)
    assert (near.bound, near.confidence) == ("compute", "low")  # 50 % of its roof
    assert (far.bound, far.confidence) == ("compute", "medium")  # 10 %
    assert "the device is full" in near.reason


def test_a_full_device_hides_latency_and_leaves_the_accesses_of_a_kernel_that_only_moves_data() -> None:
    row = filling("aten::copy_", 1200)
    assert (row.bound, row.confidence) == ("memory_bandwidth", "medium")


@pytest.mark.parametrize("how", [{"occupancy": 75}, {"waves": 2}, {"occupancy": 0}])
def test_too_few_warps_or_too_few_waves_leave_latency(how: dict[str, float]) -> None:
    assert filling("aten::add", 240, **how).bound == "latency"


def test_a_full_device_near_its_roof_is_limited_by_memory_all_the_same() -> None:
    assert filling("aten::add", 150).bound == "memory_bandwidth"


def test_kernels_of_one_op_may_each_read_all_of_its_data() -> None:
    """Two kernels of 150 µs share 403 MB: 40 % of the roof if each reads half, 80 % if each reads all."""
    b = Computing().work("aten::add", STREAM, 150, BIG, BIG)
    b.launch("reduce_kernel<2>", called=3, start=b.now, end=b.now + 150, op=b.rows["ops"][0])
    b.now += 150
    for row in roofline(b).rows:
        assert (row.bound, row.confidence) == ("memory_bandwidth", "low")
        assert row.efficiency == pytest.approx(0.4, rel=0.01)


def test_balanced_when_arithmetic_and_memory_take_as_long() -> None:
    """m = n = 8192: 2mn·k / peak equals (2mk + mn)·2 / bandwidth at k = 324."""
    b = Computing().work("aten::mm", FAST, 60, [8192, 324], [324, 8192])
    assert only(b).bound == "balanced"


def test_data_that_fit_the_cache_make_the_label_less_sure() -> None:
    row = added(3, [1024, 1024])
    assert (row.bound, row.confidence) == ("memory_bandwidth", "low")
    assert "L2" in row.reason


def test_a_small_grid_is_named() -> None:
    b = Computing().work("aten::add", STREAM, 5, [100], [100])
    b.rows["kernels"][0] |= {"grid": [4, 1, 1], "block": [128, 1, 1]}
    assert only(b).reason == "4 blocks for 132 multiprocessors"


def test_tf32_and_vector_units_have_other_roofs() -> None:
    tensor = only(product("sm90_xmma_gemm_f32f32_tf32f32_f32_nn", 400, 4096, dtype="float"))
    vector = only(product("ampere_sgemm_128x64_nn", 4000, 4096, dtype="float"))
    assert (tensor.dtype, tensor.matrix_units) == ("tf32", True)
    assert (vector.dtype, vector.matrix_units) == ("fp32", False)
    assert tensor.roof_ns == pytest.approx(2 * 4096**3 / 494.7e12 * 1e9)
    assert vector.roof_ns == pytest.approx(2 * 4096**3 / 66.9e12 * 1e9)


def test_depthwise_convolutions_of_pytorch_use_no_tensor_cores() -> None:
    shapes = [32, 64, 112, 112], [64, 1, 3, 3]
    kernel = "void at::native::conv_depthwise2d_forward_kernel<3, c10::BFloat16, int>"
    values = '["", "", "[3, 3]", "", "[1, 1]", "[1, 1]", "[1, 1]"]'
    row = only(Computing().work("aten::_conv_depthwise2d", kernel, 100, *shapes, concrete_inputs=values))
    assert row.matrix_units is False


def test_communication_and_names() -> None:
    b = Computing()
    b.work("my::op", "ncclDevKernel_AllReduce_Sum_f32", 30)
    b.work("my::op", FAST, 40)
    b.work("my::op", "mystery", 20)
    b.work("aten::add", STREAM, 10, [100], [100])
    found = roofline(b)
    assert {r.kernel: (r.bound, r.confidence) for r in found.rows} == {
        "ncclDevKernel_AllReduce_Sum_f32": ("communication", "high"),
        FAST: ("compute", "low"),
        "mystery": ("unknown", "low"),
        STREAM: ("latency", "high"),
    }
    shares = found.coverage
    assert [shares.communication, shares.name_only, shares.unknown, shares.cost] == pytest.approx(
        [0.3, 0.4, 0.2, 0.1]
    )
    assert found.bound_ns == {
        "compute": 40_000,
        "communication": 30_000,
        "unknown": 20_000,
        "latency": 10_000,
    }


def test_a_name_does_not_make_a_few_blocks_use_the_whole_device() -> None:
    b = Computing()
    b.work("my::op", STREAM, 40)
    b.rows["kernels"][0] |= {"grid": [8, 1, 1], "block": [128, 1, 1]}
    row = only(b)
    assert (row.bound, row.confidence, row.reason) == ("latency", "low", "8 blocks for 132 multiprocessors")
    assert row.source == "blocks"
    results = run_analyzers(b.trace())[0]
    coverage = results["roofline"].coverage
    assert (coverage.blocks_only, coverage.name_only) == (1, 0)
    assert any(
        str(line).startswith("100 % of the kernel time is labelled by blocks") for line in cost_lines(results)
    )


def test_a_few_blocks_tell_the_same_with_a_cost_on_a_gpu_whose_peaks_are_unknown() -> None:
    b = Computing(gpu={"rank": 0, "device": 0, "name": "Some GPU", "sms": 132})
    b.work("aten::mm", FAST, 200, [4096, 4096], [4096, 4096])
    b.rows["kernels"][0] |= {"grid": [4, 1, 1], "block": [128, 1, 1]}
    row = only(b)
    assert (row.bound, row.confidence, row.source) == ("latency", "low", "shapes")
    assert row.reason == "the peaks of the GPU are not known: 4 blocks for 132 multiprocessors"


def test_an_unknown_gpu_has_costs_but_no_roof() -> None:
    b = Computing(gpu={"rank": 0, "device": 0, "name": "Some GPU"})
    row = only(b.work("aten::mm", FAST, 200, [4096, 4096], [4096, 4096]))
    assert row.flops == 2 * 4096**3
    assert (row.efficiency, row.roof_ns, row.bound, row.confidence) == (None, None, "compute", "low")


def test_unverified_figures_make_labels_less_sure() -> None:
    b = Computing(gpu={"rank": 0, "device": 0, "name": "NVIDIA H200 NVL"})
    row = only(b.work("aten::add", STREAM, 120, BIG, BIG))
    assert (row.confidence, row.unverified) == ("medium", ("fp32",))
    results = run_analyzers(b.trace())[0]
    assert not results["roofline"].devices[0].verified
    assert any("H200 NVL" in str(line) and "unverified" in str(line) for line in cost_lines(results))


def test_unverified_figures_that_no_roof_rests_on_do_not_matter() -> None:
    b = Computing(gpu={"rank": 0, "device": 0, "name": "NVIDIA H100 NVL"})
    row = only(b.work("aten::mm", FAST, 199, [4096, 4096], [4096, 4096]))
    assert (row.dtype, row.confidence, row.unverified) == ("bf16", "high", ())
    results = run_analyzers(b.trace())[0]
    assert results["roofline"].devices[0].verified
    assert not any("unverified" in str(line) for line in cost_lines(results))


def test_the_figure_names_the_sources_of_the_peaks_that_it_draws() -> None:
    b = product(FAST, 199, 4096)
    figure = figures.roofline(
        run_analyzers(b.trace(), hardware=Choice(peaks={"tf32_tflops": 400.0}))[0]["roofline"]
    )
    assert figure is not None
    assert "glennklockwood.com/garden/processors/h100" in str(figure.summary)
    assert "given by the user" in str(figure.summary)
    assert "hopper-tuning-guide" not in str(figure.summary)  # the cache has no line


def test_kernels_of_one_name_are_joined_for_the_table() -> None:
    b = Computing()
    b.work("aten::mm", FAST, 199, [4096, 4096], [4096, 4096])
    b.work("aten::mm", FAST, 30, [1024, 1024], [1024, 1024])
    trace = b.done().trace()
    (row,) = run_analyzers(trace)[0]["kernels"].rows
    assert row.bound == "compute"
    assert row.flops == 2 * (4096**3 + 1024**3)
    assert row.percent_of_roof == pytest.approx((138.9 + 2.17) / 229 * 100, rel=0.01)


def test_a_sum_is_not_known_when_a_part_is_not() -> None:
    b = Computing()
    b.work("aten::mm", FAST, 199, [4096, 4096], [4096, 4096])
    b.work("my::op", FAST, 30)
    (row,) = run_analyzers(b.done().trace())[0]["kernels"].rows
    assert (row.flops, row.bytes, row.percent_of_roof) == (None, None, None)


def test_peaks_of_the_user() -> None:
    b = Computing(gpu=None).work("aten::add", STREAM, 403, BIG, BIG)
    choice = Choice(peaks={"bandwidth_gb_per_s": 2000.0, "fp32_tflops": 10.0})
    (row,) = run_analyzers(b.done().trace(), hardware=choice)[0]["roofline"].rows
    assert row.efficiency == pytest.approx(0.5, rel=0.01)


def test_dominance() -> None:
    assert dominant({}) == "unknown"
    assert dominant({"a": 50, "b": 50}) == "a"
    assert dominant({"a": 40, "b": 29, "c": 31}) == "mixed"
    assert dominant({"a": 45, "b": 30, "c": 25}) == "a"


def test_the_type_of_a_sum_does_not_matter_for_its_units() -> None:
    fp32 = only(Computing().work("aten::add", STREAM, 300, BIG, BIG, dtype="float"))
    bf16 = only(Computing().work("aten::add", STREAM, 150, BIG, BIG, dtype=BF16))
    assert fp32.efficiency == pytest.approx(bf16.efficiency)
