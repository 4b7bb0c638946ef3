"""The table `cuda_gpu_trace` of `nsys stats`: every kernel, copy and fill in the order of time.

Without the columns that part shared memory into static and dynamic, which the model keeps as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from traceanalyzer.analyzers.nsys.table import Labels, StatsTable, in_order, known
from traceanalyzer.analyzers.nsys.tables import capture_start, copy_operations, single_kernels
from traceanalyzer.model.columns import ints, present, text_column, texts, triples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

_MB = 1e6


def cuda_gpu_trace(trace: Trace) -> StatsTable:
    """One row per kernel, copy and fill; times count from the beginning of the capture."""
    rows = single_kernels(trace)
    start, duration, correlation, device, context, stream = (
        np.concatenate((ints(trace.kernels, column)[rows], ints(trace.copies, column)))
        for column in ("ts", "dur", "correlation", "device", "context", "stream")
    )
    start = start + capture_start(trace)
    name = _names(trace, rows)
    columns = {
        "Start (ns)": start, "Duration (ns)": known(duration), "CorrId": known(correlation),
        **_shapes(trace, rows), **_moved(trace, len(rows)),
        "Device": _device(trace, device), "Ctx": known(context), "Strm": known(stream), "Name": name.column,
    }  # fmt: skip
    return StatsTable("cuda_gpu_trace", in_order(columns, start, correlation, name.alphabetical))


def _names(trace: Trace, rows: Ints) -> Labels:
    kernel, kernels = texts(trace.kernels, "name")
    copies = copy_operations(trace)
    codes = np.concatenate((kernel[rows].astype(np.int64), copies.codes + len(kernels)))
    return Labels(codes, [*kernels, *copies.names])


def _shapes(trace: Trace, rows: Ints) -> dict[str, pa.Array]:
    """Grid, block and registers of the kernels; copies have none."""
    none = np.full(trace.copies.num_rows, -1)
    columns = {}
    for what, column in (("Grd", "grid"), ("Blk", "block")):
        there = np.append(present(trace.kernels, column)[rows], none >= 0)
        for axis, values in zip("XYZ", triples(trace.kernels, column)[rows].T, strict=True):
            columns[f"{what}{axis}"] = known(np.append(values, none), there)
    columns["Reg/Trd"] = known(np.append(ints(trace.kernels, "registers")[rows], none))
    return columns


def _moved(trace: Trace, kernels: int) -> dict[str, pa.Array]:
    """Size, throughput and kinds of memory of the copies, behind the rows of the kernels, which have none."""
    none = np.full(kernels, -1)
    size, duration = ints(trace.copies, "bytes"), ints(trace.copies, "dur", 0)
    timed = (size >= 0) & (duration > 0)
    # nsys divides whole numbers: it counts how often the copy would fit into a second
    per_second = size * (10**9 // np.where(timed, duration, 1))
    kind, kinds = texts(trace.copies, "kind")
    is_fill = np.array([*(k == "memset" for k in kinds), False])[kind]
    (source, sources), (target, targets) = (texts(trace.copies, c) for c in ("src_kind", "dst_kind"))
    target = np.where(target >= 0, target + len(sources), -1)
    # nsys has the memory that is set in the first of the two
    source, target = np.where(is_fill, target, source), np.where(is_fill, source, target)
    names = [name.title() for name in (*sources, *targets)]
    return {
        "Bytes (MB)": pa.array(np.append(none, size) / _MB, mask=np.append(none, size) < 0),
        "Throughput (MB/s)": pa.array(
            np.append(none, per_second) / _MB, mask=np.append(none >= 0, timed) == 0
        ),
        "SrcMemKd": text_column(np.append(none, source), names),
        "DstMemKd": text_column(np.append(none, target), names),
    }


def _device(trace: Trace, device: Ints) -> pa.Array:
    """Devices as nsys calls them."""
    names = {row["device"]: row["name"] for row in trace.devices.to_pylist()}
    distinct, codes = np.unique(device, return_inverse=True)
    return text_column(codes, [f"{names.get(d) or ''} ({d})" for d in distinct.tolist()])
