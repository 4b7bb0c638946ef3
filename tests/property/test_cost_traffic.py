"""Bytes of ops that torch's counter does not know: what PyTorch's op reads and writes on tensors of any shape.

Every tensor is counted once, by its size in memory; look-ups count the rows that they touch.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from recorded_calls import called, cost, in_memory  # noqa: E402 (imports torch)

FEW = settings(max_examples=25)
SIZE = st.integers(1, 12)
SHAPE = st.lists(SIZE, min_size=1, max_size=4)
FLOATS = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16])
TYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.int32, torch.bool])


def results(name: str, *arguments: Any) -> list[Any]:
    found = called(name, *arguments)
    return [t for t in (found if isinstance(found, (tuple, list)) else [found]) if t.numel()]


def reads_and_writes_all(name: str, *arguments: Any) -> None:
    """Every tensor among the arguments is read once, every result written once."""
    read = [t for a in arguments for t in (a if isinstance(a, list) else [a]) if isinstance(t, torch.Tensor)]
    assert cost(name, *arguments).bytes == in_memory(*read, *results(name, *arguments)), name


@FEW
@given(SHAPE, TYPES, TYPES, st.data())
def test_pointwise_ops_write_the_broadcast_result_in_the_promoted_type(
    shape: list[int], one: Any, other: Any, data: st.DataObject
) -> None:
    small = [data.draw(st.sampled_from([1, n])) for n in shape]
    a, b = torch.ones(shape, dtype=one), torch.ones(small, dtype=other)
    for name in ("aten::add", "aten::mul", "aten::eq", "aten::maximum"):
        reads_and_writes_all(name, a, b)
    reads_and_writes_all("aten::where", torch.ones(shape, dtype=torch.bool), a, b)
    assert cost("aten::add", a.float(), b.float()).flops == a.numel()


@FEW
@given(SHAPE, FLOATS)
def test_activations_and_losses(shape: list[int], dtype: Any) -> None:
    x = torch.ones([*shape, 2], dtype=dtype)
    for name in ("aten::relu", "aten::sigmoid", "aten::gelu", "aten::silu"):
        reads_and_writes_all(name, x)
    reads_and_writes_all("aten::glu", x, -1)
    reads_and_writes_all("aten::mse_loss", x, x, 1)
    reads_and_writes_all("aten::mse_loss", x, x, 0)


@FEW
@given(
    SHAPE, st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.int32, torch.bool]), st.data()
)
def test_reductions_and_scans(shape: list[int], dtype: Any, data: st.DataObject) -> None:
    """Sums of integers and booleans are int64."""
    x = torch.ones(shape, dtype=dtype)
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    for name in ("aten::sum", "aten::amax", "aten::amin", "aten::any"):
        reads_and_writes_all(name, x, [dim] if name != "aten::any" else dim)
    reads_and_writes_all("aten::sum", x)
    reads_and_writes_all("aten::cumsum", x, dim)
    reads_and_writes_all("aten::argmax", x.float(), dim)
    reads_and_writes_all("aten::max", x, dim)
    reads_and_writes_all("aten::max", x)
    reads_and_writes_all("aten::max", x, x.clone())
    reads_and_writes_all("aten::mean", x.float(), [dim])
    reads_and_writes_all("aten::softmax", x.float(), dim)
    reads_and_writes_all("aten::sort", x, dim)
    count = data.draw(st.integers(1, shape[dim]))
    reads_and_writes_all("aten::topk", x.float(), count, dim)


@FEW
@given(SIZE, SIZE, SIZE, FLOATS)
def test_norms(batch: int, channels: int, length: int, dtype: Any) -> None:
    """Mean and deviation of each row, which are small, are not counted."""
    x, weight = torch.ones(batch, channels, length), torch.ones(length)
    assert cost("aten::native_layer_norm", x, [length], weight, weight, 1e-5).bytes == in_memory(
        x, weight, weight, called("aten::native_layer_norm", x, [length], weight, weight, 1e-5)[0]
    )
    y = torch.ones(batch, channels, length, dtype=dtype)
    reads_and_writes_all("aten::rms_norm", y, [length], torch.ones(length, dtype=dtype))


@FEW
@given(st.lists(SHAPE, min_size=1, max_size=1), st.integers(1, 4), st.data())
def test_copies(shapes: list[list[int]], times: int, data: st.DataObject) -> None:
    x = torch.ones(shapes[0])
    dim = data.draw(st.integers(0, len(shapes[0]) - 1))
    reads_and_writes_all("aten::cat", [x] * times, dim)
    reads_and_writes_all("aten::stack", [x] * times, dim)
    reads_and_writes_all("aten::clone", x)
    reads_and_writes_all("aten::flip", x, [dim])
    reads_and_writes_all("aten::repeat", x, [times, *[1] * (x.dim() - 1), times])
    reads_and_writes_all("aten::constant_pad_nd", x, [1, times], 0.0)
    target = torch.ones(shapes[0], dtype=torch.bfloat16)
    assert cost("aten::copy_", target, x).bytes == in_memory(target, x)


@FEW
@given(st.integers(0, 40), st.integers(1, 40), st.integers(1, 7))
def test_a_range_has_its_last_partial_step(start: int, length: int, step: int) -> None:
    end = start + length
    out = torch.empty(0, dtype=torch.int64)
    assert cost("aten::arange", start, end, step, out).bytes == in_memory(torch.arange(start, end, step))


@FEW
@given(SIZE, SIZE, SIZE, st.data())
def test_what_is_looked_up_is_read_and_written(
    rows: int, width: int, depth: int, data: st.DataObject
) -> None:
    count = data.draw(SIZE)
    index = torch.zeros(count, dtype=torch.int64)
    table, cube = torch.ones(rows, width), torch.ones(rows, width, depth)
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("aten::embedding", (table, index)),
        ("aten::index_select", (cube, 1, index)),
        ("aten::gather", (table, 1, torch.zeros(rows, count, dtype=torch.int64))),
        ("aten::index", (cube, [index])),
        ("aten::index", (cube, [index, index])),
        ("aten::index", (cube, [None, index])),
        ("aten::index", (cube, [None, None, index])),
    ]
    for name, arguments in calls:
        indices = [
            t for a in arguments[1:] for t in (a if isinstance(a, list) else [a]) if torch.is_tensor(t)
        ]
        (out,) = results(name, *arguments)
        assert cost(name, *arguments).bytes == in_memory(*indices) + 2 * in_memory(out), name


@FEW
@given(SIZE, SIZE, st.integers(1, 3), st.integers(1, 3), st.integers(0, 1), st.booleans(), st.booleans())
def test_pooling(
    batch: int, channels: int, kernel: int, stride: int, padding: int, ceil: bool, listed: bool
) -> None:
    """One result per window; those of a maximum with their int64 places."""
    x = torch.ones(batch, channels, 9, 10)
    size = [kernel, kernel + 1] if listed else [kernel]  # a single number holds for all dimensions
    step, pad = [stride], [padding if kernel > 1 else 0]
    reads_and_writes_all("aten::avg_pool2d", x, size, step, pad, ceil)
    reads_and_writes_all("aten::avg_pool2d", x, size, [], pad, ceil)
    reads_and_writes_all("aten::max_pool2d_with_indices", x, size, step, pad, [1], ceil)
    reads_and_writes_all("aten::max_pool2d_with_indices", x, size, step, pad, [2], ceil)
    reads_and_writes_all("aten::_adaptive_avg_pool2d", x, [kernel, stride])
