"""The tables of `nsys stats`, with its columns and definitions, from any trace.

Definitions are those of the report scripts that ship with Nsight Systems: groups by full name, sample standard
deviation (0 for a single row), medians between the middle two, percentages of the table's total.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.analyzers.kernel_metrics import base_name
from traceanalyzer.model.columns import ints, present, texts, triples
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

_TIMES = ("Avg (ns)", "Med (ns)", "Min (ns)", "Max (ns)", "StdDev (ns)")
_WAYS = {"H": "Host", "D": "Device", "A": "Array", "P": "Peer"}


@dataclass(frozen=True)
class StatsTable:
    """One table: columns as nsys calls them, rows of int, float (not rounded), text or None.

    `ranks` is the rank of each row, which no column of nsys tells; empty where rows sum up several.
    """

    name: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    ranks: tuple[int, ...] = ()


@dataclass(frozen=True)
class Groups:
    """Rows put together by a key; arrays of shape (groups,). `first` is one row of each group."""

    first: Ints
    count: Ints
    total: Ints
    mean: NDArray[np.float64]
    median: NDArray[np.float64]
    low: Ints
    high: Ints
    deviation: NDArray[np.float64]

    def spread(self, group: int) -> tuple[float, float, int, int, float]:
        """Average, median, minimum, maximum and deviation of one group."""
        return (
            float(self.mean[group]), float(self.median[group]), int(self.low[group]), int(self.high[group]),
            float(self.deviation[group]),
        )  # fmt: skip


def grouped(key: Ints, values: Ints) -> Groups:
    """The statistics of `values` for each distinct key, in the order of the keys."""
    if not len(key):
        nothing, unknown = np.empty(0, np.int64), np.empty(0, np.float64)
        return Groups(nothing, nothing, nothing, unknown, unknown, nothing, nothing, unknown)
    order = np.lexsort((values, key))
    key, values = key[order], values[order]
    start = np.flatnonzero(np.diff(key, prepend=key[0] - 1))
    end = np.append(start[1:], len(key))
    count = end - start
    total = np.add.reduceat(values, start)
    mean = total / count
    squares = (values - np.repeat(mean, count)) ** 2
    spread = np.add.reduceat(squares, start)
    low, high = values[start], values[end - 1]
    median = (values[start + (count - 1) // 2] + values[start + count // 2]) / 2
    deviation = np.sqrt(spread / np.maximum(count - 1, 1))
    return Groups(order[start], count, total, mean, median, low, high, deviation)


def capture_start(trace: Trace) -> int:
    """What makes a time on the trace's axis one since the capture began; 0 if that is not known."""
    found = [s.metadata.get("capture_offset_ns") for s in trace.sources if s.of_nsys]
    return found[0] if len(found) == 1 and isinstance(found[0], int) else 0


def _summary(
    name: str, key: Ints, duration: Ints, labels: Mapping[str, Callable[[int], str]], unit: str = "Instances"
) -> StatsTable:
    """The usual table of durations: share, total, count, spread, then labels made from a row of the group."""
    groups = grouped(key, duration)
    everything = int(groups.total.sum())
    rows: list[tuple[Any, ...]] = []
    for i, first in enumerate(groups.first.tolist()):
        total = int(groups.total[i])
        share = 100 * total / everything if everything else 0.0
        made = (label(first) for label in labels.values())
        rows.append((share, total, int(groups.count[i]), *groups.spread(i), *made))
    rows.sort(key=lambda r: (-r[1], *r[8:]))
    return StatsTable(name, ("Time (%)", "Total Time (ns)", unit, *_TIMES, *labels), tuple(rows))


def _durations(trace: Trace, table: str) -> Ints:
    return np.maximum(ints(trace.tables[table], "dur", 0), 0)


def name_of(codes: NDArray[Any], names: Sequence[str]) -> Callable[[int], str]:
    """The name of a row, empty for one without."""
    return lambda row: names[codes[row]] if codes[row] >= 0 else ""


def cuda_api_sum(trace: Trace) -> StatsTable:
    """API calls by name."""
    codes, names = texts(trace.api_calls, "name")
    labels = {"Name": name_of(codes, names)}
    return _summary(
        "cuda_api_sum", codes.astype(np.int64), _durations(trace, "api_calls"), labels, "Num Calls"
    )


def single_kernels(trace: Trace) -> Ints:
    """Rows of kernels without the graphs that were traced as a whole: nsys has these in a table of their own."""
    kernels = trace.kernels
    of_one = present(kernels, "grid") | present(kernels, "graph_node") | present(kernels, "registers")
    return np.flatnonzero(~present(kernels, "graph") | of_one)


def cuda_gpu_kern_sum(trace: Trace) -> StatsTable:
    """Kernels by name."""
    rows = single_kernels(trace)
    codes, names = texts(trace.kernels, "name")
    codes = codes[rows]
    duration = _durations(trace, "kernels")[rows]
    return _summary("cuda_gpu_kern_sum", codes.astype(np.int64), duration, {"Name": name_of(codes, names)})


def cuda_gpu_kern_sum_base(trace: Trace) -> StatsTable:
    """Kernels by name without template and arguments."""
    rows = single_kernels(trace)
    codes, names = texts(trace.kernels, "name")
    known: dict[str, int] = {}
    base = np.array([*(known.setdefault(base_name(n), len(known)) for n in names), -1], np.int64)[codes]
    labels = {"Name": name_of(base[rows], list(known))}
    return _summary("cuda_gpu_kern_sum_base", base[rows], _durations(trace, "kernels")[rows], labels)


def cuda_gpu_kern_gb_sum(trace: Trace) -> StatsTable:
    """Kernels by name, grid and block."""
    rows = single_kernels(trace)
    codes, names = texts(trace.kernels, "name")
    codes = codes[rows]
    grid, block = (triples(trace.kernels, name)[rows] for name in ("grid", "block"))
    key = codes_of(codes.astype(np.int64), *grid.T, *block.T)
    labels = {
        "GridXYZ": lambda row: " ".join(f"{n:4d}" for n in grid[row]),
        "BlockXYZ": lambda row: " ".join(f"{n:4d}" for n in block[row]),
        "Name": name_of(codes, names),
    }
    return _summary("cuda_gpu_kern_gb_sum", key, _durations(trace, "kernels")[rows], labels)


def copy_operations(trace: Trace) -> tuple[Ints, list[str]]:
    """What nsys calls each copy: `[CUDA memcpy Host-to-Device]`, as (codes, names)."""
    kind, kinds = texts(trace.copies, "kind")
    way, ways = texts(trace.copies, "direction")
    name, names = texts(trace.copies, "name")
    unified = np.array([*(n.endswith("(Unified memory)") for n in names), False])[name]
    key = codes_of(kind.astype(np.int64), way.astype(np.int64), unified.astype(np.int64))
    _, first, codes = np.unique(key, return_index=True, return_inverse=True)
    labels = [
        _operation(kinds[kind[i]], ways[way[i]] if way[i] >= 0 else None, bool(unified[i]))
        for i in first.tolist()
    ]
    return codes.astype(np.int64), labels


def _operation(kind: str, way: str | None, unified: bool) -> str:
    if kind == "memset":
        return "[CUDA memset]"
    ends = (way or "").split("to")
    spelled = "-to-".join(_WAYS.get(e, e) for e in ends) if len(ends) == 2 else "Unknown"
    return f"[CUDA memcpy {'Unified ' if unified else ''}{spelled}]"


def cuda_gpu_mem_time_sum(trace: Trace) -> StatsTable:
    """Copies and fills by operation: time."""
    codes, names = copy_operations(trace)
    labels = {"Operation": name_of(codes, names)}
    return _summary("cuda_gpu_mem_time_sum", codes, _durations(trace, "copies"), labels, "Count")


def cuda_gpu_mem_size_sum(trace: Trace) -> StatsTable:
    """Copies and fills by operation: size in MB of 10^6 bytes; rows of unknown size are left out."""
    codes, names = copy_operations(trace)
    known = np.flatnonzero(ints(trace.copies, "bytes") >= 0)
    groups = grouped(codes[known], ints(trace.copies, "bytes")[known])
    rows = []
    for i, first in enumerate(groups.first.tolist()):
        spread = (value / 1e6 for value in groups.spread(i))
        rows.append((int(groups.total[i]) / 1e6, int(groups.count[i]), *spread, names[codes[known[first]]]))
    rows.sort(key=lambda r: (-r[0], r[-1]))
    sizes = tuple(f"{what} (MB)" for what in ("Avg", "Med", "Min", "Max", "StdDev"))
    return StatsTable("cuda_gpu_mem_size_sum", ("Total (MB)", "Count", *sizes, "Operation"), tuple(rows))


def cuda_gpu_sum(trace: Trace) -> StatsTable:
    """Kernels, copies and fills by name."""
    key, duration, categories, names = _device_operations(trace)
    labels = {"Category": name_of(key, categories), "Operation": name_of(key, names)}
    return _summary("cuda_gpu_sum", key, duration, labels)


def cuda_api_gpu_sum(trace: Trace) -> StatsTable:
    """API calls, kernels, copies and fills by name."""
    key, duration, categories, names = _device_operations(trace)
    codes, calls = texts(trace.api_calls, "name")
    key = np.concatenate((key, codes.astype(np.int64) + len(names)))
    duration = np.concatenate((duration, _durations(trace, "api_calls")))
    categories, names = [*categories, *(["CUDA_API"] * len(calls))], [*names, *calls]
    labels = {"Category": name_of(key, categories), "Operation": name_of(key, names)}
    return _summary("cuda_api_gpu_sum", key, duration, labels)


def _device_operations(trace: Trace) -> tuple[Ints, Ints, list[str], list[str]]:
    """Key and duration of every kernel and copy; category and name of every key."""
    rows = single_kernels(trace)
    kernel, kernels = texts(trace.kernels, "name")
    copy, copies = copy_operations(trace)
    key = np.concatenate((kernel[rows].astype(np.int64), copy + len(kernels)))
    duration = np.concatenate((_durations(trace, "kernels")[rows], _durations(trace, "copies")))
    categories = ["CUDA_KERNEL"] * len(kernels) + ["MEMORY_OPER"] * len(copies)
    return key, duration, categories, [*kernels, *copies]


def cuda_kern_exec_sum(trace: Trace) -> StatsTable:
    """Launch and execution of kernels by process, thread, device, API function and kernel.

    T is from the call's start until both call and kernel have ended, A the call, Q from the call's end to the
    kernel's start (not counted when the kernel starts first), K the kernel.
    """
    kernels, calls = trace.kernels, trace.api_calls
    rows = single_kernels(trace)
    rows = rows[ints(kernels, "api_call")[rows] >= 0]
    call = ints(kernels, "api_call")[rows]
    start, length = ints(kernels, "ts")[rows], _durations(trace, "kernels")[rows]
    begin, took = ints(calls, "ts")[call], _durations(trace, "api_calls")[call]
    name, names = texts(kernels, "name")
    function, functions = texts(calls, "name")
    name, function = name[rows], function[call]
    pid, tid, device = ints(calls, "pid")[call], ints(calls, "tid")[call], ints(kernels, "device")[rows]
    ranks = ints(kernels, "rank")[rows]
    key = codes_of(ranks, pid, tid, device, function.astype(np.int64), name.astype(np.int64))
    function_of, kernel_of = name_of(function, functions), name_of(name, names)
    queued = start - (begin + took)
    waited = np.flatnonzero(queued >= 0)
    whole, api, kernel = (grouped(key, v) for v in (np.maximum(start + length - begin, took), took, length))
    queue = grouped(key[waited], queued[waited])
    queue_of = {int(key[waited[first]]): i for i, first in enumerate(queue.first.tolist())}
    nothing = (None, None, None, None, 0.0)  # as nsys prints it
    found = []
    for i, first in enumerate(whole.first.tolist()):
        q = queue_of.get(int(key[first]))
        found.append((
            int(whole.total[i]), int(pid[first]), int(tid[first]), int(device[first]), int(whole.count[i]),
            0 if q is None else int(queue.count[q]), *whole.spread(i), *api.spread(i),
            *(nothing if q is None else queue.spread(q)), *kernel.spread(i),
            function_of(first), kernel_of(first),
        ))  # fmt: skip
    found.sort(key=lambda r: (-r[0], *r[1:4], *r[-2:]))
    spreads = tuple(f"{part}{what}" for part in "TAQK" for what in _TIMES)
    columns = ("PID", "TID", "DevId", "Count", "QCount", *spreads, "API Name", "Kernel Name")
    return StatsTable("cuda_kern_exec_sum", columns, tuple(r[1:] for r in found))


def osrt_sum(trace: Trace) -> StatsTable:
    """Calls into the operating system by name."""
    category, categories = texts(trace.others, "category")
    rows = np.flatnonzero(np.array([*(c == "osrt" for c in categories), False])[category])
    codes, names = texts(trace.others, "name")
    codes = codes[rows]
    duration = _durations(trace, "others")[rows]
    return _summary(
        "osrt_sum", codes.astype(np.int64), duration, {"Name": name_of(codes, names)}, "Num Calls"
    )
