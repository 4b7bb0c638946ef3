"""Products of matrices: 2·M·N·K per product, plus one addition per output for a bias.

Bytes are both factors, the bias and the result, each once. Source of the count: every output is a dot product of
length K, K multiplications and K additions (torch.utils.flop_counter counts the same and leaves the bias out).
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost, Tensor, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from traceanalyzer.cost.call import Formula

# torch.dtype numbers that `out_dtype` is recorded as (c10/core/ScalarType.h) → bytes per element.
_OUT_BYTES = {"5": 2.0, "6": 4.0, "7": 8.0, "15": 2.0, "3": 4.0}


def product(
    a: Tensor, b: Tensor, outputs: int, inner: int, bias: Tensor | None = None, out_bytes: float | None = None
) -> Cost:
    """Any product of `a` and `b` in which each of `outputs` elements is a dot product of length `inner`."""
    narrow = min(a, b, key=lambda t: t.itemsize)
    wide = max(a, b, key=lambda t: t.itemsize)
    flops = 2 * outputs * inner + (outputs if bias is not None else 0)
    moved = a.bytes + b.bytes + outputs * (out_bytes or wide.itemsize) + (bias.bytes if bias else 0)
    return Cost(flops, moved, narrow.dtype if narrow.dtype != "fp4" else wide.dtype, matrix=True)


def _inner(a: Tensor, b: Tensor, k: int, again: int, call: Call) -> int:
    if k != again:
        raise Unknown(f"{call.name}: {a.shape} and {b.shape} do not fit")
    return k


def _mm(call: Call) -> Cost:
    return _plain(call, call.tensor(0), call.tensor(1))


def _addmm(call: Call) -> Cost:
    return _plain(call, call.tensor(1), call.tensor(2), call.tensor(0))


def _plain(call: Call, a: Tensor, b: Tensor, bias: Tensor | None = None) -> Cost:
    """(…, M, K) times (…, K, N): batches must be equal."""
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise Unknown(f"{call.name}: no matrices")
    k = _inner(a, b, a.shape[-1], b.shape[-2], call)
    return product(a, b, prod(a.shape[:-1]) * b.shape[-1], k, bias)


def _addbmm(call: Call) -> Cost:
    """The batch is summed up as well: the result is one matrix."""
    a, b = call.tensor(1), call.tensor(2)
    m, n, k = a.shape[-2], b.shape[-1], a.shape[-1]
    return product(a, b, m * n, k * a.shape[0], call.tensor(0))


def _matmul(call: Call) -> Cost:
    """NumPy's rules: vectors become matrices, batches broadcast."""
    a, b = call.tensor(0), call.tensor(1)
    left = a.shape if len(a.shape) > 1 else (1, *a.shape)
    right = b.shape if len(b.shape) > 1 else (*b.shape, 1)
    k = _inner(a, b, left[-1], right[-2], call)
    batch = broadcast(left[:-2], right[:-2])
    return product(a, b, prod(batch) * left[-2] * right[-1], k)


def broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that these shapes broadcast to; no check that they fit."""
    width = max(map(len, shapes), default=0)
    padded = [(1,) * (width - len(s)) + s for s in shapes]
    return tuple(max(sizes) if 0 not in sizes else 0 for sizes in zip(*padded, strict=True))


def _linear(call: Call) -> Cost:
    """X (…, K), weight (N, K), optional bias."""
    return weight_rows(call, 0, 1, call.optional(2))


def weight_rows(call: Call, x_at: int, weight_at: int, bias: Tensor | None = None) -> Cost:
    """A product with a weight that is stored as (N, K)."""
    x, weight = call.tensor(x_at), call.tensor(weight_at)
    k = _inner(x, weight, x.shape[-1], weight.shape[-1], call)
    return product(x, weight, prod(x.shape[:-1]) * weight.shape[0], k, bias)


def _mv(call: Call) -> Cost:
    a, b = call.tensor(0), call.tensor(1)
    return product(a, b, a.shape[0], _inner(a, b, a.shape[1], b.shape[0], call))


def _addmv(call: Call) -> Cost:
    a, b = call.tensor(1), call.tensor(2)
    return product(a, b, a.shape[0], _inner(a, b, a.shape[1], b.shape[0], call), call.tensor(0))


def _dot(call: Call) -> Cost:
    a, b = call.tensor(0), call.tensor(1)
    return product(a, b, 1, _inner(a, b, a.elements, b.elements, call))


def _scaled(bias_at: int, *out_type_at: int) -> Callable[[Call], Cost]:
    """(a, b, …): narrow factors with scales, a wide result; where the bias and the type of the result stand."""

    def formula(call: Call) -> Cost:
        a, b = call.tensor(0), call.tensor(1)
        packed = 2 if a.dtype == "fp4" else 1  # two values in a byte: the recorded K is half of the real one
        k = _inner(a, b, a.shape[-1], b.shape[-2], call) * packed
        out = next((_OUT_BYTES[v] for v in map(call.value, out_type_at) if v in _OUT_BYTES), 2.0)
        cost = product(a, b, a.shape[0] * b.shape[-1], k, call.optional(bias_at), out)
        return Cost(cost.flops, cost.bytes, a.dtype, matrix=True)

    return formula


def _int_mm(call: Call) -> Cost:
    a, b = call.tensor(0), call.tensor(1)
    return product(
        a, b, a.shape[0] * b.shape[1], _inner(a, b, a.shape[1], b.shape[0], call), None, out_bytes=4
    )


def _grouped_mm(call: Call) -> Cost:
    """Groups along whichever dimension `offs` cuts: every row (or column, or slice of K) is in one group."""
    a, b = call.tensor(0), call.tensor(1)
    match len(a.shape), len(b.shape):
        case 2, 3:  # rows of a belong to groups
            outputs, k = a.shape[0] * b.shape[-1], a.shape[1]
        case 3, 2:  # columns of b belong to groups
            outputs, k = a.shape[-2] * b.shape[-1], a.shape[-1]
        case 3, 3:
            outputs, k = a.shape[0] * a.shape[-2] * b.shape[-1], a.shape[-1]
        case 2, 2:  # slices of K belong to groups: K is summed up over all of them
            groups = next((t.elements for t in call.every_tensor()[2:] if t.dtype == "int32"), 1)
            cost = product(a, b, a.shape[0] * b.shape[1], a.shape[1], None, 2.0)
            more = (groups - 1) * a.shape[0] * b.shape[1] * 2.0
            return Cost(cost.flops, cost.bytes + more, cost.dtype, matrix=True)
        case _:
            raise Unknown(f"{call.name}: neither matrices nor batches")
    return product(a, b, outputs, k, None, 2.0)


def _packed_weight(call: Call) -> Cost:
    """Weights packed below a byte: (x (M, K), weight, …, scales (…, N, …)); N is 8 times its rows."""
    x, weight = call.tensor(0), call.tensor(1)
    k = x.shape[-1]
    n = weight.shape[0] * 8 if len(weight.shape) == 4 else weight.shape[0]
    rows = prod(x.shape[:-1])
    moved = x.bytes + weight.bytes + rows * n * x.itemsize
    return Cost(2 * rows * n * k, moved, x.dtype, matrix=True)


def _out_first(call: Call) -> Cost:
    """(out, a, b, …)."""
    a, b = call.tensor(1), call.tensor(2)
    k = _inner(a, b, a.shape[-1], b.shape[-2], call)
    return product(a, b, prod(a.shape[:-1]) * b.shape[-1], k, None, call.tensor(0).itemsize)


FORMULAS: Mapping[str, Formula] = {
    "aten::mm": _mm,
    "aten::bmm": _mm,
    "aten::addmm": _addmm,
    "aten::addmm_": _addmm,
    "aten::_addmm_activation": _addmm,
    "aten::baddbmm": _addmm,
    "aten::baddbmm_": _addmm,
    "aten::addbmm": _addbmm,
    "aten::matmul": _matmul,
    "aten::linear": _linear,
    "aten::mv": _mv,
    "aten::addmv": _addmv,
    "aten::addmv_": _addmv,
    "aten::dot": _dot,
    "aten::vdot": _dot,
    "aten::_scaled_mm": _scaled(4, 6, 5),
    "aten::_scaled_mm_v2": _scaled(8, 9),
    "aten::_int_mm": _int_mm,
    "aten::_grouped_mm": _grouped_mm,
    "aten::_scaled_grouped_mm": _grouped_mm,
    "aten::_scaled_grouped_mm_v2": _grouped_mm,
    "aten::_weight_int4pack_mm": _packed_weight,
    "aten::_weight_int8pack_mm": _packed_weight,
    "vllm::rocm_unquantized_gemm": _linear,
    "vllm::rocm_unquantized_gemm_impl": _linear,
    "_C::cutlass_scaled_mm": _out_first,
    "sgl_kernel::fp8_scaled_mm": _mm,
    "sgl_kernel::int8_scaled_mm": _mm,
    "fbgemm::f8f8bf16_rowwise": _linear,
    "fbgemm::f8f8bf16_blockwise": _linear,
}
