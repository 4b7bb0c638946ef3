"""What ran on devices: kernels, copies, whole graphs, synchronisation, memory and metrics; and what they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from traceanalyzer.ingest.nsys.build import ABSENT, Build, durations
from traceanalyzer.ingest.nsys.processes import pid_of
from traceanalyzer.model.columns import text_column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.ingest.nsys.database import Rows, Strings, Tables
    from traceanalyzer.ingest.nsys.processes import Ranks

    Ints = NDArray[np.int64]

_NO_STREAM = (1 << 32) - 1
_LANE = ("start", "end", "deviceId", "contextId", "streamId", "correlationId", "globalPid")

# ENUM_CUDA_MEMCPY_OPER and ENUM_CUDA_MEM_KIND: older exports do not carry them.
DIRECTIONS = {1: "HtoD", 2: "DtoH", 3: "HtoA", 4: "AtoH", 5: "AtoA", 6: "AtoD", 7: "DtoA", 8: "DtoD", 9: "HtoH",
              10: "PtoP", 11: "HtoD", 12: "DtoH", 13: "DtoD"}  # fmt: skip
UNIFIED = frozenset({11, 12, 13})
"""Copies that the driver makes to migrate managed memory."""
MEMORY_KINDS = {0: "pageable", 1: "pinned", 2: "device", 3: "array", 4: "managed", 5: "device", 6: "managed"}
_HOST_MEMORY = frozenset({0, 1})
_ALLOCATED, _RELEASED = 0, 1
"""ENUM_CUDA_DEV_MEM_EVENT_OPER."""


def _lane(rows: Rows, ranks: Ranks) -> dict[str, Any]:
    """The columns that all device rows share."""
    start, stream = rows.ints("start", ABSENT), rows.ints("streamId", ABSENT)
    return {
        "rank": ranks.rank_of(rows.ints("globalPid")),
        "ts": start,
        "dur": durations(start, rows.ints("end", ABSENT)),
        "device": rows.ints("deviceId", ABSENT),
        "stream": np.where(stream == _NO_STREAM, ABSENT, stream),
        "correlation": rows.ints("correlationId", ABSENT),
    }


def add_kernels(database: Tables, strings: Strings, ranks: Ranks, build: Build) -> None:
    """CUPTI_ACTIVITY_KIND_KERNEL."""
    own = ("demangledName", "shortName", "registersPerThread", "gridX", "gridY", "gridZ", "blockX", "blockY",
           "blockZ", "staticSharedMemory", "dynamicSharedMemory", "graphNodeId", "graphId")  # fmt: skip
    rows = database.read("CUPTI_ACTIVITY_KIND_KERNEL", (*_LANE, *own))
    static, dynamic = rows.ints("staticSharedMemory", ABSENT), rows.ints("dynamicSharedMemory", ABSENT)
    build.add(
        "kernels",
        {
            **_lane(rows, ranks),
            "name": strings.of(rows.ints("demangledName" if rows.has("demangledName") else "shortName")),
            "context": rows.ints("contextId", ABSENT),
            "grid": _triple(rows, "grid"),
            "block": _triple(rows, "block"),
            "registers": rows.ints("registersPerThread", ABSENT),
            "shared_memory": np.where((static == ABSENT) | (dynamic == ABSENT), ABSENT, static + dynamic),
            "graph": rows.ints("graphId", ABSENT),
            "graph_node": rows.ints("graphNodeId", ABSENT),
        },
    )


def add_graphs(database: Tables, ranks: Ranks, build: Build) -> None:
    """CUPTI_ACTIVITY_KIND_GRAPH_TRACE: with --cuda-graph-trace=graph a launch of a graph is all there is of it."""
    rows = database.read("CUPTI_ACTIVITY_KIND_GRAPH_TRACE", (*_LANE, "graphId"))
    graph = rows.ints("graphId")
    distinct, codes = np.unique(graph, return_inverse=True)
    build.add(
        "kernels",
        {
            **_lane(rows, ranks),
            "name": text_column(codes, [f"CUDA graph {number}" for number in distinct.tolist()]),
            "context": rows.ints("contextId", ABSENT),
            "graph": graph,
        },
    )


def add_copies(database: Tables, ranks: Ranks, build: Build) -> None:
    """CUPTI_ACTIVITY_KIND_MEMCPY and MEMSET, named as Kineto names them."""
    rows = database.read("CUPTI_ACTIVITY_KIND_MEMCPY", (*_LANE, "bytes", "copyKind", "srcKind", "dstKind"))
    keys = np.stack([rows.ints(c) for c in ("copyKind", "srcKind", "dstKind")])
    distinct, codes = np.unique(keys, axis=1, return_inverse=True)
    codes = codes.reshape(-1)
    kinds = distinct.T.tolist()
    build.add(
        "copies",
        {
            **_lane(rows, ranks),
            "name": text_column(codes, [_copy_name(*k) for k in kinds]),
            "kind": "memcpy",
            "context": rows.ints("contextId", ABSENT),
            "direction": _labels([DIRECTIONS.get(k[0]) for k in kinds], codes),
            "src_kind": _labels([MEMORY_KINDS.get(k[1]) for k in kinds], codes),
            "dst_kind": _labels([MEMORY_KINDS.get(k[2]) for k in kinds], codes),
            "bytes": rows.ints("bytes", ABSENT),
        },
    )
    sets = database.read("CUPTI_ACTIVITY_KIND_MEMSET", (*_LANE, "bytes", "memKind"))
    distinct, codes = np.unique(sets.ints("memKind"), return_inverse=True)
    targets = [MEMORY_KINDS.get(k) for k in distinct.tolist()]
    build.add(
        "copies",
        {
            **_lane(sets, ranks),
            "name": text_column(codes, [f"Memset ({(t or 'unknown').capitalize()})" for t in targets]),
            "kind": "memset",
            "context": sets.ints("contextId", ABSENT),
            "dst_kind": _labels(targets, codes),
            "bytes": sets.ints("bytes", ABSENT),
        },
    )


def _copy_name(kind: int, source: int, target: int) -> str:
    if kind in UNIFIED:
        return f"Memcpy {DIRECTIONS[kind]} (Unified memory)"
    ends = [MEMORY_KINDS.get(k, "unknown").capitalize() for k in (source, target)]
    return f"Memcpy {DIRECTIONS.get(kind, '')} ({ends[0]} -> {ends[1]})".replace("  ", " ")


def add_syncs(database: Tables, ranks: Ranks, build: Build) -> None:
    """CUPTI_ACTIVITY_KIND_SYNCHRONIZATION. Numbering of syncType changed over time: the ids that are set tell."""
    rows = database.read("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", (*_LANE, "eventId"))
    lane, event = _lane(rows, ranks), rows.ints("eventId", ABSENT)
    event = np.where(event == _NO_STREAM, ABSENT, event)
    kind = 2 * (event == ABSENT) + (lane["stream"] == ABSENT)
    names = ["Stream Wait Event", "Event Sync", "Stream Sync", "Context Sync"]
    label = text_column(kind, names)
    build.add("syncs", {**lane, "name": label, "kind": label, "waits_on_event": event})


def add_memory_events(database: Tables, ranks: Ranks, build: Build) -> None:
    """CUDA_GPU_MEMORY_USAGE_EVENTS: what cudaMalloc and its kin were asked for, not what torch gave out of it."""
    rows = database.read(
        "CUDA_GPU_MEMORY_USAGE_EVENTS",
        ("start", "globalPid", "deviceId", "address", "bytes", "memKind", "memoryOperationType"),
    )
    known = np.isin(rows.ints("memoryOperationType"), (_ALLOCATED, _RELEASED))
    build.of_unknown_kind += int((~known).sum())
    rows = rows.where(known)
    released = rows.ints("memoryOperationType") == _RELEASED
    on_host = np.isin(rows.ints("memKind"), list(_HOST_MEMORY))
    size = rows.ints("bytes", ABSENT)
    build.add(
        "allocations",
        {
            "name": text_column(released.astype(np.int64), ["cuda allocation", "cuda release"]),
            "rank": ranks.rank_of(rows.ints("globalPid")),
            "ts": rows.ints("start", ABSENT),
            "pid": pid_of(rows.ints("globalPid")),
            "tid": np.full(len(rows), -1, np.int64),
            "action": text_column(released.astype(np.int64), ["alloc", "free"]),
            "device_type": text_column(on_host.astype(np.int64), ["cuda", "cpu"]),
            "device": rows.ints("deviceId", ABSENT),
            "address": rows.ints("address", ABSENT),
            "bytes": np.where(released & (size != ABSENT), -size, size),
        },
    )


def add_metrics(database: Tables, build: Build) -> None:
    """GPU_METRICS: samples of hardware counters; the metric is named per type and id."""
    rows = database.read("GPU_METRICS", ("timestamp", "typeId", "metricId", "value"))
    named = database.read("TARGET_INFO_GPU_METRICS", ("typeId", "metricId"), ("metricName",))
    names = {}
    if len(named) and "metricName" in named.table.column_names:
        keys = zip(named.ints("typeId").tolist(), named.ints("metricId").tolist(), strict=True)
        names = dict(zip(keys, named.arrow("metricName").to_pylist(), strict=True))
    pairs = np.stack((rows.ints("typeId"), rows.ints("metricId")))
    distinct, codes = np.unique(pairs, axis=1, return_inverse=True)
    label = text_column(
        codes.reshape(-1), [names.get((t, m)) or f"metric {m}" for t, m in distinct.T.tolist()]
    )
    build.add(
        "counters",
        {
            "name": "GPU metrics",
            "rank": np.zeros(len(rows), np.int64),
            "ts": rows.ints("timestamp", ABSENT),
            "pid": np.full(len(rows), -1, np.int64),
            "tid": rows.ints("typeId") & 0xFF,  # the lowest bits of a type number the GPU
            "metric": label,
            "value": pa.array(
                rows.ints("value").astype(np.float64), mask=rows.ints("value", ABSENT) == ABSENT
            ),
        },
    )


def _triple(rows: Rows, name: str) -> pa.FixedSizeListArray:
    sides = np.empty((len(rows), 3), np.int32)
    unknown = np.zeros(len(rows), bool)
    for axis, side in enumerate(rows.ints(f"{name}{axis}") for axis in "XYZ"):
        sides[:, axis] = side
        unknown |= side < 0
    flat = pa.array(sides.reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, 3, mask=pa.array(unknown) if unknown.any() else None)


def _labels(labels: list[str | None], codes: Ints) -> pa.DictionaryArray:
    known = sorted({label for label in labels if label is not None})
    own = np.array([-1 if label is None else known.index(label) for label in labels], np.int64)
    return text_column(own[codes] if len(own) else codes, known)


_DEVICE_COLUMNS = {
    "memory": ("totalMemory", "globalMemorySize"),
    "sms": ("smCount", "numMultiprocessors"),
    "compute_major": ("computeMajor", "computeCapabilityMajor"),
    "compute_minor": ("computeMinor", "computeCapabilityMinor"),
    "warp_size": ("threadsPerWarp", "numThreadsPerWarp"),
    "shared_memory_per_sm": ("maxShmemPerSm", "maxSharedMemoryPerMultiprocessor"),
    "registers_per_sm": ("maxRegistersPerSm", "maxRegistersPerMultiprocessor"),
    "memory_bandwidth": ("memoryBandwidth", "globalMemoryBandwidth"),
    "clock": ("clockRate", "coreClockRate"),
    "l2_cache": ("l2CacheSize",),
}
_WARPS = ("maxWarpsPerSm", "maxWarpsPerMultiprocessor")
_KILO = frozenset({"globalMemoryBandwidth", "coreClockRate"})
"""Columns of 2021 that count in thousands."""


def device_rows(database: Tables, ranks: Ranks) -> list[dict[str, Any]]:
    """Rows of `devices`, for each rank all CUDA devices of the machine, from TARGET_INFO_GPU or its 2021 form."""
    wanted = [c for names in _DEVICE_COLUMNS.values() for c in names]
    for table in ("TARGET_INFO_GPU", "TARGET_INFO_CUDA_GPU"):
        info = database.read(table, ("id", "cuDevice", "deviceId", *wanted, *_WARPS), ("name",))
        if any(info.has(c) for c in _DEVICE_COLUMNS["sms"]):
            break
    else:
        return []
    index = next(info.ints(c) for c in ("cuDevice", "deviceId", "id") if info.has(c))
    names = info.arrow("name").to_pylist() if info.has("name") else [None] * len(info)
    found: dict[int, dict[str, Any]] = {}
    for i, device in enumerate(index.tolist()):
        row: dict[str, Any] = {"device": device, "name": names[i] or None}
        for column, sources in _DEVICE_COLUMNS.items():
            row[column] = _first(info, sources, i)
        warps = _first(info, _WARPS, i)
        row["max_threads_per_sm"] = warps and row["warp_size"] and warps * row["warp_size"]
        if row["sms"]:  # graphics adapters that are no CUDA device have none
            found.setdefault(device, row)
    return [{**found[d], "rank": rank} for rank in range(ranks.count) for d in sorted(found)]


def _first(info: Rows, columns: tuple[str, ...], row: int) -> int | None:
    for column in columns:
        value = int(info.ints(column, 0)[row])
        if value > 0:
            return value * 1000 if column in _KILO else value
    return None
