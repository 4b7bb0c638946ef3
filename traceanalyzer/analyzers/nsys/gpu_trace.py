"""The table `cuda_gpu_trace` of `nsys stats`: every kernel, copy and fill in the order of time.

Without the columns that part shared memory into static and dynamic, which the model keeps as one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceanalyzer.analyzers.nsys.tables import (
    StatsTable,
    capture_start,
    copy_operations,
    name_of,
    single_kernels,
)
from traceanalyzer.model.columns import ints, present, texts, triples

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

_MB = 1e6
_COLUMNS = ("Start (ns)", "Duration (ns)", "CorrId", "GrdX", "GrdY", "GrdZ", "BlkX", "BlkY", "BlkZ", "Reg/Trd",
            "Bytes (MB)", "Throughput (MB/s)", "SrcMemKd", "DstMemKd", "Device", "Ctx", "Strm", "Name")  # fmt: skip
_NO_SHAPE = (None,) * 7


def cuda_gpu_trace(trace: Trace) -> StatsTable:
    """One row per kernel, copy and fill; times count from the beginning of the capture."""
    rows = [*_kernels(trace), *_copies(trace)]
    rows.sort(key=lambda row: (row[0], -1 if row[2] is None else row[2], row[-1]))
    return StatsTable("cuda_gpu_trace", _COLUMNS, tuple(rows))


def _kernels(trace: Trace) -> Iterator[tuple[Any, ...]]:
    kernels, rows = trace.kernels, single_kernels(trace)
    name = name_of(*texts(kernels, "name"))
    grid, block = _triples(kernels, "grid"), _triples(kernels, "block")
    registers = _known(ints(kernels, "registers"))
    lead, lanes = _lead(trace, "kernels"), _lanes(trace, "kernels")
    for i in rows.tolist():
        yield *lead[i], *grid[i], *block[i], registers[i], None, None, None, None, *lanes[i], name(i)


def _copies(trace: Trace) -> Iterator[tuple[Any, ...]]:
    copies = trace.copies
    codes, names = copy_operations(trace)
    nbytes = ints(copies, "bytes")
    kind, kinds = texts(copies, "kind")
    ends = [texts(copies, column) for column in ("src_kind", "dst_kind")]
    lead, lanes = _lead(trace, "copies"), _lanes(trace, "copies")
    for i in range(copies.num_rows):
        duration, size = lead[i][1] or 0, int(nbytes[i])
        # nsys divides whole numbers: it counts how often the copy would fit into a second
        rate = size * (10**9 // duration) / _MB if size >= 0 and duration > 0 else None
        source, target = (known[code[i]].title() if code[i] >= 0 else None for code, known in ends)
        if kinds[kind[i]] == "memset":  # nsys has the memory that is set in the first of the two
            source, target = target, None
        size_mb = size / _MB if size >= 0 else None
        yield *lead[i], *_NO_SHAPE, size_mb, rate, source, target, *lanes[i], names[codes[i]]


def _lead(trace: Trace, table: str) -> list[tuple[int | None, ...]]:
    """Start, duration and correlation of every row."""
    start, duration, correlation = (ints(trace.tables[table], c) for c in ("ts", "dur", "correlation"))
    start = start + capture_start(trace)
    return list(zip(start.tolist(), _known(duration), _known(correlation), strict=True))


def _lanes(trace: Trace, table: str) -> list[tuple[str, int | None, int | None]]:
    """Device as nsys calls it, context and stream of every row."""
    names = {row["device"]: row["name"] for row in trace.devices.to_pylist()}
    device, context, stream = (ints(trace.tables[table], c) for c in ("device", "context", "stream"))
    called = [f"{names.get(d) or ''} ({d})" for d in device.tolist()]
    return list(zip(called, _known(context), _known(stream), strict=True))


def _triples(table: pa.Table, column: str) -> list[list[int] | tuple[None, None, None]]:
    """A grid or block of every row."""
    there = present(table, column).tolist()
    return [
        row if known else (None,) * 3
        for row, known in zip(triples(table, column).tolist(), there, strict=True)
    ]


def _known(values: Ints) -> list[int | None]:
    """None for what was not recorded, an empty cell as nsys has it."""
    return [None if value < 0 else value for value in values.tolist()]
