"""Layer, batch, group and RMS norm: the input is read and the output written once.

About 8 FLOPs per element for mean, variance and scaling, 4 for RMS norm, twice that backward. Training batch
norm reads its input twice unless it stays in the cache; the least amount is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from traceanalyzer.cost.call import Formula


def _forward(flops: float, *parameters: int) -> Callable[[Call], Cost]:
    """(x, …) → one result of the same shape; `parameters` are places of weights and statistics."""

    def formula(call: Call) -> Cost:
        x = call.tensor(0)
        small = sum(t.bytes for t in map(call.optional, parameters) if t is not None)
        return Cost(flops * x.elements, x.bytes + x.elements * x.itemsize + small, x.dtype)

    return formula


def _backward(flops: float, grad_at: int = 0, x_at: int = 1) -> Callable[[Call], Cost]:
    """Reads the gradient and the input, writes the gradient of the input."""

    def formula(call: Call) -> Cost:
        grad, x = call.tensor(grad_at), call.tensor(x_at)
        return Cost(flops * x.elements, grad.bytes + x.bytes + x.elements * x.itemsize, x.dtype)

    return formula


def _out_first(flops: float) -> Callable[[Call], Cost]:
    """(out, x, weight, …)."""

    def formula(call: Call) -> Cost:
        out, x, weight = call.tensor(0), call.tensor(1), call.tensor(2)
        return Cost(flops * x.elements, out.bytes + x.bytes + weight.bytes, x.dtype)

    return formula


def _with_residual(call: Call) -> Cost:
    """(x, residual, weight, …): the sum replaces the residual, its norm replaces x."""
    x, residual, weight = call.tensor(0), call.tensor(1), call.tensor(2)
    return Cost(5 * x.elements, 2 * (x.bytes + residual.bytes) + weight.bytes, x.dtype)


FORMULAS: Mapping[str, Formula] = {
    "aten::native_layer_norm": _forward(8, 2, 3),
    "aten::layer_norm": _forward(8, 2, 3),
    "aten::native_group_norm": _forward(8, 1, 2),
    "aten::native_batch_norm": _forward(8, 1, 2, 3, 4),
    "aten::_native_batch_norm_legit": _forward(8, 1, 2, 3, 4),
    "aten::batch_norm": _forward(8, 1, 2, 3, 4),
    "aten::cudnn_batch_norm": _forward(8, 1, 2, 3, 4),
    "aten::miopen_batch_norm": _forward(8, 1, 2, 3, 4),
    "aten::_batch_norm_with_update": _forward(8, 1, 2, 3, 4),
    "aten::rms_norm": _forward(4, 2),
    "aten::_fused_rms_norm": _forward(4, 2),
    "aten::native_layer_norm_backward": _backward(16),
    "aten::native_group_norm_backward": _backward(16),
    "aten::native_batch_norm_backward": _backward(16),
    "aten::cudnn_batch_norm_backward": _backward(16, grad_at=1, x_at=0),
    "aten::miopen_batch_norm_backward": _backward(16, grad_at=1, x_at=0),
    "aten::batch_norm_backward": _backward(16),
    "aten::_fused_rms_norm_backward": _backward(8),
    "_C::rms_norm": _out_first(4),
    "_C::fused_add_rms_norm": _with_residual,
    "sgl_kernel::rmsnorm": _out_first(4),
    "sgl_kernel::fused_add_rmsnorm": _with_residual,
}
