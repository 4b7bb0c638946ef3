"""Chains that would fuse, and transfers that compute could hide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from compute_situations import BF16, FAST, STREAM, Computing
from linked import US, Linked
from situations import NCCL

from traceanalyzer.analyzers import run_analyzers

if TYPE_CHECKING:
    from traceanalyzer.analyzers.opportunities_results import Fusion, Overlap

BIG = [1 << 13, 1 << 13]  # 134 MB in bf16
NBYTES = 2 * BIG[0] * BIG[1]


def fusion(b: Computing) -> Fusion:
    found: Fusion = run_analyzers(b.done().trace())[0]["fusion"]
    return found


def unary(*names: str, between: str | None = None) -> Computing:
    """Kernels that read and write 134 MB each: 80.1 µs at 3350 GB/s; each takes 100."""
    b = Computing()
    for i, name in enumerate(names):
        if between and i:
            b.work("aten::mm", between, 100, [64, 64], [64, 64])
        b.work("aten::sigmoid", name, 100, BIG)
    return b


def test_a_chain_saves_what_it_hands_on() -> None:
    """Two handovers of 134 MB, each written once and read once."""
    (row,) = fusion(unary(STREAM, STREAM, STREAM)).rows
    assert (row.count, row.total_ns, row.form, row.ops) == (1, 300_000, "pointwise", ("aten::sigmoid",) * 3)
    assert row.bytes == (2 * NBYTES, 4 * NBYTES)
    assert row.saving_ns == pytest.approx((2 * NBYTES / 3350, 4 * NBYTES / 3350), abs=1)


def test_the_first_kernel_of_the_next_step_does_not_go_on_with_the_data_of_the_last() -> None:
    b = unary(STREAM, STREAM, STREAM, STREAM).done()
    b.rows["annotations"].clear()
    half = b.rows["api_calls"][2]["ts"] / US - 1
    b.step(1, 0, half)
    b.step(2, half, b.now)
    (row,) = run_analyzers(b.trace())[0]["fusion"].rows
    assert (row.count, len(row.kernels)) == (2, 2)


def test_no_handover_saves_more_than_a_kernel_takes() -> None:
    b = Computing().work("aten::sigmoid", STREAM, 100, BIG).work("aten::sigmoid", STREAM, 1, BIG)
    (row,) = fusion(b).rows
    assert row.saving_ns == (1000, 1000)


def test_anything_between_them_breaks_the_chain() -> None:
    assert fusion(unary(STREAM, STREAM, between=FAST)).rows == ()


def test_kernels_of_very_different_traffic_are_no_chain() -> None:
    b = (
        Computing()
        .work("aten::sigmoid", STREAM, 100, BIG)
        .work("aten::sigmoid", STREAM, 10, [1 << 10, 1 << 10])
    )
    assert fusion(b).rows == ()


def sums(*, out: bool) -> Computing:
    """Three times the sum of two tensors with the same op, into a tensor that the program gives where `out`."""
    inputs = [(BIG, BF16), (BIG, BF16), ([], "Scalar"), *([(BIG, BF16)] if out else [])]
    b = Computing()
    for _ in range(3):
        b.work("aten::add", STREAM, 150, *(shape for shape, _ in inputs), types=[kind for _, kind in inputs])
    return b


def test_repeats_of_an_op_that_writes_where_it_is_told_are_no_chain() -> None:
    """`torch.add(a, b, out=c)` again and again overwrites what the one before wrote, and hands nothing on."""
    assert fusion(sums(out=True)).rows == ()
    assert [len(row.kernels) for row in fusion(sums(out=False)).rows] == [3]


def test_another_op_may_go_on_with_what_was_written_where_it_was_told() -> None:
    b = sums(out=True).work("aten::sigmoid", STREAM, 100, BIG)
    assert [row.ops for row in fusion(b).rows] == [("aten::add", "aten::sigmoid")]


def test_equal_chains_are_one_row_whatever_is_unknown_elsewhere() -> None:
    b = Computing()
    b.work("aten::mul", STREAM, 10).work("aten::mul", STREAM, 10)  # without shapes
    b.work("aten::mm", FAST, 100, [64, 64], [64, 64])
    for _ in range(3):
        b.work("aten::sigmoid", STREAM, 100, BIG).work("aten::sigmoid", STREAM, 100, BIG)
        b.work("aten::mm", FAST, 100, [64, 64], [64, 64])
    known, unknown = fusion(b).rows
    assert (known.count, known.bytes) == (3, (3 * NBYTES, 6 * NBYTES))
    assert (unknown.count, unknown.bytes, unknown.saving_ns) == (1, None, None)


@pytest.mark.parametrize(
    ("kernels", "form"),
    [
        (("vectorized_elementwise_kernel", "rms_norm_kernel"), "add_norm"),
        (("rms_norm_kernel", "scaled_fp8_quant_kernel"), "norm_quant"),
        (("act_and_mul_kernel", "scaled_fp8_quant_kernel"), "activation_quant"),
        (("rotary_embedding_kernel", "reshape_and_cache_flash_kernel"), "rope_cache"),
        (("silu_kernel", "vectorized_elementwise_kernel"), "activation_mul"),
    ],
)
def test_known_fused_forms_are_named(kernels: tuple[str, ...], form: str) -> None:
    b = Computing()
    for name in kernels:
        b.work("op", name, 10)
    assert fusion(b).rows[0].form == form


def overlap(b: Linked) -> Overlap:
    found: Overlap = run_analyzers(b.trace())[0]["overlap"]
    return found


def exposed(*, stream: int = 20, next_called: float = 2, waits: bool = False) -> Linked:
    """Compute, then an all-reduce of 100 µs that nothing hides, then compute."""
    b = Linked()
    b.launch("gemm", called=0, start=10, end=100)
    b.launch(NCCL, called=1, start=100, end=200, stream=stream)
    b.launch("gemm", called=next_called, start=max(200, next_called + 1), end=300 + next_called)
    if waits:
        b.add("syncs", "Stream Wait Event", 1.5, 1.6, device=0, stream=7, waits_on_stream=stream,
              kind="Stream Wait Event")  # fmt: skip
    b.step(1, 0, 400)
    return b


@pytest.mark.parametrize(
    ("trace", "dependency"),
    [
        (exposed(stream=7), "same_stream"),
        (exposed(stream=7, next_called=150), "same_stream"),
        (exposed(next_called=150), "late"),
        (exposed(waits=True), "event"),
        (exposed(), "unknown"),
    ],
)
def test_what_keeps_the_next_kernel_waiting(trace: Linked, dependency: str) -> None:
    (row,) = overlap(trace).rows
    assert (row.kind, row.dependency, row.exposed_ns, row.count) == ("communication", dependency, 100_000, 1)
    assert row.saving_ns == (0, 100_000)


def test_no_more_can_hide_than_there_is_compute() -> None:
    b = Linked()
    b.launch("gemm", called=0, start=10, end=20)
    b.launch(NCCL, called=1, start=20, end=200, stream=20)
    (row,) = overlap(b).rows
    assert (row.beside_ns, row.saving_ns) == (10_000, (0, 10_000))


def test_what_compute_hides_and_copies_within_the_device_are_no_opportunity() -> None:
    b = Linked()
    b.launch("gemm", called=0, start=10, end=300)
    b.launch(NCCL, called=1, start=20, end=200, stream=20)
    b.copy("DtoD", 300, 400, "device", "device")
    assert overlap(b).rows == ()
