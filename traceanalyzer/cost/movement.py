"""Ops that only move data: copies, casts, concatenation, look-ups. They compute nothing.

What is looked up is counted as touched: rows that the index names, not the whole table. Indices may repeat or be
cached, so this is what the op asks for.
"""

from __future__ import annotations

from math import ceil, isnan, prod
from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost, Tensor, Unknown
from traceanalyzer.cost.gemm import broadcast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.cost.call import Formula


def moved(data: float, like: Tensor) -> Cost:
    """A cost without arithmetic."""
    return Cost(0, data, like.dtype)


def _copy(call: Call) -> Cost:
    """copy_(self, src): the source is read as it lies in memory, every element of self written."""
    target, source = call.tensor(0), call.tensor(1)
    return moved(source.bytes + target.elements * target.itemsize, target)


def _duplicate(call: Call) -> Cost:
    x = call.tensor(0)
    return moved(x.bytes + x.elements * x.itemsize, x)


def _cat(call: Call) -> Cost:
    """cat(tensors, dim): everything is read and written once."""
    parts = call.tensors(0)
    if not parts:
        raise Unknown("nothing to join")
    return moved(sum(t.bytes + t.elements * t.itemsize for t in parts), parts[0])


def _index_select(call: Call) -> Cost:
    """(x, dim, index)."""
    x, index = call.tensor(0), call.tensor(2)
    dim = call.integers(1)[0]
    along = x.shape[dim] if x.shape else 1
    chosen = x.elements // max(along, 1) * index.elements
    return moved(2 * chosen * x.itemsize + index.bytes, x)


def _embedding(call: Call) -> Cost:
    """(weight, index): one row per index."""
    weight, index = call.tensor(0), call.tensor(1)
    return moved(2 * index.elements * weight.shape[-1] * weight.itemsize + index.bytes, weight)


def _embedding_backward(call: Call) -> Cost:
    """(grad, index, rows): the gradient is added to a table of zeros."""
    grad, index = call.tensor(0), call.tensor(1)
    rows = call.integers(2)[0]
    table = rows * grad.shape[-1] * grad.itemsize
    return Cost(grad.elements, grad.bytes + index.bytes + table, grad.dtype)


def _embedding_bag(call: Call) -> Cost:
    """(weight, index, offsets): rows are read and summed up per bag."""
    weight, index, offsets = call.tensor(0), call.tensor(1), call.tensor(2)
    width = weight.shape[-1] * weight.itemsize
    return Cost(
        index.elements * weight.shape[-1],
        (index.elements + offsets.elements) * width + index.bytes + offsets.bytes,
        weight.dtype,
    )


def _gather(call: Call) -> Cost:
    """(x, dim, index): one element per index."""
    x, index = call.tensor(0), call.tensor(2)
    return moved(2 * index.elements * x.itemsize + index.bytes, x)


def _scatter(call: Call) -> Cost:
    """(self, dim, index, src): one element per index; adding reads the target as well."""
    x, index = call.tensor(0), call.tensor(2)
    adds = 3 if "add" in call.name or "reduce" in call.name else 2
    return moved(adds * index.elements * x.itemsize + index.bytes, x)


def _index(call: Call) -> Cost:
    """index(x, indices)."""
    x = call.tensor(0)
    return moved(2 * _indexed(call) * x.itemsize + sum(t.bytes for t in _indices(call)), x)


def _indices(call: Call) -> tuple[Tensor, ...]:
    """The index tensors: int64, whatever the list's own type says."""
    return tuple(Tensor(t.shape, "int64", 8.0, t.strides) for t in call.tensors(1) if t.shape)


def _indexed(call: Call) -> int:
    """Elements that indices name: their broadcast shape replaces the dimensions that have one.

    A full slice stands among them as nothing, which the profiler writes like a tensor without dimensions.
    """
    x, places = call.tensor(0), call.tensors(1)
    whole = [n for i, n in enumerate(x.shape) if i >= len(places) or not places[i].shape]
    return prod((*broadcast(*(t.shape for t in _indices(call))), *whole))


def _index_put(call: Call) -> Cost:
    """(self, indices, values, accumulate)."""
    x, values = call.tensor(0), call.tensor(2)
    return moved(values.bytes + _indexed(call) * x.itemsize, x)


def _index_add(call: Call) -> Cost:
    """(self, dim, index, source)."""
    source = call.tensor(3)
    return Cost(source.elements, 3 * source.bytes + call.tensor(2).bytes, source.dtype)


def _arange(call: Call) -> Cost:
    """The result is recorded as the last argument, before it gets its size: only the values tell how long."""
    start, end, step = (float(call.value(i) or "nan") for i in range(3))
    out = call.every_tensor()[-1]
    if isnan(start + end + step):
        raise Unknown("arange without its values")
    return moved(max(0, ceil((end - start) / step)) * out.itemsize, out)


def _flip(call: Call) -> Cost:
    return _duplicate(call)


def _repeat(call: Call) -> Cost:
    x, times = call.tensor(0), call.integers(1)
    factor = 1
    for n in times:
        factor *= n
    return moved(x.bytes + x.elements * factor * x.itemsize, x)


def _constant_pad(call: Call) -> Cost:
    """(x, pad, value): pairs from the last dimension on."""
    x, pad = call.tensor(0), call.integers(1)
    shape = list(x.shape)
    for i in range(len(pad) // 2):
        shape[-1 - i] += pad[2 * i] + pad[2 * i + 1]
    return moved(x.bytes + Tensor(tuple(shape), x.dtype, x.itemsize).bytes, x)


FORMULAS: Mapping[str, Formula] = {
    "aten::copy_": _copy,
    "aten::_copy_from": _copy,
    "aten::clone": _duplicate,
    "aten::contiguous": _duplicate,
    "aten::_to_copy": _duplicate,
    "aten::flip": _flip,
    "aten::roll": _flip,
    "aten::cat": _cat,
    "aten::stack": _cat,
    "aten::_chunk_cat": _cat,
    "aten::index_select": _index_select,
    "aten::embedding": _embedding,
    "aten::embedding_dense_backward": _embedding_backward,
    "aten::_embedding_bag": _embedding_bag,
    "aten::_embedding_bag_forward_only": _embedding_bag,
    "aten::gather": _gather,
    "aten::take_along_dim": _gather,
    "aten::scatter": _scatter,
    "aten::scatter_": _scatter,
    "aten::scatter_add": _scatter,
    "aten::scatter_add_": _scatter,
    "aten::scatter_reduce_": _scatter,
    "aten::index": _index,
    "aten::index_put_": _index_put,
    "aten::_index_put_impl_": _index_put,
    "aten::index_add_": _index_add,
    "aten::arange": _arange,
    "aten::repeat": _repeat,
    "aten::constant_pad_nd": _constant_pad,
}
