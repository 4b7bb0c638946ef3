"""Reductions, scans, softmax, sorting and pooling: every input is read at least once.

A softmax needs a maximum, an exponential, a sum and a division per element: 5 FLOPs. Kernels that read their
input several times (rows too long for shared memory) do more than this least amount, and show it as low
efficiency.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost, Tensor, Unknown
from traceanalyzer.cost.pointwise import pointwise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from traceanalyzer.cost.call import Formula

_INTEGERS = frozenset({"bool", "int8", "int16", "int32", "int64"})
_SUMS = frozenset({"aten::sum", "aten::nansum", "aten::prod", "aten::cumsum", "aten::cumprod"})
_larger = pointwise(reads=2, flops=1, in_place=False)


def _kept(x: Tensor, dims: tuple[int, ...] | None) -> int:
    """Elements that remain when these dimensions are reduced; None reduces all."""
    if dims is None or not x.shape:
        return 1
    gone = {d % len(x.shape) for d in dims}
    return prod(n for i, n in enumerate(x.shape) if i not in gone)


def _dims(call: Call, place: int) -> tuple[int, ...] | None:
    text = call.value(place)
    return call.integers(place) if text.strip("[]") else None


def _reduce(
    flops: float, dims_at: int = 1, out_bytes: float | None = None, results: int = 1
) -> Callable[[Call], Cost]:
    """An op whose dimensions stand at `dims_at`; without any it reduces all."""

    def formula(call: Call) -> Cost:
        x = call.tensor(0)
        try:
            kept = _kept(x, _dims(call, dims_at))
        except Unknown:
            kept = 1
        written = results * kept * (out_bytes or _sum_bytes(call, x))
        return Cost(flops * x.elements, x.bytes + written, x.dtype)

    return formula


def _sum_bytes(call: Call, x: Tensor) -> float:
    """Bytes of one result in the type of x; sums of integers and booleans are int64."""
    return 8.0 if call.name in _SUMS and x.dtype in _INTEGERS else x.itemsize


def _extreme(call: Call) -> Cost:
    """max(x); max(x, dim), which also writes int64 places; max(x, other), which is pointwise."""
    if call.optional(1) is not None:
        return _larger(call)
    x = call.tensor(0)
    return _reduce(1, out_bytes=x.itemsize + 8 if _dims(call, 1) else x.itemsize)(call)


def _row_wise(flops: float, reads: int = 1) -> Callable[[Call], Cost]:
    """Reads so many tensors of one shape and writes one."""

    def formula(call: Call) -> Cost:
        inputs = [call.tensor(i) for i in range(reads)]
        x = inputs[0]
        half_to_float = call.value(2) == "True" and reads == 1
        written = x.elements * (4 if half_to_float else _sum_bytes(call, x))
        return Cost(flops * x.elements, sum(t.bytes for t in inputs) + written, x.dtype)

    return formula


def _sort(call: Call) -> Cost:
    """Values and their int64 places."""
    x = call.tensor(0)
    return Cost(x.elements, x.bytes + x.elements * (x.itemsize + 8), x.dtype)


def _topk(call: Call) -> Cost:
    """(x, k, dim)."""
    x, k = call.tensor(0), call.integers(1)[0]
    rows = _kept(x, _dims(call, 2) or (-1,))
    return Cost(x.elements, x.bytes + rows * k * (x.itemsize + 8), x.dtype)


def _nll(call: Call) -> Cost:
    """(log-probabilities, target): one of them is read per target."""
    x, target = call.tensor(0), call.tensor(1)
    return Cost(target.elements, target.elements * x.itemsize + target.bytes + x.itemsize, x.dtype)


def _nll_backward(call: Call) -> Cost:
    """(grad, x, target): a gradient of the shape of x, zero but for the targets."""
    x, target = call.tensor(1), call.tensor(2)
    return Cost(target.elements, x.elements * x.itemsize + target.bytes, x.dtype)


def _pool(space: int, *, indices: bool) -> Callable[[Call], Cost]:
    """(x, kernel, stride, padding, …): one result per window, with its place when `indices`.

    A single number holds for all dimensions; without a stride windows lie side by side.
    """

    def formula(call: Call) -> Cost:
        x, kernel = call.tensor(0), _each(call, 1, space)
        stride = _each(call, 2, space) if call.value(2).strip("[]") else kernel
        padding = _each(call, 3, space)
        dilation = _each(call, 4, space) if indices and call.value(4) else (1,) * space
        up = call.value(5 if indices else 4) == "True"
        sizes = zip(x.shape[-space:], kernel, stride, padding, dilation, strict=True)
        out = prod(x.shape[:-space]) * prod(_windows(*size, up=up) for size in sizes)
        written = out * (x.itemsize + (8 if indices else 0))
        return Cost(out * prod(kernel), x.bytes + written, x.dtype)

    return formula


def _each(call: Call, place: int, space: int) -> tuple[int, ...]:
    found = call.integers(place)
    return found * space if len(found) == 1 else found


def _windows(n: int, kernel: int, stride: int, padding: int, dilation: int, *, up: bool) -> int:
    """Windows along one dimension; rounded up, the last must begin in the input or its left padding."""
    room = n + 2 * padding - dilation * (kernel - 1) - 1
    count = (room + (stride - 1 if up else 0)) // stride + 1
    return count - 1 if up and (count - 1) * stride >= n + padding else count


def _pool_backward(call: Call) -> Cost:
    """(grad, x, …): reads the gradient and, for maxima, their places; writes a gradient of the shape of x."""
    grad, x = call.tensor(0), call.tensor(1)
    places = call.every_tensor()[-1].bytes if "indices" in call.name else 0
    return Cost(grad.elements, grad.bytes + places + x.elements * x.itemsize, grad.dtype)


def _resized(call: Call) -> Cost:
    """(x, output size): adaptive pooling and interpolation."""
    x, size = call.tensor(0), call.integers(1)
    out = prod(x.shape[: -len(size)]) * prod(size)
    return Cost(max(out, x.elements), x.bytes + out * x.itemsize, x.dtype)


FORMULAS: Mapping[str, Formula] = {
    "aten::sum": _reduce(1),
    "aten::nansum": _reduce(1),
    "aten::mean": _reduce(1),
    "aten::prod": _reduce(1),
    "aten::amax": _reduce(1),
    "aten::amin": _reduce(1),
    "aten::aminmax": _reduce(1, results=2),
    "aten::max": _extreme,
    "aten::min": _extreme,
    "aten::any": _reduce(1, out_bytes=1),
    "aten::all": _reduce(1, out_bytes=1),
    "aten::argmax": _reduce(1, out_bytes=8),
    "aten::argmin": _reduce(1, out_bytes=8),
    "aten::logsumexp": _reduce(3),
    "aten::var": _reduce(4),
    "aten::std": _reduce(4),
    "aten::var_mean": _reduce(4, results=2),
    "aten::std_mean": _reduce(4, results=2),
    "aten::norm": _reduce(2, dims_at=2),
    "aten::linalg_vector_norm": _reduce(2, dims_at=2),
    "aten::count_nonzero": _reduce(1, out_bytes=8),
    "aten::cumsum": _row_wise(1),
    "aten::cumsum_": _row_wise(1),
    "aten::cumprod": _row_wise(1),
    "aten::_softmax": _row_wise(5),
    "aten::softmax": _row_wise(5),
    "aten::_log_softmax": _row_wise(5),
    "aten::log_softmax": _row_wise(5),
    "aten::_safe_softmax": _row_wise(5),
    "aten::_softmax_backward_data": _row_wise(4, reads=2),
    "aten::_log_softmax_backward_data": _row_wise(4, reads=2),
    "aten::sort": _sort,
    "aten::argsort": _sort,
    "aten::topk": _topk,
    "aten::nll_loss_forward": _nll,
    "aten::nll_loss2d_forward": _nll,
    "aten::nll_loss_backward": _nll_backward,
    "aten::nll_loss2d_backward": _nll_backward,
    "aten::max_pool2d_with_indices": _pool(2, indices=True),
    "aten::max_pool3d_with_indices": _pool(3, indices=True),
    "aten::avg_pool2d": _pool(2, indices=False),
    "aten::avg_pool3d": _pool(3, indices=False),
    "aten::max_pool2d_with_indices_backward": _pool_backward,
    "aten::avg_pool2d_backward": _pool_backward,
    "aten::_adaptive_avg_pool2d": _resized,
    "aten::_adaptive_avg_pool2d_backward": _pool_backward,
    "aten::upsample_nearest1d": _resized,
    "aten::upsample_nearest2d": _resized,
    "aten::upsample_bilinear2d": _resized,
    "aten::upsample_bicubic2d": _resized,
}
