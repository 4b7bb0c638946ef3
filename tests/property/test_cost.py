"""Our FLOPs are those of torch.utils.flop_counter, which runs the op on the meta device."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.cost.call import parse_call
from traceanalyzer.cost.formulas import FORMULAS, cost_of

if TYPE_CHECKING:
    from collections.abc import Sequence

torch = pytest.importorskip("torch")
flop_counter = pytest.importorskip("torch.utils.flop_counter")

TYPES = {
    torch.float32: "float", torch.bfloat16: "c10::BFloat16", torch.float16: "c10::Half", torch.int64: "long int",
    torch.bool: "bool",
}  # fmt: skip
SIZE = st.integers(1, 40)
SMALL = st.integers(1, 4)
FEW = settings(max_examples=25, deadline=None)


def recorded(name: str, arguments: Sequence[Any]) -> Any:
    """The call as the profiler writes it."""
    dims, types, strides, values = [], [], [], []
    for argument in arguments:
        if isinstance(argument, torch.Tensor):
            dims.append(list(argument.shape))
            types.append(TYPES[argument.dtype])
            strides.append(list(argument.stride()))
            values.append("")
        else:
            dims.append([])
            types.append("" if argument is None else "ScalarList" if isinstance(argument, list) else "Scalar")
            strides.append([])
            values.append("" if argument is None else str(argument))
    return parse_call(name, *(json.dumps(x) for x in (dims, types, strides, values)))


def ours(name: str, *arguments: Any) -> float:
    cost = cost_of(recorded(name, arguments))
    assert cost is not None, name
    return cost.flops


def torchs(name: str, *arguments: Any) -> int:
    with flop_counter.FlopCounterMode(display=False) as counter:
        getattr(torch.ops.aten, name.split("::")[1])(*arguments)
    return int(counter.get_total_flops())


def meta(*shape: int, dtype: Any = torch.float32) -> Any:
    return torch.empty(shape, device="meta", dtype=dtype)


@FEW
@given(SIZE, SIZE, SIZE, SMALL)
def test_products(m: int, n: int, k: int, b: int) -> None:
    for name, arguments in (
        ("aten::mm", (meta(m, k), meta(k, n))),
        ("aten::bmm", (meta(b, m, k), meta(b, k, n))),
        ("aten::matmul", (meta(b, m, k), meta(k, n))),
        ("aten::linear", (meta(b, m, k), meta(n, k))),
    ):
        assert ours(name, *arguments) == torchs(name, *arguments)


@FEW
@given(SIZE, SIZE, SIZE, SMALL)
def test_a_bias_is_one_addition_per_output_which_torch_leaves_out(m: int, n: int, k: int, b: int) -> None:
    addmm = meta(n), meta(m, k), meta(k, n)
    assert ours("aten::addmm", *addmm) == torchs("aten::addmm", *addmm) + m * n
    baddbmm = meta(b, m, n), meta(b, m, k), meta(b, k, n)
    assert ours("aten::baddbmm", *baddbmm) == torchs("aten::baddbmm", *baddbmm) + b * m * n


@FEW
@given(
    st.integers(1, 3), SMALL, SMALL, st.integers(1, 3), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2),
    st.integers(8, 20), st.booleans(),
)  # fmt: skip
def test_convolutions(  # noqa: PLR0917
    n: int, cin: int, cout: int, k: int, stride: int, padding: int, groups: int, size: int, transposed: bool
) -> None:
    channels = (cin * groups, cout * groups)
    weight = (channels[0], cout, k, k) if transposed else (channels[1], cin, k, k)
    arguments = (
        meta(n, channels[0], size, size), meta(*weight), None, [stride] * 2, [padding] * 2, [1, 1],
        transposed, [0, 0], groups,
    )  # fmt: skip
    assert ours("aten::convolution", *arguments) == torchs("aten::convolution", *arguments)


@FEW
@given(
    st.integers(1, 3), SMALL, SMALL, st.integers(1, 3), st.integers(1, 3), st.integers(8, 20), st.booleans(),
    st.sampled_from([[True, True, False], [False, True, False], [True, False, False]]),
)  # fmt: skip
def test_backward_convolutions(  # noqa: PLR0917
    n: int, cin: int, cout: int, k: int, stride: int, size: int, transposed: bool, mask: list[bool]
) -> None:
    x = meta(n, cin, size, size)
    weight = meta(*((cin, cout, k, k) if transposed else (cout, cin, k, k)))
    rest = [stride] * 2, [0, 0], [1, 1], transposed, [0, 0], 1
    grad = torch.ops.aten.convolution(x, weight, None, *rest)
    arguments = (grad, x, weight, [0], *rest, mask)
    name = "aten::convolution_backward"
    assert ours(name, *arguments) == torchs(name, *arguments)


@FEW
@given(SMALL, SMALL, SIZE, SIZE, st.sampled_from([8, 16, 64]), st.booleans())
def test_attention(b: int, h: int, sq: int, sk: int, d: int, causal: bool) -> None:
    """torch counts a causal mask as if it were none; half of the square is computed."""
    q, k, v = meta(b, h, sq, d), meta(b, h, sk, d), meta(b, h, sk, d)
    halved = 2 if causal and sq == sk else 1
    flash = flop_counter.flop_registry[torch.ops.aten._scaled_dot_product_flash_attention]
    expected = flash(q, k, v, out_val=None)
    for name, arguments in (
        ("aten::_scaled_dot_product_flash_attention", (q, k, v, 0.0, causal)),
        ("aten::_scaled_dot_product_efficient_attention", (q, k, v, None, False, 0.0, causal)),
        ("aten::_scaled_dot_product_cudnn_attention", (q, k, v, None, False, 0.0, causal)),
        ("aten::_flash_attention_forward",
         (q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), None, None, sq, sk, 0.0, causal)),
    ):  # fmt: skip
        assert ours(name, *arguments) * halved == expected, name


@FEW
@given(SMALL, SMALL, SIZE, SIZE, st.sampled_from([8, 16, 64]))
def test_backward_attention(b: int, h: int, sq: int, sk: int, d: int) -> None:
    q, k, v = meta(b, h, sq, d), meta(b, h, sk, d), meta(b, h, sk, d)
    name = "aten::_scaled_dot_product_flash_attention_backward"
    formula = flop_counter.flop_registry[torch.ops.aten._scaled_dot_product_flash_attention_backward]
    expected = formula(q, q, k, v, out_val=None)
    assert ours(name, q, q, k, v, q, meta(b, h, sq), None, None, sq, sk, 0.0, False) == expected


@FEW
@given(st.lists(SMALL, min_size=1, max_size=3), st.data())
def test_pointwise_ops_read_their_inputs_and_write_the_broadcast_result(
    shape: list[int], data: st.DataObject
) -> None:
    other = [data.draw(st.sampled_from([1, n])) for n in shape]
    a, b = torch.zeros(shape), torch.zeros(other).expand(shape)
    cost = cost_of(recorded("aten::add", (a, b, 1)))
    assert cost is not None
    out = (a + b).numel()
    assert cost.flops == out
    assert cost.bytes == 4 * (a.numel() + torch.zeros(other).numel() + out)


@FEW
@given(st.sampled_from(["sum", "mean", "amax"]), st.lists(SIZE, min_size=2, max_size=3), st.integers(-2, 1))
def test_reductions_write_what_remains(name: str, shape: list[int], dim: int) -> None:
    x = torch.zeros(shape)
    cost = cost_of(recorded(f"aten::{name}", (x, [dim])))
    assert cost is not None
    assert cost.bytes == 4 * (x.numel() + getattr(torch, name)(x, dim).numel())


@FEW
@given(st.sampled_from(sorted(FORMULAS)), st.lists(st.lists(SIZE, max_size=4), max_size=6))
def test_no_formula_fails_on_arguments_that_it_does_not_expect(name: str, shapes: list[list[int]]) -> None:
    types = json.dumps(["float"] * len(shapes))
    call = parse_call(name, json.dumps(shapes), types, None, None)
    assert call is not None
    cost = cost_of(call)
    assert cost is None or (cost.flops >= 0 and cost.bytes >= 0)
