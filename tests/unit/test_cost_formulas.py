"""Formulas that torch's counter does not have, on numbers that can be checked by hand."""

from __future__ import annotations

import json
from typing import Any

import pytest

from traceanalyzer.cost.call import Cost, parse_call
from traceanalyzer.cost.formulas import FORMULAS, cost_of

BF16, FP32, I64, FP8 = "c10::BFloat16", "float", "long int", "c10::Float8_e4m3fn"
S = [], "Scalar"  # a scalar in a tensor's place


def cost(
    name: str,
    *arguments: tuple[Any, str],
    values: list[str] | None = None,
    strides: Any = None,
    kernel: str = "",
) -> Cost:
    call = parse_call(
        name,
        json.dumps([a[0] for a in arguments]),
        json.dumps([a[1] for a in arguments]),
        json.dumps(strides) if strides else None,
        json.dumps(values) if values else None,
        kernel,
    )
    assert call is not None
    found = cost_of(call)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("found", "flops", "moved"),
    [
        # 2·2·4·3, 8-bit factors, 32-bit sums
        (cost("aten::_int_mm", ([2, 3], "signed char"), ([3, 4], "signed char")), 48, 6 + 12 + 32),
        # four tokens, each of one of five experts
        (cost("aten::_grouped_mm", ([4, 8], BF16), ([5, 8, 6], BF16)), 2 * 4 * 8 * 6, 64 + 480 + 48),
        (cost("aten::_grouped_mm", ([3, 4, 8], BF16), ([3, 8, 6], BF16)), 3 * 2 * 4 * 8 * 6, 192 + 288 + 144),
        # K of both is cut into two groups
        (
            cost("aten::_grouped_mm", ([4, 8], BF16), ([8, 6], BF16), ([2], "int")),
            2 * 4 * 8 * 6,
            64 + 96 + 2 * 48,
        ),
        # fp8 factors, bf16 result
        (cost("aten::_scaled_mm", ([2, 16], FP8), ([16, 4], FP8)), 256, 32 + 64 + 16),
        (cost("aten::dot", ([10], FP32), ([10], FP32)), 20, 84),
        (cost("aten::mv", ([2, 10], FP32), ([10], FP32)), 40, 80 + 40 + 8),
        # in place: self is read and written
        (cost("aten::add_", ([10], FP32), ([10], FP32)), 10, 120),
        (cost("aten::mul", ([10], BF16), ([], "double")), 10, 20 + 8 + 20),
        # a comparison writes one byte per element
        (cost("aten::eq", ([10], I64), S), 10, 90),
        # filling reads nothing, copying writes the target only
        (cost("aten::fill_", ([10], FP32), S), 0, 40),
        (cost("aten::copy_", ([10], FP32), ([10], BF16)), 0, 60),
        (cost("aten::native_dropout", ([10], BF16), S), 20, 20 + 20 + 10),
        (cost("aten::_softmax", ([4, 8], BF16), S, S, values=["", "-1", "False"]), 160, 128),
        (cost("aten::_softmax", ([4, 8], BF16), S, S, values=["", "-1", "True"]), 160, 192),
        # two rows of a table of 100
        (cost("aten::embedding", ([100, 8], BF16), ([2], I64)), 0, 2 * 2 * 16 + 16),
        (cost("aten::index_select", ([100, 8], BF16), S, ([3], I64), values=["", "0", ""]), 0, 2 * 48 + 24),
        (cost("aten::gather", ([100, 8], FP32), S, ([5, 8], I64)), 0, 2 * 160 + 320),
        (cost("aten::cat", ([[2, 3], [4, 3]], "TensorList"), S, kernel="Cat<OpaqueType<2u>>"), 0, 72),
        (cost("aten::native_layer_norm", ([4, 8], BF16), S, ([8], BF16), ([8], BF16)), 256, 128 + 32),
        (cost("_C::fused_add_rms_norm", ([4, 8], BF16), ([4, 8], BF16), ([8], BF16)), 160, 256 + 16),
        (cost("aten::_foreach_add_", ([[4], [6]], "TensorList"), S, kernel="float"), 10, 80),
        (
            cost("aten::_fused_adamw_", *([([[4], [6]], "TensorList")] * 4), kernel="float"),
            140,
            (4 + 3) * 40,
        ),
        # two windows of 2 per row
        (
            cost(
                "aten::max_pool2d_with_indices", ([1, 1, 4, 4], FP32), S, S, S,
                values=["", "[2, 2]", "[2, 2]", "[0, 0]"],
            ),
            16,
            64 + 4 * 12,
        ),
        # one layer: T·B = 6 applications of two matrices 12x3 and 12x4, and two biases
        (
            cost(
                "aten::_cudnn_rnn", ([3, 2, 3], FP32), ([[12, 3], [12, 4], [12], [12]], "TensorList"),
                kernel="float",
            ),
            6 * (2 * 84 + 24),
            72 + 4 * 108 + 6 * 4 * 4,
        ),
        (cost("triton_poi_fused_add_relu_0", ([10], FP32), ([10], FP32), S), 20, 80),
    ],
)  # fmt: skip
def test_by_hand(found: Cost, flops: float, moved: float) -> None:
    assert (found.flops, found.bytes) == (flops, moved)


def test_a_dimension_of_stride_zero_is_in_memory_once() -> None:
    plain = cost("aten::add", ([64, 8], FP32), ([64, 8], FP32))
    expanded = cost("aten::add", ([64, 8], FP32), ([64, 8], FP32), strides=[[8, 1], [0, 1]])
    assert plain.bytes - expanded.bytes == 63 * 8 * 4


def test_the_type_of_a_product_is_that_of_its_factors() -> None:
    assert cost("aten::mm", ([2, 2], FP8), ([2, 2], FP8)).dtype == "fp8"
    assert cost("aten::addmm", ([2], FP32), ([2, 2], BF16), ([2, 2], BF16)).dtype == "bf16"


def test_what_was_assumed_is_said() -> None:
    heads = [10, 2, 8], BF16
    assert "one sequence" in cost("vllm::unified_attention_with_output", heads, heads, heads, heads).assumes


@pytest.mark.parametrize(
    ("name", "dims", "types"),
    [
        ("aten::mm", [[2, 3]], [FP32]),
        ("aten::mm", [[2, 3], [4, 5]], [FP32, FP32]),
        ("aten::cat", [[]], ["TensorList"]),
        ("aten::convolution", [[1, 1, 4, 4], [1, 1, 2, 2]], [FP32, FP32]),
        ("my::op", [[2]], [FP32]),
    ],
)
def test_what_was_not_recorded_has_no_cost(name: str, dims: Any, types: list[str]) -> None:
    call = parse_call(name, json.dumps(dims), json.dumps(types), None, None)
    assert call is not None
    assert cost_of(call) is None


@pytest.mark.parametrize(("dims", "types"), [(None, None), ("[[1]", '["float"]'), ("3", '["float"]')])
def test_calls_without_readable_shapes(dims: str | None, types: str | None) -> None:
    assert parse_call("aten::mm", dims, types, None, None) is None


@pytest.mark.parametrize("size", ["-3", "1e9", "9" * 18, "9" * 400, "null", "true", "[2]"])
def test_sizes_that_no_tensor_has_do_no_harm(size: str) -> None:
    for name in ("aten::mm", "aten::add", "aten::_softmax", "aten::cat"):
        call = parse_call(name, f"[[{size}, {size}], [{size}, {size}]]", '["float","float"]', None, None)
        found = cost_of(call) if call else None
        assert found is None or 0 <= float(found.flops) < float("inf")


def test_there_is_a_formula_for_every_family() -> None:
    assert len(FORMULAS) > 300
