"""Which kernel bears which op's cost, and how that was found."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from linked import Linked

from traceanalyzer.cost.attribution import kernel_costs
from traceanalyzer.cost.kernel_costs import Source

GEMM, STREAM = "nvjet_hsh_128x256", "elementwise_kernel"
MM = 2 * 8 * 8 * 8


def op(b: Linked, name: str, *shapes: list[int], at: float = 0, **columns: Any) -> dict[str, Any]:
    dims, types = json.dumps(list(shapes)), json.dumps(["float"] * len(shapes))
    return b.op(name, at, at + 10, input_dims=dims, input_types=types, **columns)


def mm(b: Linked, n: int = 8, at: float = 0) -> dict[str, Any]:
    return op(b, "aten::mm", [n, n], [n, n], at=at)


def sources(b: Linked) -> list[str]:
    return [Source(s).name for s in kernel_costs(b.trace()).source.tolist()]


def flops(b: Linked) -> list[float | None]:
    return [None if np.isnan(f) else f for f in kernel_costs(b.trace()).flops.tolist()]


def test_a_kernel_bears_the_cost_of_its_op() -> None:
    b = Linked()
    b.kernel(GEMM, 0, 5, op=mm(b))
    assert (flops(b), sources(b)) == ([MM], ["SHAPES"])


def test_kernels_of_one_op_share_its_cost_by_their_time() -> None:
    b = Linked()
    sort = op(b, "aten::sort", [80])
    b.kernel("sort_a", 0, 3, op=sort)
    b.kernel("sort_b", 3, 4, op=sort)
    assert flops(b) == [60, 20]


def test_beside_a_product_preparations_have_no_cost() -> None:
    b = Linked()
    product = mm(b)
    b.kernel("splitKreduce_kernel", 5, 9, op=product)
    b.kernel(GEMM, 0, 5, op=product)
    assert flops(b) == [MM, None]


def test_calls_of_one_op_do_not_share_with_each_other() -> None:
    b = Linked()
    for at in (0, 20):
        b.kernel(GEMM, at, at + 5, op=mm(b, at=at))
    assert flops(b) == [MM, MM]
    assert len(kernel_costs(b.trace()).calls) == 1


def test_an_op_around_lends_its_shapes() -> None:
    b = Linked()
    outer = mm(b)
    b.kernel(GEMM, 0, 5, op=b.op("my::gemm", 1, 2, parent=outer))
    assert (flops(b), sources(b)) == ([MM], ["AROUND"])


def test_an_op_around_lends_nothing_when_an_op_inside_has_a_cost() -> None:
    b = Linked()
    outer = op(b, "aten::linear", [8, 8], [8, 8])
    b.kernel(GEMM, 0, 5, op=op(b, "aten::mm", [8, 8], [8, 8], at=1, parent=outer))
    b.kernel(STREAM, 5, 6, op=b.op("my::extra", 3, 4, parent=outer))
    assert flops(b) == [MM, None]


def test_backward_costs_twice_the_forward_product() -> None:
    b = Linked()
    forward = op(b, "FlashAttnFunc", [1, 4, 2, 8], [1, 4, 2, 8], [1, 4, 2, 8])
    b.kernel("flash_bwd_kernel", 50, 60, op=b.op("FlashAttnFuncBackward", 40, 41, forward=forward))
    assert (flops(b), sources(b)) == ([2 * 4 * 2 * 16 * 8], ["FORWARD"])


def test_backward_of_what_is_no_product_stays_unknown() -> None:
    b = Linked()
    b.kernel("k", 50, 60, op=b.op("MyBackward", 40, 41, forward=op(b, "aten::zero_", [8])))
    assert sources(b) == ["NONE"]


def test_without_an_op_the_same_kernel_elsewhere_tells() -> None:
    b = Linked()
    shape = {"grid": [4, 1, 1], "block": [128, 1, 1]}
    b.kernel(GEMM, 0, 5, op=mm(b), **shape)
    b.kernel(GEMM, 10, 15, **shape)
    b.kernel(GEMM, 20, 25, **{**shape, "grid": [8, 1, 1]})
    assert sources(b) == ["SHAPES", "SIGNATURE", "NONE"]
    assert flops(b) == [MM, MM, None]


def test_when_several_calls_fit_the_nearest_duration_is_taken_and_called_ambiguous() -> None:
    b = Linked()
    b.kernel(GEMM, 0, 5, op=mm(b, 8))
    b.kernel(GEMM, 10, 50, op=mm(b, 16, at=20))
    b.kernel(GEMM, 60, 95)
    assert sources(b) == ["SHAPES", "SHAPES", "AMBIGUOUS"]
    assert flops(b)[2] == MM * 8


def test_kernels_of_a_graph_have_no_op_of_their_own() -> None:
    b = Linked()
    b.kernel(GEMM, 0, 5, op=mm(b), link="graph")
    assert sources(b) == ["NONE"]


def test_experts_are_told_by_their_grids() -> None:
    """32 tokens choose 2 of 8 experts each; the inner width is 256, the hidden size 512."""
    b = Linked()
    layer = b.op(
        "vllm::moe_forward", 0, 9, input_dims="[[32,512],[32,8]]",
        input_types='["c10::BFloat16","c10::BFloat16"]',
    )  # fmt: skip
    tiles = (32 * 2 - 8) // 16 + 8
    for name, rows, at in (("MxE4m3", 512, 0), ("Bfloat16", 512, 10)):
        glu = "_swiGlu" if at == 0 else ""
        kernel = f"bmm_{name}_MxE2m1MxE4m3_Fp32_t128x16x256u2{glu}"
        b.kernel(kernel, at, at + 5, op=layer, grid=[rows // 128, tiles, 1])
    for i, part in enumerate(("HistogramScores", "Histogram", "Offsets")):
        b.kernel(f"moe::dev::routing::routingIndices{part}Kernel<P>", 20 + i, 21 + i, op=layer)
    b.kernel("unheard_of", 30, 31, op=layer)
    assert flops(b) == [2 * 64 * 512 * 512, 2 * 64 * 512 * 256, 32 * 8, 64, 64, None]
    moved = kernel_costs(b.trace()).bytes[2:5].tolist()
    assert moved == [32 * 8 * 2 + 64 * 4, 64 * 4 + 8 * 4, 3 * 64 * 4 + 8 * 4]
    assert sources(b) == ["EXPERTS"] * 5 + ["NONE"]


@pytest.mark.parametrize("rows", [0, 1])
def test_a_trace_without_ops(rows: int) -> None:
    b = Linked()
    for _ in range(rows):
        b.kernel("k", 0, 5)
    assert sources(b) == ["NONE"] * rows
