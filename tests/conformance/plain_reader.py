"""A Kineto trace read the dull way: `json` and `Decimal`, one event after the other.

This is the oracle for every cell that `traceanalyzer` loads. It shares nothing with the ingest, and reads
like the definition of the mapping: which events become rows of which table, and which argument becomes which
column. It keeps everything in Python objects and is slow; that is the point.

Rules that hold for every table (from `model/schema.py`):

- `ts` and `dur` are whole nanoseconds; `ts` counts from the earliest event that is not metadata (`ph` M).
- rows are sorted by start, then longest first, then their place in the file; `id` is the row number.
- an argument that is absent or null is null; an argument that no column holds goes to `extras` with its row.
- a negative duration counts as 0 and is kept in `extras`.
- a lane that is named by text (`"pid": "Spans"`) gets a negative number, and `processes` holds its name.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from zlib import crc32

if TYPE_CHECKING:
    from pathlib import Path

Row = dict[str, Any]
Args = Mapping[str, Any]
ColumnOf = Mapping[str, tuple[str, Callable[[Any], Any]]]


@dataclass(frozen=True)
class PlainTrace:
    """Rows by table, the file's time of `ts == 0` in ns, and what its header adds to make that a wall clock."""

    tables: Mapping[str, list[Row]]
    start_ns: int
    base_ns: int
    events: int

    @property
    def epoch_ns(self) -> int | None:
        """The wall-clock time of `ts == 0`; None when the file counts from the start of the machine."""
        since_1970 = self.base_ns + self.start_ns
        return since_1970 if since_1970 > 10**18 else None


@dataclass
class _Event:
    """A row in the making: the table it goes to, its cells and what no column holds."""

    table: str
    cells: Row
    extras: Row = field(default_factory=dict)


def read(path: Path) -> PlainTrace:
    """The tables of one plain or gzipped trace file."""
    raw = path.read_bytes()
    return parse(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)


def parse(text: bytes) -> PlainTrace:
    """The tables of a trace given as JSON text: an object with traceEvents, or a bare array of events."""
    document = json.loads(text, parse_float=Decimal)
    header = {} if isinstance(document, list) else document
    events = document if isinstance(document, list) else document["traceEvents"]
    rank = header.get("distributedInfo", {}).get("rank", 0)
    start_ns = min((nanoseconds(e["ts"]) for e in events if e["ph"] != "M"), default=0)

    tables: dict[str, list[Row]] = {"collectives": []}
    read_events = []
    for source in events:
        if source["ph"] == "M":
            continue
        event = _row(source)
        event.cells |= {"rank": rank, "ts": event.cells["ts"] - start_ns}
        read_events.append(event)
        tables.setdefault(event.table, []).append(event.cells)
        if "Collective name" in source.get("args", {}):
            tables["collectives"].append(_collective(source["args"], event))
    for rows in tables.values():
        rows.sort(key=lambda row: (row["ts"], -(row.get("dur") or 0)))
        for number, row in enumerate(rows):
            row["id"] = number
    tables["processes"] = _processes(events, rank)
    tables["devices"] = [
        _device(d, rank) | {"id": i} for i, d in enumerate(header.get("deviceProperties", []))
    ]
    tables["extras"] = [
        {"table": e.table, "row": e.cells["id"], "json": e.extras} for e in read_events if e.extras
    ]
    return PlainTrace(tables, start_ns, header.get("baseTimeNanoseconds", 0), len(events))


def nanoseconds(microseconds: int | Decimal) -> int:
    """Decimal microseconds as nanoseconds; real files have at most three decimals."""
    exact = Decimal(microseconds) * 1000
    assert exact == int(exact)
    return int(exact)


def minified(value: Any) -> str:
    """JSON in its shortest spelling."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def lane(value: Any) -> int:
    """A pid or tid; a text becomes a negative number that no process has."""
    return value if isinstance(value, int) else -(1 << 32) - crc32(str(value).encode())


def _same(value: Any) -> Any:
    return value


def _column(name: str, convert: Callable[[Any], Any] = _same) -> tuple[str, Callable[[Any], Any]]:
    return name, convert


# Which argument becomes which column, by table. Two spellings of one thing stand beside each other.
_EXTERNAL: ColumnOf = {"External id": _column("external_id"), "external id": _column("external_id")}
_INDEX: ColumnOf = {
    "Ev Idx": _column("ev_idx"),
    "Profiler Event Index": _column("ev_idx"),
    "Record function id": _column("record_function_id"),
}
_GPU: ColumnOf = {
    **_EXTERNAL,
    "device": _column("device"),
    "stream": _column("stream"),
    "correlation": _column("correlation"),
}
_COLLECTIVE: ColumnOf = {
    "Collective name": _column("collective"),
    "dtype": _column("dtype"),
    "In msg nelems": _column("in_elements"),
    "Out msg nelems": _column("out_elements"),
    "In split size": _column("in_split"),
    "Out split size": _column("out_split"),
    "Group size": _column("group_size"),
    "Process Group Name": _column("group"),
    "Process Group Description": _column("group_description"),
    "Process Group Ranks": _column("group_ranks"),
    "Seq": _column("seq"),
    "Src Rank": _column("src_rank"),
    "Dst Rank": _column("dst_rank"),
}
_ARGUMENTS: Mapping[str, ColumnOf] = {
    "ops": {
        **_EXTERNAL,
        **_INDEX,
        "Sequence number": _column("seq"),
        "Fwd thread id": _column("fwd_tid"),
        "Input Dims": _column("input_dims", minified),
        "Input type": _column("input_types", minified),
        "Input Strides": _column("input_strides", minified),
        "Concrete Inputs": _column("concrete_inputs", minified),
        "Call stack": _column("call_stack"),
        "Module Hierarchy": _column("module_hierarchy"),
        "kernel_backend": _column("kernel_backend"),
        "kernel_file": _column("kernel_file"),
        "kernel_kwargs": _column("kernel_kwargs"),
    },
    "annotations": {**_EXTERNAL, **_INDEX},
    "python_calls": {
        "Ev Idx": _column("ev_idx"),
        "Python id": _column("python_id"),
        "Python parent id": _column("parent_id"),
        "Python module id": _column("module_id"),
    },
    "api_calls": {
        **_EXTERNAL,
        "correlation": _column("correlation"),
        "cbid": _column("cbid"),
        "cid": _column("cbid"),  # ROCm
        "return value": _column("return_value"),
    },
    "kernels": {
        **_GPU,
        "context": _column("context"),
        "grid": _column("grid"),
        "block": _column("block"),
        "registers per thread": _column("registers"),
        "shared memory": _column("shared_memory"),
        "blocks per SM": _column("blocks_per_sm", float),
        "warps per SM": _column("warps_per_sm", float),
        "est. achieved occupancy %": _column("occupancy", float),
        "priority": _column("priority"),
        "queued": _column("queued"),
        "graph id": _column("graph"),
        "graph node id": _column("graph_node"),
    },
    "copies": {
        **_GPU,
        "context": _column("context"),
        "bytes": _column("bytes"),
        "memory bandwidth (GB/s)": _column("bandwidth", float),
    },
    "syncs": {
        **_GPU,
        "cuda_sync_kind": _column("kind"),
        "wait_on_stream": _column("waits_on_stream"),
        "wait_on_cuda_event_id": _column("waits_on_event"),
        "wait_on_cuda_event_record_corr_id": _column("waits_on_correlation"),
    },
    "allocations": {
        "Addr": _column("address"),
        "Bytes": _column("bytes"),
        "Total Allocated": _column("allocated"),
        "Total Reserved": _column("reserved"),
        "Device Id": _column("device"),
        "Device Type": _column("device_type", lambda number: {0: "cpu", 1: "cuda"}.get(number, str(number))),
        "Ev Idx": _column("ev_idx"),
    },
    "counters": {},
    "flows": {},
    "others": {},
}

_COMPLETE = {
    "cpu_op": "ops",
    "user_annotation": "annotations",
    "gpu_user_annotation": "annotations",
    "python_function": "python_calls",
    "kernel": "kernels",
    "gpu_memcpy": "copies",
    "memcpy": "copies",
    "gpu_memset": "copies",
    "memset": "copies",
    "cuda_sync": "syncs",
}
"""Categories of complete events (`ph` X), in lower case: in 2021 they were written with a capital."""


def _row(event: Args) -> _Event:
    """The row that one event becomes."""
    phase, category, name = event["ph"], event.get("cat"), event["name"]
    args = event.get("args", {})
    cells: Row = {"name": name, "ts": nanoseconds(event["ts"])}
    host = {"pid": lane(event["pid"]), "tid": lane(event["tid"])}
    if phase in {"s", "t", "f"}:
        return _Event("flows", cells | host | {"kind": category, "end": phase, "flow_id": event["id"]})
    if phase == "i" and name == "[memory]":
        action = "free" if args["Bytes"] < 0 else "alloc"
        return _with_arguments(_Event("allocations", cells | host | {"action": action}), args)
    if "dur" in event:
        cells["dur"] = nanoseconds(event["dur"])
    row = _complete(event, cells, host) if phase == "X" else None
    row = row or _Event("others", cells | host | {"category": category, "phase": phase})
    _with_arguments(row, args)
    if cells.get("dur", 0) < 0:
        row.extras["negative_dur_ns"] = cells["dur"]
        row.cells["dur"] = 0
    return row


def _complete(event: Args, cells: Row, host: Row) -> _Event | None:
    """The row of a complete event (`ph` X); None for a category that no table is made for.

    On a device row pid and tid stand for device and stream; its args, where it has them, say the same.
    """
    kind = event["cat"].lower()
    gpu = {"device": event["pid"], "stream": event["tid"]}
    match _COMPLETE.get(kind):
        case "copies":
            own = (
                {"kind": "memset"} if kind.endswith("memset") else {"kind": "memcpy", **_copy(event["name"])}
            )
            return _Event("copies", cells | gpu | own)
        case "kernels" | "syncs" as table:
            return _Event(table, cells | gpu)
        case "annotations":
            on_gpu = kind == "gpu_user_annotation"
            own = {"on_gpu": on_gpu, "domain": "user_annotation"} | (gpu if on_gpu else {})
            return _Event("annotations", cells | host | own)
        case str(table):
            return _Event(table, cells | host)
    if kind.endswith(("runtime", "driver")):
        return _Event(
            "api_calls", cells | host | {"layer": "runtime" if kind.endswith("runtime") else "driver"}
        )
    return None


def _with_arguments(row: _Event, args: Args) -> _Event:
    known = _ARGUMENTS[row.table]
    collective = _COLLECTIVE if "Collective name" in args else {}
    for key, value in args.items():
        if key in known:
            column, convert = known[key]
            if value is not None:
                row.cells[column] = convert(value)
        elif key not in collective:
            row.extras[key] = value
    return row


def _copy(name: str) -> Row:
    """Direction and memory kinds from `Memcpy HtoD (Pageable -> Device)`."""
    found = re.fullmatch(r"Memcpy (\w+) \((\w+) -> (\w+)\)", name)
    if found is None:
        return {}
    direction, source, target = found.groups()
    return {"direction": direction, "src_kind": source.lower(), "dst_kind": target.lower()}


def _collective(args: Args, event: _Event) -> Row:
    """A row of `collectives` beside the kernel or op that carries its arguments."""
    shared = ("name", "ts", "dur", "rank", "device", "stream", "correlation", "external_id")
    cells = {key: event.cells[key] for key in shared if key in event.cells}
    cells["on_gpu"] = event.table == "kernels"
    for key, (column, convert) in _COLLECTIVE.items():
        if args.get(key) is not None:
            cells[column] = convert(args[key])
    return cells


def _processes(events: Iterable[Args], rank: int) -> list[Row]:
    """One row per process and per thread that metadata or a text lane names."""
    rows: dict[tuple[int, int | None], Row] = {}
    for event in events:
        if event["ph"] != "M":
            continue
        pid = lane(event["pid"])
        tid = lane(event["tid"]) if event["name"].startswith("thread") else None
        row = rows.setdefault((pid, tid), {"rank": rank, "pid": pid, "tid": tid})
        row |= event["args"]
    for event in events:
        for key in ("pid", "tid"):
            if isinstance(event.get(key), str):
                number = lane(event[key])
                row = rows.setdefault((number, None), {"rank": rank, "pid": number, "tid": None})
                row.setdefault("name", event[key])
    ordered = sorted(rows.values(), key=lambda r: (r["pid"], r["tid"] is not None, r["tid"] or 0))
    return [row | {"id": number} for number, row in enumerate(ordered)]


def _device(properties: Args, rank: int) -> Row:
    """A row of `devices` from the header's deviceProperties."""
    keys = {
        "device": "id",
        "memory": "totalGlobalMem",
        "sms": "numSms",
        "compute_major": "computeMajor",
        "compute_minor": "computeMinor",
        "warp_size": "warpSize",
        "max_threads_per_sm": "maxThreadsPerMultiprocessor",
        "shared_memory_per_sm": "sharedMemPerMultiprocessor",
        "registers_per_sm": "regsPerMultiprocessor",
    }
    numbers = {column: properties.get(key) for column, key in keys.items()}
    if numbers["shared_memory_per_sm"] is None:  # ROCm's spelling
        numbers["shared_memory_per_sm"] = properties.get("maxSharedMemoryPerMultiProcessor")
    return {"rank": rank, "name": properties.get("name") or None, **numbers}
