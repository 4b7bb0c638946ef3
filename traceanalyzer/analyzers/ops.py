"""Ops by name and by name and shapes: host time, and the device time they cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.device_time import DeviceTime, below_same, device_time, weighted_count
from traceanalyzer.analyzers.groups import longest_of
from traceanalyzer.analyzers.results import OpRow, Ops
from traceanalyzer.model.columns import has_any, ints, texts
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]

MAX_SHAPES = 2000
"""Rows by shape that are handed on; dynamic shapes can make as many rows as there are calls."""


class OpsAnalyzer:
    """Totals count the outermost of nested calls of one name only, so that recursion is not counted twice."""

    name: ClassVar[str] = "ops"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Ops:  # noqa: ARG002
        """The ops of all ranks and threads."""
        time = device_time(trace)
        name, names = texts(trace.ops, "name")
        codes = name.astype(np.int64)
        by_name = _rows(trace, time, codes, names, None)
        by_shape: tuple[OpRow, ...] = ()
        if has_any(trace.ops, "input_dims"):
            by_shape = _rows(trace, time, codes, names, texts(trace.ops, "input_dims"))[:MAX_SHAPES]
        return Ops(by_name, by_shape, time.unattributed_ns)


def _rows(
    trace: Trace,
    time: DeviceTime,
    name: Ints,
    names: list[str],
    dims: tuple[NDArray[np.int32], list[str]] | None,
) -> tuple[OpRow, ...]:
    if not len(name):
        return ()
    key = name if dims is None else codes_of(name + 1, dims[0].astype(np.int64) + 1)
    _, first, group = np.unique(key, return_index=True, return_inverse=True)
    count, size = np.bincount(group), len(first)
    outermost = ~below_same(ints(trace.ops, "parent"), group)

    def total(values: Ints, rows: NDArray[np.bool_] | slice = slice(None)) -> list[int]:
        return [int(x) for x in weighted_count(group[rows], values[rows], size)]

    duration = ints(trace.ops, "dur", 0)
    columns = zip(
        first.tolist(),
        count.tolist(),
        total(duration, outermost),
        total(ints(trace.ops, "self_dur", 0)),
        total(time.inside_ns, outermost),
        total(time.own_ns),
        total(time.kernels_inside, outermost),
        longest_of(group, np.maximum(duration, 0), size).tolist(),
        strict=True,
    )
    made = [
        OpRow(
            names[name[row]] if name[row] >= 0 else "(no name)",
            None if dims is None or dims[0][row] < 0 else dims[1][dims[0][row]],
            *numbers,
        )
        for row, *numbers in columns
    ]
    made.sort(key=lambda r: (-r.self_device_ns, -r.self_ns, r.name, r.input_dims or ""))
    return tuple(made)
