"""One call of an op as the profiler recorded it: shapes, types, strides and the values of scalars.

The profiler writes dims, types, strides and values as parallel lists, one entry per argument. A list of tensors
has a list of shapes; output shapes are never recorded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import msgspec

from traceanalyzer.cost.inputs import types_of

if TYPE_CHECKING:
    from collections.abc import Callable

# PyTorch's C++ type names → (our name, bytes per element).
DTYPES = {
    "float": ("fp32", 4.0),
    "double": ("fp64", 8.0),
    "c10::Half": ("fp16", 2.0),
    "c10::BFloat16": ("bf16", 2.0),
    "bool": ("bool", 1.0),
    "signed char": ("int8", 1.0),
    "char": ("int8", 1.0),
    "unsigned char": ("int8", 1.0),
    "short int": ("int16", 2.0),
    "short": ("int16", 2.0),
    "unsigned short": ("int16", 2.0),
    "int": ("int32", 4.0),
    "unsigned int": ("int32", 4.0),
    "long int": ("int64", 8.0),
    "long": ("int64", 8.0),
    "unsigned long": ("int64", 8.0),
    "c10::complex<float>": ("complex64", 8.0),
    "c10::complex<double>": ("complex128", 16.0),
    "c10::Float8_e4m3fn": ("fp8", 1.0),
    "c10::Float8_e5m2": ("fp8", 1.0),
    "c10::Float8_e4m3fnuz": ("fp8", 1.0),
    "c10::Float8_e5m2fnuz": ("fp8", 1.0),
    "c10::Float8_e8m0fnu": ("fp8", 1.0),
    "c10::Float4_e2m1fn_x2": ("fp4", 1.0),  # one byte holds two values
}
# The type of a list's tensors is not recorded: the name of the kernel may tell it.
_KERNEL_DTYPES = (
    (re.compile(r"BFloat16|bfloat16"), "c10::BFloat16"),
    (re.compile(r"\bc10::Half|__half\b"), "c10::Half"),
    (re.compile(r"OpaqueType<1[^0-9]"), "unsigned char"),
    (re.compile(r"OpaqueType<2[^0-9]"), "c10::BFloat16"),
    (re.compile(r"OpaqueType<4[^0-9]"), "float"),
    (re.compile(r"OpaqueType<8[^0-9]"), "double"),
    (re.compile(r"\bdouble\b"), "double"),
    (re.compile(r"\bfloat\b"), "float"),
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor argument. `itemsize` is bytes per element."""

    shape: tuple[int, ...]
    dtype: str
    itemsize: float
    strides: tuple[int, ...] | None = None

    @property
    def elements(self) -> int:
        """Number of elements, repeated ones counted."""
        return prod(self.shape)

    @property
    def bytes(self) -> float:
        """Bytes of the elements that exist: a dimension of stride 0 is one element in memory."""
        if self.strides is None or len(self.strides) != len(self.shape):
            return self.elements * self.itemsize
        held = prod(n if stride else min(n, 1) for n, stride in zip(self.shape, self.strides, strict=True))
        return held * self.itemsize


@dataclass(frozen=True, slots=True)
class Call:
    """One distinct call. `inputs[i]` is a tensor, a list of tensors or None (a scalar, nothing, unknown)."""

    name: str
    inputs: tuple[Tensor | tuple[Tensor, ...] | None, ...]
    values: tuple[str, ...]

    def tensor(self, index: int) -> Tensor:
        """The tensor at this place.

        Raises:
            Unknown: there is none, or its shape was not recorded.
        """
        found = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(found, Tensor):
            raise Unknown(f"{self.name}: argument {index} is no tensor of known shape")
        return found

    def optional(self, index: int) -> Tensor | None:
        """The tensor at this place if there is one."""
        found = self.inputs[index] if index < len(self.inputs) else None
        return found if isinstance(found, Tensor) else None

    def tensors(self, index: int) -> tuple[Tensor, ...]:
        """The list of tensors at this place.

        Raises:
            Unknown: there is none, or its shapes were not recorded.
        """
        found = self.inputs[index] if index < len(self.inputs) else None
        if not isinstance(found, tuple):
            raise Unknown(f"{self.name}: argument {index} is no list of tensors of known shape")
        return found

    def every_tensor(self) -> tuple[Tensor, ...]:
        """All tensors in the order of the arguments, those in lists too."""
        flat: list[Tensor] = []
        for entry in self.inputs:
            if isinstance(entry, Tensor):
                flat.append(entry)
            elif entry is not None:
                flat.extend(entry)
        return tuple(flat)

    def value(self, index: int) -> str:
        """A scalar as text; empty when it was not recorded."""
        return self.values[index] if index < len(self.values) else ""

    def flag(self, index: int) -> bool:
        """A boolean.

        Raises:
            Unknown: it was not recorded.
        """
        if self.value(index) not in ("True", "False"):
            raise Unknown(f"{self.name}: value {index} was not recorded")
        return self.value(index) == "True"

    def integers(self, index: int) -> tuple[int, ...]:
        """A list of integers such as a stride; a single one is a list of one.

        Raises:
            Unknown: it was not recorded.
        """
        found = re.fullmatch(r"\[?((?:-?\d+(?:, ?)?)*)\]?", self.value(index))
        if not found or not self.value(index):
            raise Unknown(f"{self.name}: value {index} is no list of integers")
        return tuple(int(n) for n in re.findall(r"-?\d+", found.group(1)))


class Unknown(Exception):
    """A formula lacks something that was not recorded."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The least that an op must do: arithmetic in FLOPs, traffic with memory in bytes.

    `dtype` is the type the arithmetic is done in; `matrix` says that matrix units (Tensor Cores) can do it;
    `assumes` names what had to be assumed because it was not recorded.
    """

    flops: float
    bytes: float
    dtype: str
    matrix: bool = False
    assumes: str = ""


if TYPE_CHECKING:
    Formula = Callable[[Call], Cost]


def parse_call(
    name: str,
    dims: str | None,
    types: str | None,
    strides: str | None,
    values: str | None,
    kernel: str = "",
) -> Call | None:
    """A call from the JSON that the tables keep; None without shapes.

    `kernel` is the name of a kernel that it launched, which tells the type of a list's tensors.
    """
    if not dims or not types:
        return None
    try:
        shapes, kinds = msgspec.json.decode(dims), types_of(types)
        steps = msgspec.json.decode(strides) if strides else []
        said = msgspec.json.decode(values) if values else []
    except msgspec.DecodeError:
        return None
    if not isinstance(shapes, list) or not isinstance(steps, list):
        return None
    listed = next((dtype for pattern, dtype in _KERNEL_DTYPES if pattern.search(kernel)), None)
    inputs = tuple(
        _argument(shape, kinds[i] if i < len(kinds) else "", steps[i] if i < len(steps) else None, listed)
        for i, shape in enumerate(shapes)
    )
    return Call(name, inputs, tuple(map(str, said)) if isinstance(said, list) else ())


def _argument(shape: Any, kind: str, steps: Any, listed: str | None) -> Tensor | tuple[Tensor, ...] | None:
    if not isinstance(shape, list):
        return None
    if kind == "TensorList" or any(isinstance(n, list) for n in shape):
        if not shape or listed is None:
            return None
        many = steps if isinstance(steps, list) and len(steps) == len(shape) else [None] * len(shape)
        tensors = [_tensor(s, listed, st) for s, st in zip(shape, many, strict=True) if isinstance(s, list)]
        return tuple(t for t in tensors if t is not None)
    return _tensor(shape, kind, steps)


def _tensor(shape: list[Any], kind: str, steps: Any) -> Tensor | None:
    if kind not in DTYPES or not all(isinstance(n, int) for n in shape):
        return None
    dtype, itemsize = DTYPES[kind]
    strides = tuple(steps) if isinstance(steps, list) and all(isinstance(n, int) for n in steps) else None
    return Tensor(tuple(shape), dtype, itemsize, strides)
