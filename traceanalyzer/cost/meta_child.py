"""Run by `meta.py` in a process of its own: PyTorch's registered ops on its meta device, where nothing is computed.

Reads a JSON list of recorded calls [name, dims, types, strides, values] and writes a list of [flops, bytes, counted]
or null. A trace is not trusted: only `aten::` ops by their schema, with arguments of the schema's types, on tensors of
sane sizes; no op that returns a list (it could be of any length), none without a kernel for the meta device (it may run
Python or loop over sizes), none without a tensor argument.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from importlib import import_module
from typing import Any

NAME = re.compile(r"aten::[a-z_][a-z0-9_]{0,80}")
MAX_ELEMENTS, MAX_TENSORS, MAX_DIMS, MAX_VALUE = 1 << 40, 512, 16, 200
DTYPES = {
    "float": "float32", "double": "float64", "c10::Half": "float16", "c10::BFloat16": "bfloat16", "bool": "bool",
    "signed char": "int8", "unsigned char": "uint8", "short int": "int16", "int": "int32", "long int": "int64",
    "c10::Float8_e4m3fn": "float8_e4m3fn", "c10::Float8_e5m2": "float8_e5m2",
    "c10::complex<float>": "complex64", "c10::complex<double>": "complex128",
}  # fmt: skip
# Schema types of scalars and what a recorded value must be.
SCALARS: dict[str, tuple[type, ...]] = {
    "int": (int,), "SymInt": (int,), "float": (float, int), "bool": (bool,), "number": (int, float, bool),
    "Scalar": (int, float, bool),
}  # fmt: skip


class Refused(Exception):
    """The call is not one that is run."""


def run(calls: list[list[Any]]) -> list[tuple[float, float, bool] | None]:
    """FLOPs, bytes of inputs and outputs, and whether FLOPs were counted by a formula of PyTorch's; null if refused."""
    torch = import_module("torch")
    counter = import_module("torch.utils.flop_counter")
    found: list[tuple[float, float, bool] | None] = []
    for call in calls:
        try:
            found.append(_run(torch, counter, *call))
        except Exception:  # whatever an op says to hostile arguments, the next call is looked at
            found.append(None)
    return found


def _run(torch: Any, counter: Any, name: str, *columns: str | None) -> tuple[float, float, bool]:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Refused(name)
    dims, types, strides, values = (json.loads(text) if text else [] for text in columns)
    packet = getattr(torch.ops.aten, name.removeprefix("aten::"))
    for overload in packet.overloads():
        op = getattr(packet, overload)
        if len(op._schema.arguments) != len(dims) or not _allowed(torch, op):
            continue
        try:
            arguments = [
                _argument(
                    torch,
                    str(a.type),
                    d,
                    *(column[i] if i < len(column) else "" for column in (types, strides, values)),
                )
                for i, (a, d) in enumerate(zip(op._schema.arguments, dims, strict=True))
            ]
        except Refused:
            continue
        positional = [v for a, v in zip(op._schema.arguments, arguments, strict=True) if not a.kwarg_only]
        named = {a.name: v for a, v in zip(op._schema.arguments, arguments, strict=True) if a.kwarg_only}
        with counter.FlopCounterMode(display=False) as count:
            result = op(*positional, **named)
        tensors = [t for v in (*arguments, result) for t in _tensors(torch, v)]
        flops = float(count.get_total_flops())
        counted = packet in counter.flop_registry
        return flops, float(sum(t.numel() * t.element_size() for t in tensors)), counted
    raise Refused(name)


def _allowed(torch: Any, op: Any) -> bool:
    schema = op._schema
    returns = [str(r.type) for r in schema.returns]
    takes = any("Tensor" in str(a.type) for a in schema.arguments)
    on_meta = torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), "Meta")
    return bool(takes and on_meta and returns and set(returns) == {"Tensor"})


def _argument(torch: Any, kind: str, dims: Any, dtype: Any, strides: Any, value: Any) -> Any:
    optional = kind.startswith("Optional[")
    kind = kind.removeprefix("Optional[").removesuffix("]") if optional else kind
    if kind == "Tensor":
        if dtype in DTYPES:
            return _tensor(torch, dims, dtype, strides)
        if optional and dtype == "":
            return None
        raise Refused(dtype)
    if optional and value == "":
        return None
    if not isinstance(value, str) or not value or len(value) > MAX_VALUE:
        raise Refused(value)
    if kind.startswith("List["):
        wanted = SCALARS.get(kind[5:-1])
        read = _literal(value)
        if (
            wanted
            and isinstance(read, list)
            and len(read) <= MAX_DIMS
            and all(_fits(v, wanted) for v in read)
        ):
            return read
        raise Refused(value)
    read = _literal(value)
    if kind in SCALARS and _fits(read, SCALARS[kind]):
        return read
    raise Refused(kind)


def _literal(value: str) -> Any:
    try:
        return ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise Refused(value) from None


def _fits(value: Any, wanted: tuple[type, ...]) -> bool:
    return type(value) in wanted and abs(value) <= MAX_ELEMENTS


def _tensor(torch: Any, dims: Any, dtype: str, strides: Any) -> Any:
    if not isinstance(dims, list) or len(dims) > MAX_DIMS or not all(type(n) is int and n >= 0 for n in dims):
        raise Refused(dims)
    elements = 1
    for n in dims:
        elements *= max(n, 1)
    if elements > MAX_ELEMENTS:
        raise Refused(dims)
    kind = getattr(torch, DTYPES[dtype])
    fits = isinstance(strides, list) and len(strides) == len(dims)
    if fits and all(type(s) is int and 0 <= s <= MAX_ELEMENTS for s in strides):
        return torch.empty_strided(dims, strides, dtype=kind, device="meta")
    return torch.empty(dims, dtype=kind, device="meta")


def _tensors(torch: Any, value: Any) -> list[Any]:
    if isinstance(value, torch.Tensor):
        return [value]
    return [t for v in value for t in _tensors(torch, v)] if isinstance(value, tuple) else []


def _limit() -> None:
    """A little time and memory, whatever the trace holds."""
    try:
        import resource
    except ImportError:  # Windows; the parent's patience is the limit there
        return
    resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _limit()
    sys.stdout.write(json.dumps(run(json.load(sys.stdin))))
