"""Calls of PyTorch's ops as its profiler writes them, for the formulas of their cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch

from traceanalyzer.cost.call import Call, Cost, parse_call
from traceanalyzer.cost.formulas import cost_of

if TYPE_CHECKING:
    from collections.abc import Sequence

TYPES = {
    torch.float32: "float", torch.float64: "double", torch.bfloat16: "c10::BFloat16", torch.float16: "c10::Half",
    torch.int64: "long int", torch.int32: "int", torch.int8: "signed char", torch.bool: "bool",
    torch.float8_e4m3fn: "c10::Float8_e4m3fn",
}  # fmt: skip


def recorded(name: str, arguments: Sequence[Any]) -> Call:
    """The call with these arguments: tensors, lists of tensors, numbers, lists of numbers, booleans, None."""
    dims: list[Any] = []
    types, strides, values = [], [], []
    for argument in arguments:
        kind, shape, steps, value = _entry(argument)
        dims.append(shape)
        types.append(kind)
        strides.append(steps)
        values.append(value)
    kernel = "Kernel<float>"  # tells the type of the tensors in lists
    call = parse_call(name, *(json.dumps(x) for x in (dims, types, strides, values)), kernel)
    assert call is not None
    return call


def _entry(argument: Any) -> tuple[str, list[Any], list[Any], str]:
    if isinstance(argument, torch.Tensor):
        return TYPES[argument.dtype], list(argument.shape), list(argument.stride()), ""
    if isinstance(argument, list) and any(isinstance(t, torch.Tensor) for t in argument):
        shapes = [[] if t is None else list(t.shape) for t in argument]
        return "TensorList", shapes, [[] if t is None else list(t.stride()) for t in argument], ""
    kind = "" if argument is None else "ScalarList" if isinstance(argument, list) else "Scalar"
    return kind, [], [], "" if argument is None else str(argument)


def cost(name: str, *arguments: Any) -> Cost:
    """What our formula says of this call."""
    found = cost_of(recorded(name, arguments))
    assert found is not None, name
    return found


def called(name: str, *arguments: Any) -> Any:
    """What PyTorch's op returns for them."""
    return getattr(torch.ops.aten, name.split("::")[1])(*arguments)


def in_memory(*tensors: torch.Tensor) -> int:
    """Bytes of these tensors, each once."""
    return sum(t.numel() * t.element_size() for t in tensors)
