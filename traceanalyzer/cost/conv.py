"""Convolutions: 2 · outputs · (Cin/groups · kernel), the weight's shape being (Cout, Cin/groups, *kernel).

A bias is not counted: libraries add it in a kernel of its own, which the trace shows as another op.
The backward pass does the same work once for the gradient of the input and once for that of the weight, as its
output mask asks.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost, Tensor, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from traceanalyzer.cost.call import Formula


def _spread(values: Sequence[int], count: int) -> tuple[int, ...]:
    """One value per spatial dimension: a single one holds for all."""
    return tuple(values) if len(values) == count else tuple(values[:1]) * count


def _forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Cost:
    space = len(weight.shape) - 2
    if space < 1 or len(x.shape) < space + 1:
        raise Unknown("no spatial dimensions")
    batch = prod(x.shape[: -space - 1])
    sizes = zip(
        x.shape[-space:],
        weight.shape[2:],
        _spread(stride, space),
        _spread(padding, space),
        _spread(dilation, space),
        strict=True,
    )
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in sizes]
    return _cost(x, weight, bias, batch * prod(out), weight.shape[0])


def _cost(x: Tensor, weight: Tensor, bias: Tensor | None, positions: int, channels: int) -> Cost:
    """`positions`: how often the kernel is applied; every time the whole weight is."""
    outputs = positions * channels
    flops = 2 * positions * weight.elements
    moved = x.bytes + weight.bytes + outputs * x.itemsize + (bias.bytes if bias else 0)
    return Cost(flops, moved, x.dtype, matrix=True)


def _transposed(
    x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, out_spatial: Sequence[int]
) -> Cost:
    """The weight is (Cin, Cout/groups, *kernel), applied at every position of the input."""
    space = len(weight.shape) - 2
    batch = prod(x.shape[: -space - 1])
    outputs = batch * weight.shape[1] * groups * prod(out_spatial)
    flops = 2 * batch * prod(x.shape[-space:]) * weight.elements
    moved = x.bytes + weight.bytes + outputs * x.itemsize + (bias.bytes if bias else 0)
    return Cost(flops, moved, x.dtype, matrix=True)


def _grown(call: Call, x: Tensor, weight: Tensor, at: tuple[int, int, int, int]) -> list[int]:
    """Output sizes of a transposed convolution; `at`: where stride, padding, dilation, output padding are."""
    space = len(weight.shape) - 2
    stride, padding, dilation, extra = (_spread(call.integers(i), space) for i in at)
    sizes = zip(x.shape[-space:], weight.shape[2:], stride, padding, dilation, extra, strict=True)
    return [(n - 1) * s - 2 * p + d * (k - 1) + e + 1 for n, k, s, p, d, e in sizes]


def _general(call: Call) -> Cost:
    """(x, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    x, weight, bias = call.tensor(0), call.tensor(1), call.optional(2)
    if call.flag(6):
        out = _grown(call, x, weight, (3, 4, 5, 7))
        return _transposed(x, weight, bias, call.integers(8)[0], out)
    return _forward(x, weight, bias, call.integers(3), call.integers(4), call.integers(5))


def _at(bias: int | None, stride: int, padding: int, dilation: int) -> Callable[[Call], Cost]:
    """A forward convolution whose arguments stand at these places."""

    def formula(call: Call) -> Cost:
        return _forward(
            call.tensor(0),
            call.tensor(1),
            None if bias is None else call.optional(bias),
            call.integers(stride),
            call.integers(padding),
            call.integers(dilation) if call.value(dilation).startswith("[") else (1,),
        )

    return formula


def _transposed_vendor(call: Call) -> Cost:
    """(x, weight, padding, output_padding, stride, dilation, groups)."""
    x, weight = call.tensor(0), call.tensor(1)
    return _transposed(x, weight, None, call.integers(6)[0], _grown(call, x, weight, (4, 2, 5, 3)))


def _backward(call: Call) -> Cost:
    """(grad, x, weight, bias_sizes, stride, …, transposed [7], …, output_mask [10])."""
    grad, x, weight = call.tensor(0), call.tensor(1), call.tensor(2)
    mask = call.value(10)
    wanted = [word == "True" for word in mask.strip("[]").split(", ")]
    if len(wanted) != 3:
        raise Unknown(f"{call.name}: output mask was not recorded")
    space = len(weight.shape) - 2
    small = x if call.flag(7) else grad
    once = 2 * prod(grad.shape[: -space - 1]) * prod(small.shape[-space:]) * weight.elements
    flops = once * (wanted[0] + wanted[1])
    moved = grad.bytes
    if wanted[0]:
        moved += weight.bytes + x.elements * x.itemsize
    if wanted[1]:
        moved += x.bytes + weight.elements * weight.itemsize
    return Cost(flops, moved, grad.dtype, matrix=True)


_library = _at(None, stride=3, padding=2, dilation=4)
_miopen = _at(2, stride=4, padding=3, dilation=5)
_direct = _at(2, stride=3, padding=4, dilation=5)

FORMULAS: Mapping[str, Formula] = {
    "aten::convolution": _general,
    "aten::_convolution": _general,
    "aten::convolution_overrideable": _general,
    "aten::conv1d": _direct,
    "aten::conv2d": _direct,
    "aten::conv3d": _direct,
    "aten::cudnn_convolution": _library,
    "aten::cudnn_convolution_relu": _direct,
    "aten::cudnn_convolution_transpose": _transposed_vendor,
    "aten::miopen_convolution": _miopen,
    "aten::miopen_depthwise_convolution": _miopen,
    "aten::mkldnn_convolution": _miopen,
    "aten::thnn_conv2d": _at(3, stride=4, padding=5, dilation=6),
    "aten::_slow_conv2d_forward": _at(3, stride=4, padding=5, dilation=6),
    "aten::slow_conv3d_forward": _at(3, stride=4, padding=5, dilation=6),
    "aten::conv_depthwise3d": _at(3, stride=4, padding=5, dilation=6),
    "aten::_conv_depthwise2d": _at(3, stride=4, padding=5, dilation=6),
    "aten::convolution_backward": _backward,
    "aten::convolution_backward_overrideable": _backward,
}
