"""The tables of `nsys stats`, with its columns and definitions, from any trace.

Definitions are those of the report scripts that ship with Nsight Systems: groups by full name, sample standard
deviation (0 for a single row), medians between the middle two, percentages of the table's total.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from traceanalyzer.analyzers.kernel_metrics import base_name
from traceanalyzer.analyzers.nsys.summary import grouped, summary
from traceanalyzer.analyzers.nsys.table import Labels, StatsTable, in_order
from traceanalyzer.model.columns import ints, present, texts, triples
from traceanalyzer.model.join import codes_of, first_match

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.analyzers.nsys.summary import Groups
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

_WAYS = {"H": "Host", "D": "Device", "A": "Array", "P": "Peer"}


def capture_start(trace: Trace) -> int:
    """What makes a time on the trace's axis one since the capture began; 0 if that is not known."""
    found = [s.metadata.get("capture_offset_ns") for s in trace.sources if s.of_nsys]
    return found[0] if len(found) == 1 and isinstance(found[0], int) else 0


def _durations(trace: Trace, table: str) -> Ints:
    return np.maximum(ints(trace.tables[table], "dur", 0), 0)


def _named(trace: Trace, table: str) -> Labels:
    return Labels.of(trace.tables[table], "name")


def cuda_api_sum(trace: Trace) -> StatsTable:
    """API calls by name."""
    name = _named(trace, "api_calls")
    groups = grouped(name.codes, _durations(trace, "api_calls"))
    return summary("cuda_api_sum", groups, {"Name": name.at(groups.first)}, "Num Calls")


def single_kernels(trace: Trace) -> Ints:
    """Rows of kernels without the graphs that were traced as a whole: nsys has these in a table of their own."""
    kernels = trace.kernels
    of_one = present(kernels, "grid") | present(kernels, "graph_node") | present(kernels, "registers")
    return np.flatnonzero(~present(kernels, "graph") | of_one)


def cuda_gpu_kern_sum(trace: Trace) -> StatsTable:
    """Kernels by name."""
    rows = single_kernels(trace)
    name = _named(trace, "kernels").at(rows)
    groups = grouped(name.codes, _durations(trace, "kernels")[rows])
    return summary("cuda_gpu_kern_sum", groups, {"Name": name.at(groups.first)})


def cuda_gpu_kern_sum_base(trace: Trace) -> StatsTable:
    """Kernels by name without template and arguments."""
    rows = single_kernels(trace)
    codes, names = texts(trace.kernels, "name")
    known: dict[str, int] = {}
    base = np.array([*(known.setdefault(base_name(n), len(known)) for n in names), -1], np.int64)[codes[rows]]
    groups = grouped(base, _durations(trace, "kernels")[rows])
    return summary("cuda_gpu_kern_sum_base", groups, {"Name": Labels(base[groups.first], list(known))})


def cuda_gpu_kern_gb_sum(trace: Trace) -> StatsTable:
    """Kernels by name, grid and block."""
    rows = single_kernels(trace)
    name = _named(trace, "kernels").at(rows)
    grid, block = (triples(trace.kernels, column)[rows] for column in ("grid", "block"))
    groups = grouped(codes_of(name.codes, *grid.T, *block.T), _durations(trace, "kernels")[rows])
    labels = {
        "GridXYZ": _shapes(grid[groups.first]),
        "BlockXYZ": _shapes(block[groups.first]),
        "Name": name.at(groups.first),
    }
    return summary("cuda_gpu_kern_gb_sum", groups, labels)


def _shapes(grid: Ints) -> Labels:
    _, first, code = np.unique(codes_of(*grid.T), return_index=True, return_inverse=True)
    return Labels(code, [" ".join(f"{n:4d}" for n in shape) for shape in grid[first].tolist()])


def copy_operations(trace: Trace) -> Labels:
    """What nsys calls each copy: `[CUDA memcpy Host-to-Device]`."""
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
    return Labels(codes.astype(np.int64), labels)


def _operation(kind: str, way: str | None, unified: bool) -> str:
    if kind == "memset":
        return "[CUDA memset]"
    ends = (way or "").split("to")
    spelled = "-to-".join(_WAYS.get(e, e) for e in ends) if len(ends) == 2 else "Unknown"
    return f"[CUDA memcpy {'Unified ' if unified else ''}{spelled}]"


def cuda_gpu_mem_time_sum(trace: Trace) -> StatsTable:
    """Copies and fills by operation: time."""
    operation = copy_operations(trace)
    groups = grouped(operation.codes, _durations(trace, "copies"))
    return summary("cuda_gpu_mem_time_sum", groups, {"Operation": operation.at(groups.first)}, "Count")


def cuda_gpu_mem_size_sum(trace: Trace) -> StatsTable:
    """Copies and fills by operation: size in MB of 10^6 bytes; rows of unknown size are left out."""
    sized = np.flatnonzero(ints(trace.copies, "bytes") >= 0)
    operation = copy_operations(trace).at(sized)
    groups = grouped(operation.codes, ints(trace.copies, "bytes")[sized])
    operation = operation.at(groups.first)
    columns = {
        "Total (MB)": groups.total / 1e6,
        "Count": groups.count,
        **groups.spread(unit="(MB)", per=10**6),
        "Operation": operation.column,
    }
    return StatsTable("cuda_gpu_mem_size_sum", in_order(columns, -groups.total, operation.alphabetical))


def cuda_gpu_sum(trace: Trace) -> StatsTable:
    """Kernels, copies and fills by name."""
    return _operations_summary("cuda_gpu_sum", *_device_operations(trace))


def cuda_api_gpu_sum(trace: Trace) -> StatsTable:
    """API calls, kernels, copies and fills by name."""
    key, duration, categories, names = _device_operations(trace)
    codes, calls = texts(trace.api_calls, "name")
    key = np.concatenate((key, codes.astype(np.int64) + len(names)))
    duration = np.concatenate((duration, _durations(trace, "api_calls")))
    categories, names = [*categories, *(["CUDA_API"] * len(calls))], [*names, *calls]
    return _operations_summary("cuda_api_gpu_sum", key, duration, categories, names)


def _operations_summary(
    name: str, key: Ints, duration: Ints, categories: list[str], names: list[str]
) -> StatsTable:
    groups = grouped(key, duration)
    of_group = key[groups.first]
    return summary(
        name, groups, {"Category": Labels(of_group, categories), "Operation": Labels(of_group, names)}
    )


def _device_operations(trace: Trace) -> tuple[Ints, Ints, list[str], list[str]]:
    """Key and duration of every kernel and copy; category and name of every key."""
    rows = single_kernels(trace)
    kernel, kernels = texts(trace.kernels, "name")
    copies = copy_operations(trace)
    key = np.concatenate((kernel[rows].astype(np.int64), copies.codes + len(kernels)))
    duration = np.concatenate((_durations(trace, "kernels")[rows], _durations(trace, "copies")))
    categories = ["CUDA_KERNEL"] * len(kernels) + ["MEMORY_OPER"] * len(copies.names)
    return key, duration, categories, [*kernels, *copies.names]


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
    name, function = _named(trace, "kernels").at(rows), _named(trace, "api_calls").at(call)
    pid, tid, device = ints(calls, "pid")[call], ints(calls, "tid")[call], ints(kernels, "device")[rows]
    lanes = (ints(kernels, "rank")[rows], pid, tid, device)
    key = codes_of(*lanes, function.codes, name.codes)
    queued = start - (begin + took)
    waited = np.flatnonzero(queued >= 0)
    whole, api, kernel = (grouped(key, v) for v in (np.maximum(start + length - begin, took), took, length))
    first = whole.first
    pid, tid, device = pid[first], tid[first], device[first]
    function, name = function.at(first), name.at(first)
    queue_count, queue = _queue(grouped(key[waited], queued[waited]), key[waited], key[first])
    columns = {
        "PID": pid, "TID": tid, "DevId": device, "Count": whole.count, "QCount": queue_count,
        **whole.spread("T"), **api.spread("A"), **queue, **kernel.spread("K"),
        "API Name": function.column, "Kernel Name": name.column,
    }  # fmt: skip
    order = (-whole.total, pid, tid, device, function.alphabetical, name.alphabetical)
    return StatsTable("cuda_kern_exec_sum", in_order(columns, *order))


def _queue(groups: Groups, key: Ints, wanted: Ints) -> tuple[Ints, dict[str, Any]]:
    """Count and spread of the groups with the wanted keys; where there is none, a deviation of 0 as nsys has it."""
    found = first_match([wanted], [key[groups.first]])
    there = found >= 0
    count = np.where(there, np.append(groups.count, 0)[found], 0)
    spread = {
        column: pa.array(np.append(values, 0)[found], mask=~there)
        for column, values in groups.spread("Q").items()
    }
    return count, spread | {"QStdDev (ns)": np.where(there, np.append(groups.deviation, 0)[found], 0.0)}


def osrt_sum(trace: Trace) -> StatsTable:
    """Calls into the operating system by name."""
    category, categories = texts(trace.others, "category")
    rows = np.flatnonzero(np.array([*(c == "osrt" for c in categories), False])[category])
    name = _named(trace, "others").at(rows)
    groups = grouped(name.codes, _durations(trace, "others")[rows])
    return summary("osrt_sum", groups, {"Name": name.at(groups.first)}, "Num Calls")
