"""What torch.compile compiled, and where it had to leave the compiled code."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.device_time import device_time
from traceanalyzer.analyzers.phases_results import Compiled, GraphBreak
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.tree import inherit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

_REGION = "Torch-Compiled Region"
_RESUME = "torch_dynamo_resume_in_"


def compiled(trace: Trace) -> Compiled | None:
    """None when no compiled region was recorded, as an op or an annotation."""
    parts = [_regions(trace, table) for table in ("ops", "annotations")]
    names = {name for found, _, _ in parts for name in found}
    if not names:
        return None
    kernel_ns = int(np.maximum(ints(trace.kernels, "dur", 0), 0).sum())
    rows = parts[0][1]
    inside = _device_ns(trace, rows) if len(rows) else _launched_ns(trace, parts[1][1])
    return Compiled(
        regions=len(names),
        calls=sum(len(rows) for _, rows, _ in parts),
        host_ns=sum(ns for _, _, ns in parts),
        share=min(inside / kernel_ns, 1.0) if kernel_ns else 0.0,
        breaks=_breaks(trace),
    )


def _regions(trace: Trace, table: str) -> tuple[set[str], Ints, int]:
    """Names, rows and host time of the regions in a table; on the host only."""
    rows_of = trace.tables[table]
    codes, names = texts(rows_of, "name")
    is_region = np.array([*(n.startswith(_REGION) for n in names), False])[codes]
    if table == "annotations":
        is_region &= ~np.asarray(rows_of.column("on_gpu").combine_chunks().fill_null(False))
    rows = np.flatnonzero(is_region)
    used = {names[code] for code in np.unique(codes[rows]).tolist()}
    return used, rows, int(ints(rows_of, "dur", 0)[rows].sum())


def _device_ns(trace: Trace, regions: Ints) -> int:
    """Kernel and copy time of ops inside the regions; a region inside another counts once."""
    parent, depth = ints(trace.ops, "parent"), ints(trace.ops, "depth")
    mark = np.full(trace.ops.num_rows, -1, np.int64)
    mark[regions] = regions
    inside = inherit(parent, depth, mark) >= 0
    return int(device_time(trace).own_ns[inside].sum())


def _launched_ns(trace: Trace, regions: Ints) -> int:
    """Kernel time that was launched within ranges on the same thread."""
    call = ints(trace.kernels, "api_call")
    duration = np.maximum(ints(trace.kernels, "dur", 0), 0)
    linked = np.flatnonzero(call >= 0)
    start = ints(trace.annotations, "ts")[regions]
    end = start + ints(trace.annotations, "dur", 0)[regions]
    of = {c: ints(trace.annotations, c)[regions] for c in ("rank", "pid", "tid")}
    at = {c: ints(trace.api_calls, c)[call[linked]] for c in ("rank", "pid", "tid", "ts")}
    found = 0
    for key in sorted(set(zip(*(c.tolist() for c in of.values()), strict=True))):
        own = np.logical_and.reduce([of[c] == k for c, k in zip(of, key, strict=True)])
        mine = np.logical_and.reduce([at[c] == k for c, k in zip(of, key, strict=True)])
        index = np.searchsorted(start[own], at["ts"][mine], side="right") - 1
        reached = np.maximum.accumulate(end[own])
        inside = (index >= 0) & (at["ts"][mine] < reached[np.maximum(index, 0)])
        found += int(duration[linked[mine]][inside].sum())
    return found


def _breaks(trace: Trace) -> tuple[GraphBreak, ...]:
    """Functions in which Dynamo resumed, most often called first."""
    codes, names = texts(trace.python_calls, "function")
    count = np.bincount(codes[codes >= 0], minlength=len(names))
    found = [
        GraphBreak(name.removeprefix(_RESUME), int(n))
        for name, n in zip(names, count, strict=True)
        if n and name.startswith(_RESUME)
    ]
    return tuple(sorted(found, key=lambda b: (-b.calls, b.function)))
