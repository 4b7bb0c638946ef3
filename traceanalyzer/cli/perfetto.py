"""The model as a Chrome trace: what ui.perfetto.dev and chrome://tracing open, and what our own reader reads."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from traceanalyzer.model.trace import Trace

_BATCH_ROWS = 10_000
_HOST = {"ops": "cpu_op", "annotations": "user_annotation", "python_calls": "python_function",
         "api_calls": "cuda_runtime"}  # fmt: skip
_ARGS = {
    "External id": "external_id", "Sequence number": "seq", "correlation": "correlation", "bytes": "bytes",
    "device": "device", "stream": "stream", "grid": "grid", "block": "block", "context": "context",
    "registers per thread": "registers", "shared memory": "shared_memory", "graph node id": "graph_node",
}  # fmt: skip
"""Kineto's name of each column that is written."""
_PROPERTIES = {
    "id": "device", "name": "name", "totalGlobalMem": "memory", "numSms": "sms", "computeMajor": "compute_major",
    "computeMinor": "compute_minor", "warpSize": "warp_size", "maxThreadsPerMultiprocessor": "max_threads_per_sm",
    "sharedMemPerMultiprocessor": "shared_memory_per_sm", "regsPerMultiprocessor": "registers_per_sm",
}  # fmt: skip


def write_chrome(trace: Trace, file: IO[bytes]) -> None:
    """Write JSON with one event a line, in µs with ns as decimals.

    Ranks share the file, so processes and devices are numbered anew: a process by rank and pid, a device by rank
    and index; both are named for what they are.
    """
    devices = trace.devices.to_pylist()
    numbers = _Numbers({(row["rank"], row["device"]): row["name"] for row in devices})
    encode = msgspec.json.encode
    file.write(b'{"traceEvents": [\n')
    separator = b""
    for event in _events(trace, numbers):
        file.write(separator + encode(event))
        separator = b",\n"
    for event in numbers.names():
        file.write(separator + encode(event))
        separator = b",\n"
    file.write(b'\n], "deviceProperties": ' + encode(_properties(devices)))
    file.write(b', "displayTimeUnit": "ns"}\n')


def _properties(devices: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What is known of each device, in Kineto's names; ranks that share the file share devices of one number."""
    of_number = {row["device"]: row for row in reversed(devices) if row["device"] is not None}
    return [
        {kineto: row[own] for kineto, own in _PROPERTIES.items() if row[own] is not None}
        for _, row in sorted(of_number.items())
    ]


class _Numbers:
    """One pid per (rank, process) and per (rank, device)."""

    def __init__(self, models: Mapping[tuple[int, int], str | None]) -> None:
        self._models = models
        self._known: dict[tuple[int, str, int], int] = {}

    def of(self, rank: int, kind: str, number: int) -> int:
        """The pid under which a process or device is written."""
        key = (rank, kind, number)
        if key not in self._known:
            self._known[key] = len(self._known) + 1
        return self._known[key]

    def names(self) -> Iterator[Mapping[str, Any]]:
        """Metadata events that name and sort them: each rank's processes before its devices."""
        for position, key in enumerate(sorted(self._known, key=lambda k: (k[0], k[1] == "GPU", k[2]))):
            rank, kind, number = key
            common = {"ph": "M", "ts": 0, "pid": self._known[key], "tid": 0}
            model = self._models.get((rank, number)) if kind == "GPU" else None
            name = f"rank {rank}: {kind} {number}" + (f" ({model})" if model else "")
            yield {**common, "name": "process_name", "args": {"name": name}}
            yield {**common, "name": "process_sort_index", "args": {"sort_index": position}}


def _events(trace: Trace, numbers: _Numbers) -> Iterator[Mapping[str, Any]]:
    for table, category in _HOST.items():
        for row in _rows(trace.tables[table]):
            if not row.get("on_gpu"):
                layer = "cuda_driver" if row.get("layer") == "driver" else category
                yield _event(row, layer, numbers.of(row["rank"], "process", row["pid"]), row["tid"])
    for row in _rows(trace.kernels):
        yield _event(row, "kernel", numbers.of(row["rank"], "GPU", row["device"] or 0), row["stream"] or 0)
    for row in _rows(trace.copies):
        lane = numbers.of(row["rank"], "GPU", row["device"] or 0)
        yield _event(row, f"gpu_{row['kind'] or 'memcpy'}", lane, row["stream"] or 0)
    yield from _arrows(trace, numbers)


def _event(row: Mapping[str, Any], category: str, pid: int, tid: int) -> Mapping[str, Any]:
    args = {kineto: row[own] for kineto, own in _ARGS.items() if row.get(own) is not None}
    event = {
        "ph": "X",
        "cat": category,
        "name": row["name"] or "",
        "pid": pid,
        "tid": tid,
        "ts": _us(row["ts"]),
    }
    if row["dur"] is None:  # a mark
        return {**event, "ph": "i", "s": "t", "args": args}
    return {**event, "dur": _us(row["dur"]), "args": args}


def _arrows(trace: Trace, numbers: _Numbers) -> Iterator[Mapping[str, Any]]:
    """From each launch to what it launched."""
    calls = trace.api_calls
    for table in (trace.kernels, trace.copies):
        for batch in table.select(["id", "rank", "ts", "device", "stream", "api_call"]).to_batches(
            _BATCH_ROWS
        ):
            launched = [row for row in batch.to_pylist() if row["api_call"] is not None]
            at = (
                calls.select(["ts", "pid", "tid"])
                .take(pa.array([row["api_call"] for row in launched], pa.int64()))
                .to_pylist()
            )
            for row, call in zip(launched, at, strict=True):
                lane = numbers.of(row["rank"], "GPU", row["device"] or 0)
                common = {
                    "cat": "ac2g",
                    "name": "ac2g",
                    "id": lane << 40 | row["id"] << 1 | (table is trace.copies),
                }
                start = numbers.of(row["rank"], "process", call["pid"])
                yield {**common, "ph": "s", "pid": start, "tid": call["tid"], "ts": _us(call["ts"])}
                end = {"pid": lane, "tid": row["stream"] or 0, "ts": _us(row["ts"]), "bp": "e"}
                yield {**common, "ph": "f", **end}


def _rows(table: pa.Table) -> Iterator[Mapping[str, Any]]:
    """Rows as dicts, a batch at a time."""
    columns = {"name", "rank", "ts", "dur", "pid", "tid", "on_gpu", "layer", "kind", *_ARGS.values()}
    for batch in table.select([c for c in table.column_names if c in columns]).to_batches(_BATCH_ROWS):
        yield from batch.to_pylist()


def _us(ns: int) -> msgspec.Raw:
    """Microseconds with three decimals, exactly."""
    sign, ns = ("-", -ns) if ns < 0 else ("", ns)
    return msgspec.Raw(f"{sign}{ns // 1000}.{ns % 1000:03d}".encode())
