"""Pointwise ops: one pass over the inputs, one result per element of the broadcast shape.

FLOPs are arithmetic operations per element in the usual count: 1 for a sum or a product, a few for what is made
of several (a sigmoid is an exponential, a sum and a division). They matter little: on every GPU a pointwise
kernel is limited by memory.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost, Tensor, Unknown, parse_call
from traceanalyzer.cost.gemm import broadcast

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from traceanalyzer.cost.call import Formula

# name → (how many of the leading arguments are read, FLOPs per element). `name_` works in place on the first.
_ARITHMETIC = {
    "abs": (1, 1), "neg": (1, 1), "sign": (1, 1), "ceil": (1, 1), "floor": (1, 1), "round": (1, 1),
    "trunc": (1, 1), "reciprocal": (1, 1), "sqrt": (1, 1), "rsqrt": (1, 2), "square": (1, 1),
    "exp": (1, 1), "exp2": (1, 1), "expm1": (1, 2), "log": (1, 1), "log2": (1, 1), "log10": (1, 1),
    "log1p": (1, 2), "sin": (1, 1), "cos": (1, 1), "tan": (1, 1), "tanh": (1, 4), "asin": (1, 1),
    "acos": (1, 1), "atan": (1, 1), "erf": (1, 4), "erfc": (1, 4), "sigmoid": (1, 3), "silu": (1, 4),
    "gelu": (1, 6), "relu": (1, 1), "leaky_relu": (1, 2), "elu": (1, 3), "selu": (1, 3), "celu": (1, 3),
    "mish": (1, 6), "hardtanh": (1, 2), "hardswish": (1, 4), "hardsigmoid": (1, 3), "softplus": (1, 3),
    "clamp": (1, 2), "clamp_min": (1, 1), "clamp_max": (1, 1), "threshold": (1, 1), "nan_to_num": (1, 3),
    "bitwise_not": (1, 1), "triu": (1, 0), "tril": (1, 0), "dropout": (1, 2), "bernoulli": (1, 1),
    "prelu": (2, 2), "add": (2, 1), "sub": (2, 1), "rsub": (2, 1), "mul": (2, 1), "div": (2, 1),
    "true_divide": (2, 1), "floor_divide": (2, 2), "remainder": (2, 2), "fmod": (2, 2), "pow": (2, 1),
    "maximum": (2, 1), "minimum": (2, 1), "fmax": (2, 1), "fmin": (2, 1), "atan2": (2, 2), "hypot": (2, 3),
    "bitwise_and": (2, 1), "bitwise_or": (2, 1), "bitwise_xor": (2, 1), "__lshift__": (2, 1),
    "__rshift__": (2, 1), "xlogy": (2, 2), "lerp": (3, 3), "addcmul": (3, 3), "addcdiv": (3, 3),
    "masked_fill": (2, 0), "complex": (2, 0), "polar": (2, 4),
    "sigmoid_backward": (2, 3), "tanh_backward": (2, 3), "threshold_backward": (2, 1),
    "silu_backward": (2, 7), "gelu_backward": (2, 12), "leaky_relu_backward": (2, 2),
    "elu_backward": (2, 3), "hardtanh_backward": (2, 2), "hardswish_backward": (2, 4),
    "hardsigmoid_backward": (2, 2), "softplus_backward": (2, 4), "mish_backward": (2, 9),
    "mse_loss_backward": (3, 3), "smooth_l1_loss_backward": (3, 4), "l1_loss_backward": (3, 2),
    "binary_cross_entropy_backward": (3, 5), "native_dropout_backward": (2, 2),
    "_masked_scale": (2, 2), "logit": (1, 3), "logit_backward": (2, 3),
}  # fmt: skip
# Results are booleans, one byte each.
_COMPARISONS = {
    "eq": 2, "ne": 2, "lt": 2, "le": 2, "gt": 2, "ge": 2, "logical_and": 2, "logical_or": 2,
    "logical_xor": 2, "logical_not": 1, "isnan": 1, "isinf": 1, "isfinite": 1, "isclose": 2,
    "isposinf": 1, "isneginf": 1,
}  # fmt: skip
_READS = {
    **{f"aten::{name}": reads for name, (reads, _) in _ARITHMETIC.items()},
    **{f"aten::{name}": reads for name, reads in _COMPARISONS.items()},
}
_RANDOM = ("uniform_", "normal_", "random_", "bernoulli_", "exponential_")


def output_of(inputs: list[Tensor]) -> tuple[int, float, str]:
    """Elements, bytes per element and type of the result that these tensors promote to.

    Tensors with dimensions decide over those without, and neither of bf16 and fp16 holds the other (PyTorch's type
    promotion).
    """
    if not inputs:
        raise Unknown("no tensor among the inputs")
    shape = broadcast(*(t.shape for t in inputs))
    shaped = [t for t in inputs if t.shape] or inputs
    floating = [t for t in shaped if t.dtype.startswith(("fp", "bf", "complex"))] or [
        t for t in inputs if t.dtype.startswith(("fp", "bf", "complex")) and t.dtype != "fp64"
    ]
    widest = max(floating or shaped, key=lambda t: t.itemsize)
    if widest.itemsize == 2 and {"bf16", "fp16"} <= {t.dtype for t in floating}:
        return prod(shape), 4.0, "fp32"
    return prod(shape), widest.itemsize, widest.dtype


def writes_where_told(name: str | None, dims: str | None, types: str | None) -> bool:
    """Whether an op was called with `out=`: it ends with a tensor of the result's shape that it does not read.

    Args:
        name: of the op.
        dims: shapes of the arguments, the JSON that the tables keep.
        types: their types, likewise.
    """
    reads = _READS.get(name or "")
    call = None if reads is None else parse_call(name or "", dims, types, None, None)
    if call is None or reads is None or len(call.inputs) <= reads:
        return False
    told = call.optional(len(call.inputs) - 1)
    read = [t.shape for t in (call.optional(i) for i in range(reads)) if t is not None]
    return told is not None and bool(read) and told.shape == broadcast(*read)


def pointwise(reads: int, flops: float, in_place: bool, out_bytes: float | None = None) -> Formula:
    """The formula of an op that reads its first `reads` arguments (scalars cost nothing)."""

    def formula(call: Call) -> Cost:
        inputs = [t for t in (call.optional(i) for i in range(reads)) if t is not None]
        elements, itemsize, dtype = output_of(inputs)
        if in_place:
            target = call.tensor(0)
            written = target.bytes
        else:
            written = elements * (out_bytes or itemsize)
        return Cost(flops * elements, sum(t.bytes for t in inputs) + written, dtype)

    return formula


def _where(call: Call) -> Cost:
    """The condition is no operand: the result has the type of the other two."""
    chosen = [t for t in (call.optional(1), call.optional(2)) if t is not None]
    _, itemsize, dtype = output_of(chosen)
    every = [call.tensor(0), *chosen]
    elements = prod(broadcast(*(t.shape for t in every)))
    return Cost(0, sum(t.bytes for t in every) + elements * itemsize, dtype)


def _dropout(call: Call) -> Cost:
    """Writes the result and a mask of booleans."""
    x = call.tensor(0)
    return Cost(2 * x.elements, x.bytes + x.elements * (x.itemsize + 1), x.dtype)


def _loss(flops: float) -> Callable[[Call], Cost]:
    """Two inputs of one shape; the result is a number unless the reduction (argument 2) is 0."""

    def formula(call: Call) -> Cost:
        x, y = call.tensor(0), call.tensor(1)
        written = x.elements * x.itemsize if call.value(2) == "0" else x.itemsize
        return Cost(flops * x.elements, x.bytes + y.bytes + written, x.dtype)

    return formula


def _fill(call: Call) -> Cost:
    """Writes its first argument, reads nothing."""
    return Cost(0, call.tensor(0).bytes, call.tensor(0).dtype)


def _glu(call: Call) -> Cost:
    """One half of x times the sigmoid of the other half."""
    x = call.tensor(0)
    return Cost(4 * x.elements / 2, x.bytes + x.elements / 2 * x.itemsize, x.dtype)


def _gated(call: Call) -> Cost:
    """(out, x): activation of one half of x times the other half."""
    out, x = call.tensor(0), call.tensor(1)
    return Cost(5 * out.elements, out.bytes + x.bytes, x.dtype)


FORMULAS: Mapping[str, Formula] = {
    **{f"aten::{n}": pointwise(reads, flops, in_place=False) for n, (reads, flops) in _ARITHMETIC.items()},
    **{f"aten::{n}_": pointwise(reads, flops, in_place=True) for n, (reads, flops) in _ARITHMETIC.items()},
    **{f"aten::{n}": pointwise(reads, 1, in_place=False, out_bytes=1) for n, reads in _COMPARISONS.items()},
    **{f"aten::{n}_": pointwise(reads, 1, in_place=True) for n, reads in _COMPARISONS.items()},
    **{f"aten::{n}": _fill for n in (*_RANDOM, "fill_", "zero_")},
    "aten::where": _where,
    "aten::glu": _glu,
    "aten::native_dropout": _dropout,
    "aten::_fused_dropout": _dropout,
    "aten::mse_loss": _loss(3),
    "aten::l1_loss": _loss(2),
    "aten::smooth_l1_loss": _loss(4),
    "aten::huber_loss": _loss(4),
    "aten::binary_cross_entropy": _loss(6),
    "aten::binary_cross_entropy_with_logits": _loss(8),
    "_C::silu_and_mul": _gated,
    "_C::mul_and_silu": _gated,
    "_C::gelu_and_mul": _gated,
    "_C::gelu_tanh_and_mul": _gated,
    "sgl_kernel::silu_and_mul": _gated,
    "sgl_kernel::gelu_and_mul": _gated,
}
