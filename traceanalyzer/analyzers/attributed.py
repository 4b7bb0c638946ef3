"""What each kernel belongs to: by its own launch, else, inside a CUDA graph, by a second trace of the program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints, texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]


def kernel_ops(trace: Trace) -> tuple[Ints, list[str]]:
    """Name of the op of each kernel as (codes, names); -1 where not known."""
    found, names = _own_ops(trace)
    if trace.mapping is None:
        return found, names
    return _carried(trace, found, names, *_own_ops(trace.mapping.trace))


def kernel_modules(trace: Trace) -> tuple[Ints, list[str]]:
    """Path of the module of each kernel as (codes, paths); -1 where not known."""
    codes, paths = texts(trace.kernels, "module")
    found = codes.astype(np.int64)
    if trace.mapping is None:
        return found, paths
    codes, others = texts(trace.mapping.trace.kernels, "module")
    return _carried(trace, found, paths, codes.astype(np.int64), others)


def _own_ops(trace: Trace) -> tuple[Ints, list[str]]:
    op = ints(trace.kernels, "op")
    codes, names = texts(trace.ops, "name")
    found = np.full(len(op), -1, np.int64)
    found[op >= 0] = codes[op[op >= 0]]
    return found, names


def _carried(
    trace: Trace, found: Ints, names: list[str], of_second: Ints, others: list[str]
) -> tuple[Ints, list[str]]:
    """The names with those of the second trace in place of the graph launch's."""
    assert trace.mapping is not None
    numbers = {name: i for i, name in enumerate(names)}
    number = np.array([numbers.setdefault(name, len(numbers)) for name in others] + [-1], np.int64)
    row = trace.mapping.kernel
    mapped = np.flatnonzero(row >= 0)
    found = found.copy()
    found[mapped] = number[of_second[row[mapped]]]
    return found, list(numbers)
