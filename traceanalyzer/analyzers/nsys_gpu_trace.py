"""The table `cuda_gpu_trace` of `nsys stats`: every kernel, copy and fill in the order of time.

Without the columns that part shared memory into static and dynamic, which the model keeps as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.analyzers.nsys_tables import (
    StatsTable,
    capture_start,
    copy_operations,
    name_of,
    single_kernels,
)
from traceanalyzer.model.columns import ints, texts, triples

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceanalyzer.model.trace import Trace

_MB = 1e6
_COLUMNS = ("Start (ns)", "Duration (ns)", "CorrId", "GrdX", "GrdY", "GrdZ", "BlkX", "BlkY", "BlkZ", "Reg/Trd",
            "Bytes (MB)", "Throughput (MB/s)", "SrcMemKd", "DstMemKd", "Device", "Ctx", "Strm", "Name")  # fmt: skip
_NO_SHAPE = (None,) * 7


def cuda_gpu_trace(trace: Trace) -> StatsTable:
    """One row per kernel, copy and fill; times count from the beginning of the capture."""
    rows = [*_kernels(trace), *_copies(trace)]
    rows.sort(key=lambda row: (row[0], row[2], row[-1]))
    return StatsTable("cuda_gpu_trace", _COLUMNS, tuple(rows))


def _kernels(trace: Trace) -> Iterator[tuple[Any, ...]]:
    kernels, rows = trace.kernels, single_kernels(trace)
    name = name_of(*texts(kernels, "name"))
    grid, block = triples(kernels, "grid"), triples(kernels, "block")
    registers = ints(kernels, "registers")
    lead, lanes = _lead(trace, "kernels"), _lanes(trace, "kernels")
    for i in rows.tolist():
        shape = (*grid[i].tolist(), *block[i].tolist(), int(registers[i]))
        yield *lead[i].tolist(), *shape, None, None, None, None, *lanes[i], name(i)


def _copies(trace: Trace) -> Iterator[tuple[Any, ...]]:
    copies = trace.copies
    codes, names = copy_operations(trace)
    nbytes = ints(copies, "bytes")
    kind, kinds = texts(copies, "kind")
    ends = [texts(copies, column) for column in ("src_kind", "dst_kind")]
    lead, lanes = _lead(trace, "copies"), _lanes(trace, "copies")
    for i in range(copies.num_rows):
        duration, size = int(lead[i][1]), int(nbytes[i])
        # nsys divides whole numbers: it counts how often the copy would fit into a second
        rate = size * (10**9 // duration) / _MB if size >= 0 and duration > 0 else None
        source, target = (known[code[i]].title() if code[i] >= 0 else None for code, known in ends)
        if kinds[kind[i]] == "memset":  # nsys has the memory that is set in the first of the two
            source, target = target, None
        size_mb = size / _MB if size >= 0 else None
        yield *lead[i].tolist(), *_NO_SHAPE, size_mb, rate, source, target, *lanes[i], names[codes[i]]


def _lead(trace: Trace, table: str) -> Any:
    """Start, duration and correlation, shape (rows, 3)."""
    columns = [ints(trace.tables[table], column) for column in ("ts", "dur", "correlation")]
    columns[0] = columns[0] + capture_start(trace)
    return np.stack(columns, axis=1)


def _lanes(trace: Trace, table: str) -> list[tuple[str, int, int]]:
    """Device as nsys calls it, context and stream of every row."""
    names = {row["device"]: row["name"] for row in trace.devices.to_pylist()}
    columns = [ints(trace.tables[table], column).tolist() for column in ("device", "context", "stream")]
    return [(f"{names.get(d) or ''} ({d})", c, s) for d, c, s in zip(*columns, strict=True)]
