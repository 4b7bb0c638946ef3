"""Our FLOPs are those of torch.utils.flop_counter for every op that it knows, whatever the shapes.

Where it counts what is not computed (a causal mask, the zeros between groups) or leaves out what is (a bias), the test
says so.
"""

from __future__ import annotations

import json
from math import prod
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

from recorded_calls import called, cost  # noqa: E402 (imports torch)

SIZE = st.integers(0, 40)
LENGTH = st.integers(1, 40)
SMALL = st.integers(1, 4)
FEW = settings(max_examples=40)


def ours(name: str, *arguments: Any) -> float:
    return cost(name, *arguments).flops


def torchs(name: str, *arguments: Any) -> int:
    """What the counter sees when the op runs on the meta device."""
    with flop_counter.FlopCounterMode(display=False) as counter:
        called(name, *arguments)
    return int(counter.get_total_flops())


def formula(name: str, *arguments: Any) -> int:
    """What the counter's formula says, for ops that run on GPUs only."""
    counted = flop_counter.flop_registry[getattr(torch.ops.aten, name.split("::")[1])]
    return int(counted(*arguments, out_val=None))


def meta(*shape: int, dtype: Any = torch.float32) -> Any:
    return torch.empty(shape, device="meta", dtype=dtype)


@FEW
@given(SIZE, SIZE, SIZE, SMALL)
def test_products(m: int, n: int, k: int, b: int) -> None:
    for name, arguments in (
        ("aten::mm", (meta(m, k), meta(k, n))),
        ("aten::bmm", (meta(b, m, k), meta(b, k, n))),
        ("aten::matmul", (meta(b, m, k), meta(k, n))),
        ("aten::matmul", (meta(b, 1, m, k), meta(2, k, n))),
        ("aten::linear", (meta(b, m, k), meta(n, k))),
    ):
        assert ours(name, *arguments) == torchs(name, *arguments), name


@FEW
@given(SIZE, SIZE, SIZE)
def test_scaled_products(m: int, n: int, k: int) -> None:
    a, b = meta(m, k, dtype=torch.float8_e4m3fn), meta(k, n, dtype=torch.float8_e4m3fn)
    scale = meta(1)
    expected = formula("aten::_scaled_mm", a, b, scale, scale)
    assert ours("aten::_scaled_mm", a, b, scale, scale, None, None, 15, False) == expected
    second = (a, b, [scale], [0], [0], [scale], [0], [0], None, 15, [], False)
    assert ours("aten::_scaled_mm_v2", *second) == expected
    assert ours("aten::_int_mm", meta(m, k, dtype=torch.int8), meta(k, n, dtype=torch.int8)) == expected


@FEW
@given(SIZE, SIZE, SIZE, SMALL)
def test_a_bias_is_one_addition_per_output_which_torch_leaves_out(m: int, n: int, k: int, b: int) -> None:
    addmm = meta(n), meta(m, k), meta(k, n)
    assert ours("aten::addmm", *addmm) == torchs("aten::addmm", *addmm) + m * n
    baddbmm = meta(b, m, n), meta(b, m, k), meta(b, k, n)
    assert ours("aten::baddbmm", *baddbmm) == torchs("aten::baddbmm", *baddbmm) + b * m * n
    linear = meta(b, m, k), meta(n, k), meta(n)
    assert ours("aten::linear", *linear) == 2 * b * m * n * k + b * m * n


@FEW
@given(SIZE, SIZE, SMALL)
def test_products_with_vectors_are_matrix_products_of_width_one(m: int, k: int, b: int) -> None:
    matrix, vector = meta(m, k), meta(k)
    narrow = torchs("aten::mm", matrix, meta(k, 1))
    assert ours("aten::mv", matrix, vector) == narrow
    assert ours("aten::matmul", matrix, vector) == narrow
    assert ours("aten::addmv", meta(m), matrix, vector) == narrow + m
    assert ours("aten::dot", vector, vector) == torchs("aten::mm", meta(1, k), meta(k, 1))
    batches = meta(b, m, k), meta(b, k, m)
    assert ours("aten::addbmm", meta(m, m), *batches) == torchs("aten::bmm", *batches) + m * m


@st.composite
def convolutions(draw: st.DrawFn, *, transposed: bool | None = None) -> tuple[Any, ...]:
    """(x, weight, bias, stride, padding, dilation, transposed, output padding, groups) in one to three dimensions."""
    space = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    cin, cout, batch = (draw(st.integers(1, 3)) for _ in range(3))
    each = st.lists(st.integers(1, 3), min_size=space, max_size=space)
    kernel, stride, dilation = draw(each), draw(each), draw(each)
    padding = [draw(st.integers(0, 2)) for _ in range(space)]
    turned = draw(st.booleans()) if transposed is None else transposed
    extra = [draw(st.integers(0, min(s, d) - 1)) if turned and min(s, d) > 1 else 0
             for s, d in zip(stride, dilation, strict=True)]  # fmt: skip
    size = [draw(st.integers(7, 12)) for _ in range(space)]
    weight = (cin * groups, cout, *kernel) if turned else (cout * groups, cin, *kernel)
    x = meta(batch, cin * groups, *size)
    return x, meta(*weight), None, stride, padding, dilation, turned, extra, groups


@FEW
@given(convolutions())
def test_convolutions(arguments: tuple[Any, ...]) -> None:
    expected = torchs("aten::convolution", *arguments)
    assert ours("aten::convolution", *arguments) == expected
    assert ours("aten::_convolution", *arguments, False, False, True, True) == expected


@FEW
@given(convolutions(transposed=False))
def test_forward_convolutions_by_the_names_of_libraries(arguments: tuple[Any, ...]) -> None:
    x, weight, bias, stride, padding, dilation, *_, groups = arguments
    expected = torchs("aten::convolution", *arguments)
    space = len(stride)
    calls: list[tuple[str, Sequence[Any]]] = [
        (f"aten::conv{space}d", (x, weight, bias, stride, padding, dilation, groups)),
        ("aten::cudnn_convolution", (x, weight, padding, stride, dilation, groups, False, False, True)),
        ("aten::miopen_convolution", (x, weight, bias, padding, stride, dilation, groups, False, False)),
        ("aten::cudnn_convolution_relu", (x, weight, bias, stride, padding, dilation, groups)),
    ]
    if space == 2 and groups == 1 and dilation == [1, 1]:
        kernel = list(weight.shape[2:])
        calls.append(("aten::_slow_conv2d_forward", (x, weight, kernel, bias, stride, padding)))
    for name, given_arguments in calls:
        assert ours(name, *given_arguments) == expected, name


@FEW
@given(convolutions(transposed=True))
def test_transposed_convolutions_of_cudnn(arguments: tuple[Any, ...]) -> None:
    x, weight, _, stride, padding, dilation, _, extra, groups = arguments
    vendor = (x, weight, padding, extra, stride, dilation, groups, False, False, True)
    assert ours("aten::cudnn_convolution_transpose", *vendor) == torchs("aten::convolution", *arguments)


@FEW
@given(convolutions(), st.sampled_from([[True, True, False], [False, True, True], [True, False, False]]))
def test_backward_convolutions(arguments: tuple[Any, ...], mask: list[bool]) -> None:
    """torch counts a weight's gradient as if every group saw the inputs of all."""
    x, weight, _, *rest = arguments
    groups = rest[-1]
    grad = called("aten::convolution", *arguments)
    backward = (grad, x, weight, [0], *rest)
    name = "aten::convolution_backward"
    expected = sum(
        torchs(name, *backward, only) // (groups if only[1] else 1)
        for only in ([mask[0], False, False], [False, mask[1], False])
        if any(only)
    )
    assert ours(name, *backward, mask) == expected


@st.composite
def heads(draw: st.DrawFn) -> tuple[Any, Any, Any]:
    """Q, K and V as (batch, heads, length, width); K and V may have fewer heads, V another width."""
    batch, shared, times = draw(SMALL), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    length_q, length_k = draw(LENGTH), draw(LENGTH)
    width, width_v = draw(st.sampled_from([8, 16, 64])), draw(st.sampled_from([8, 64]))
    return (
        meta(batch, shared * times, length_q, width),
        meta(batch, shared, length_k, width),
        meta(batch, shared, length_k, width_v),
    )


@FEW
@given(heads(), st.booleans())
def test_attention(qkv: tuple[Any, Any, Any], causal: bool) -> None:
    """torch counts a causal mask as if it were none; half of the square is computed."""
    q, k, v = qkv
    halved = 2 if causal and q.shape[2] == k.shape[2] else 1
    for name, rest in (
        ("aten::_scaled_dot_product_flash_attention", (0.0, causal)),
        ("aten::_scaled_dot_product_efficient_attention", (None, False, 0.0, causal)),
        ("aten::_scaled_dot_product_cudnn_attention", (None, False, 0.0, causal)),
    ):
        assert ours(name, q, k, v, *rest) * halved == formula(name, q, k, v), name
    expected = formula("aten::_scaled_dot_product_flash_attention", q, k, v)
    assert ours("aten::scaled_dot_product_attention", q, k, v, None, 0.0, causal) * halved == expected


@FEW
@given(heads(), st.booleans())
def test_backward_attention(qkv: tuple[Any, Any, Any], causal: bool) -> None:
    q, k, v = qkv
    k, v = (
        meta(*q.shape[:2], *k.shape[2:]),
        meta(*q.shape[:2], k.shape[2], q.shape[3]),
    )  # heads and width of q
    halved = 2 if causal and q.shape[2] == k.shape[2] else 1
    sums, seed, length_q, length_k = meta(*q.shape[:3]), meta(1), q.shape[2], k.shape[2]
    flash = (q, sums, None, None, length_q, length_k, 0.0, causal, seed, seed)
    efficient = (None, q, sums, seed, seed, 0.0, [True, True, True, False], causal)
    cudnn = (q, sums, seed, seed, None, None, None, length_q, length_k, 0.0, causal)
    for name, rest in (
        ("aten::_scaled_dot_product_flash_attention_backward", flash),
        ("aten::_scaled_dot_product_efficient_attention_backward", efficient),
        ("aten::_scaled_dot_product_cudnn_attention_backward", cudnn),
    ):
        assert ours(name, q, q, k, v, *rest) * halved == formula(name, q, q, k, v), name


@FEW
@given(SMALL, SMALL, LENGTH, st.sampled_from([8, 64]), st.booleans())
def test_attention_of_packed_sequences(n: int, h: int, length: int, width: int, causal: bool) -> None:
    """`n` sequences of equal length, one after the other, do what a batch of `n` does; length before heads in both."""
    halved = 2 if causal else 1
    batch = meta(n, length, h, width)
    by_head = batch.transpose(1, 2)
    once = formula("aten::_scaled_dot_product_flash_attention", by_head, by_head, by_head)
    packed, ends, none = meta(n * length, h, width), meta(n + 1, dtype=torch.int32), None
    mask = int(causal)
    for x, cut in ((batch, none), (packed, ends)):
        flash = (cut, cut, length, length, 0.0, causal)
        efficient = (none, cut, cut, length, length)
        assert ours("aten::_flash_attention_forward", x, x, x, *flash, False) * halved == once
        assert (
            ours("aten::_efficient_attention_forward", x, x, x, *efficient, 0.0, mask, False) * halved == once
        )
        back = (x, x, x, x)
        assert (
            ours("aten::_flash_attention_backward", *back, x, none, *flash, none, none) * halved == once * 2.5
        )
        later = (none, x, cut, cut, length, length, none, 0.0, none, none, mask, False)
        assert ours("aten::_efficient_attention_backward", *back, *later) * halved == once * 2.5


def test_every_op_that_the_counter_knows_is_asked_about() -> None:
    known = {
        f"aten::{str(op).split('.')[-1]}" for op in flop_counter.flop_registry if str(op).startswith("aten")
    }
    assert known - set(FORMULAS) == set()


@FEW
@given(st.sampled_from(sorted(FORMULAS)), st.lists(st.lists(LENGTH, max_size=4), max_size=6))
def test_no_formula_fails_on_arguments_that_it_does_not_expect(name: str, shapes: list[list[int]]) -> None:
    types = json.dumps(["float"] * len(shapes))
    call = parse_call(name, json.dumps(shapes), types, None, None)
    assert call is not None
    found = cost_of(call)
    assert found is None or (found.flops >= 0 and found.bytes >= 0)


@FEW
@given(st.lists(SIZE, min_size=1, max_size=3), st.integers(1, 5))
def test_grouped_products_count_every_row_once(sizes: list[int], groups: int) -> None:
    """Rows belong to groups, whatever their sizes: as one product with as many rows."""
    rows, k, n = sum(sizes), 8, 16
    x, weights = meta(rows, k), meta(groups, k, n)
    assert ours("aten::_grouped_mm", x, weights, meta(groups, dtype=torch.int32)) == 2 * rows * k * n
    batched = meta(groups, rows, k), weights
    assert (
        ours("aten::_grouped_mm", *batched) == torchs("aten::bmm", *batched) == 2 * prod((groups, rows, k, n))
    )
