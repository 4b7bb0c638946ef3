"""The rules of `nsys analyze`, with its columns and definitions, from any trace.

Each gives a table: the longest first, at most `ROWS` of them, as nsys does.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.nsys.table import StatsTable
from traceanalyzer.analyzers.nsys.tables import capture_start
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import union
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]

ROWS = 50
GAP_NS = 500_000_000
UTILISATION_PERCENT = 50.0
CHUNKS = 30
"""The defaults of nsys: gaps of 500 ms, less than 50 % of use, in one of 30 equal parts of a device's time."""
_MB = 1e6
_BLOCKING = ("cudaDeviceSynchronize", "cudaStreamSynchronize", "cuCtxSynchronize", "cuStreamSynchronize")
_COPY_COLUMNS = ("Duration (ns)", "Start (ns)", "Src Kind", "Dst Kind", "Bytes (MB)", "PID", "Device ID",
                 "Context ID", "Stream ID", "API Name")  # fmt: skip


def cuda_memcpy_async(trace: Trace) -> StatsTable:
    """Asynchronous copies from or to pageable memory: they hold the host up like synchronous ones."""
    calls = _api_names(trace)
    pageable = (_kinds(trace, "src_kind") == "pageable") | (_kinds(trace, "dst_kind") == "pageable")
    return _copies(
        "cuda_memcpy_async",
        trace,
        _is(trace, "memcpy") & pageable & _named(calls, "memcpy", asynchronous=True),
    )


def cuda_memcpy_sync(trace: Trace) -> StatsTable:
    """Synchronous copies; within a device they do not hold the host up."""
    calls, direction = _api_names(trace), _kinds(trace, "direction")
    blocking = _named(calls, "memcpy", asynchronous=False) & (direction != "DtoD")
    return _copies("cuda_memcpy_sync", trace, _is(trace, "memcpy") & blocking)


def cuda_memset_sync(trace: Trace) -> StatsTable:
    """Synchronous fills of pinned or managed memory."""
    hosted = np.isin(_kinds(trace, "dst_kind"), ("pinned", "managed"))
    calls = _named(_api_names(trace), "memset", asynchronous=False)
    return _copies("cuda_memset_sync", trace, _is(trace, "memset") & hosted & calls)


def cuda_api_sync(trace: Trace) -> StatsTable:
    """Calls that hold the host up until the device is through with all that was issued."""
    calls = trace.api_calls
    codes, names = texts(calls, "name")
    blocking = np.array([*(n.startswith(_BLOCKING) for n in names), False])[codes]
    pid, tid, start, length = (ints(calls, c) for c in ("pid", "tid", "ts", "dur"))
    rows = _longest(np.flatnonzero(blocking), length, start)
    epoch, rank = capture_start(trace), ints(calls, "rank")
    columns = ("Duration (ns)", "Start (ns)", "PID", "TID", "API Name")
    found = [(int(length[i]), int(start[i]) + epoch, int(pid[i]), int(tid[i]), names[codes[i]]) for i in rows]
    return StatsTable.of_rows("cuda_api_sync", columns, found, rank[rows].tolist())


def gpu_gaps(trace: Trace, gap_ns: int = GAP_NS) -> StatsTable:
    """Stretches in which a device has nothing to do, between its first and its last work."""
    found: list[tuple[int, tuple[Any, ...]]] = []
    for rank, pid, device, context, begun, ended in _operations(trace):
        busy = union(begun, ended)
        end, gaps = busy.end, busy.start[1:] - busy.end[:-1]
        found += [
            (rank, (int(gaps[i]), int(end[i]), pid, device, context))
            for i in np.flatnonzero(gaps > gap_ns).tolist()
        ]
    found.sort(key=lambda ranked: (-ranked[1][0], ranked[1][1]))
    return _table("gpu_gaps", ("Duration (ns)", "Start (ns)", "PID", "Device ID", "Context ID"), found)


def gpu_time_util(trace: Trace, percent: float = UTILISATION_PERCENT, chunks: int = CHUNKS) -> StatsTable:
    """Parts of a device's time in which it is used for less than `percent`; parts in a row are one.

    Work on several streams at once counts several times, as nsys has it.
    """
    found: list[tuple[int, tuple[Any, ...]]] = []
    for rank, pid, device, context, start, end in _operations(trace):
        first, last = int(start.min()), int(end.max())
        width = max(-(-(last - first) // chunks), 1)
        edges = np.append(np.arange(first, last, width), last)
        used = np.array([_covered(start, end, low, high) for low, high in pairwise(edges.tolist())])
        length = np.diff(edges)
        low = 100 * used < percent * length
        for a, b in _runs(low):
            whole = int(length[a:b].sum())
            percent_used = 100 * int(used[a:b].sum()) / whole
            found.append((rank, (percent_used, whole, int(edges[a]), pid, device, context)))
    found.sort(key=lambda ranked: (ranked[1][0], ranked[1][2]))
    columns = ("In-Use (%)", "Duration (ns)", "Start (ns)", "PID", "Device ID", "Context ID")
    return _table("gpu_time_util", columns, found)


ANALYSES: tuple[Callable[[Trace], StatsTable], ...] = (
    cuda_memcpy_async,
    cuda_memcpy_sync,
    cuda_memset_sync,
    cuda_api_sync,
    gpu_gaps,
    gpu_time_util,
)
"""Each is named for its rule. The seventh of nsys, dx12_mem_ops, is of Direct3D, which no table of ours holds."""


@dataclass(frozen=True, slots=True)
class NsysRules:
    """The tables of the rules by name; their times count from the start of the capture, `capture_start_ns`."""

    tables: Mapping[str, StatsTable]
    capture_start_ns: int


class NsysRulesAnalyzer:
    """The tables of nsys' rules with their defaults, for exports of Nsight Systems; empty for other traces."""

    name: ClassVar[str] = "nsys_rules"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> NsysRules:  # noqa: ARG002
        """One table per rule."""
        of_nsys = any(source.of_nsys for source in trace.sources)
        tables = [analysis(trace) for analysis in ANALYSES] if of_nsys else []
        return NsysRules({table.name: table for table in tables}, capture_start(trace))


def _table(name: str, columns: tuple[str, ...], found: list[tuple[int, tuple[Any, ...]]]) -> StatsTable:
    """The first of the rows, each of which comes with its rank."""
    first = found[:ROWS]
    return StatsTable.of_rows(name, columns, [row for _, row in first], [rank for rank, _ in first])


def _covered(start: Ints, end: Ints, low: int, high: int) -> int:
    return int(np.maximum(np.minimum(end, high) - np.maximum(start, low), 0).sum())


def _runs(flags: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """(first, end) of each stretch of set flags."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _operations(trace: Trace) -> Iterator[tuple[int, int, int, int, Ints, Ints]]:
    """Per process, device and context: rank, pid (-1: unknown), device, context, starts and ends of its work.

    The times are on the capture's clock.
    """
    columns = ("rank", "device", "context", "ts", "dur")
    rows = [np.stack([ints(t, c, 0) for c in columns]) for t in (trace.kernels, trace.copies) if t.num_rows]
    if not rows:
        return
    rank, device, context, start, length = np.concatenate(rows, axis=1)
    start = start + capture_start(trace)
    pids, group = _pids(trace), codes_of(rank, device, context)
    _, first = np.unique(group, return_index=True)
    for at in first.tolist():
        own = group == group[at]
        yield (
            int(rank[at]),
            pids.get(int(rank[at]), -1),
            int(device[at]),
            int(context[at]),
            start[own],
            start[own] + length[own],
        )


def _pids(trace: Trace) -> dict[int, int]:
    """The process of each rank, by the calls that it made."""
    rank, first = np.unique(ints(trace.api_calls, "rank"), return_index=True)
    pid = ints(trace.api_calls, "pid")
    return {int(r): int(pid[i]) for r, i in zip(rank, first, strict=True)}


def _copies(name: str, trace: Trace, chosen: NDArray[np.bool_]) -> StatsTable:
    copies = trace.copies
    start, length, nbytes, rank, device, context, stream = (
        ints(copies, c) for c in ("ts", "dur", "bytes", "rank", "device", "context", "stream")
    )
    source, target, calls = _kinds(trace, "src_kind"), _kinds(trace, "dst_kind"), _api_names(trace)
    pids, epoch = _pids(trace), capture_start(trace)
    longest = _longest(np.flatnonzero(chosen), length, start)
    rows = tuple(
        (
            int(length[i]), int(start[i]) + epoch, source[i].title(), target[i].title(), int(nbytes[i]) / _MB,
            pids.get(int(rank[i]), -1), int(device[i]), int(context[i]), int(stream[i]), calls[i],
        )
        for i in longest
    )  # fmt: skip
    return StatsTable.of_rows(name, _COPY_COLUMNS, rows, rank[longest].tolist())


def _longest(rows: Ints, length: Ints, start: Ints) -> list[int]:
    order: list[int] = rows[np.lexsort((start[rows], -length[rows]))][:ROWS].tolist()
    return order


def _is(trace: Trace, kind: str) -> NDArray[np.bool_]:
    flags: NDArray[np.bool_] = _kinds(trace, "kind") == kind
    return flags


def _kinds(trace: Trace, column: str) -> NDArray[Any]:
    codes, names = texts(trace.copies, column)
    return np.array([*names, ""], dtype=object)[codes]


def _api_names(trace: Trace) -> NDArray[Any]:
    """The call behind each copy, "" where it is not known."""
    codes, names = texts(trace.api_calls, "name")
    call = ints(trace.copies, "api_call")
    of_call = np.append(np.array([*names, ""], dtype=object)[codes], "")
    return of_call[call]


def _named(calls: NDArray[Any], what: str, *, asynchronous: bool) -> NDArray[np.bool_]:
    return np.array([what in c.lower() and ("async" in c.lower()) is asynchronous for c in calls], np.bool_)
