"""The events of a trace as the timeline's columns: what ran on devices, what the host did, whose lanes it is."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.languages import spoken
from traceanalyzer.model.annotations import SNAPSHOT_DOMAIN
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.reporters import names
from traceanalyzer.reporters.devices import shown
from traceanalyzer.reporters.timeline.lanes import Events, Words
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.rules.analysis import Analysis

    Ints = NDArray[np.int64]

KINDS = ("compute", "memory", "communication", "copy", "host", "api", "range", "python", "idle")
"""Categories by number, as the page colours them."""
NO_THREAD = -1  # of ranges that a snapshot recorded; ids of threads may be negative as well


def _events(table: pa.Table, words: Words, kind: Ints | int, keys: tuple[str, ...]) -> tuple[Events, Ints]:
    """A table's rows and their lane keys, shape (rows, len(keys))."""
    n = table.num_rows
    codes, dictionary = texts(table, "name")
    lanes = np.stack([ints(table, key) for key in keys], axis=1) if n else np.zeros((0, len(keys)), np.int64)
    kinds = np.full(n, kind, np.int64) if isinstance(kind, int) else kind
    return Events(
        ints(table, "ts"),
        np.maximum(ints(table, "dur", 0), 0),
        np.full(n, -1, np.int64),
        kinds,
        words.add(codes, dictionary),
        np.arange(n),
    ), lanes


def device_events(analysis: Analysis, words: Words) -> tuple[Events, Ints]:
    """Kernels and copies, and their lanes as (rank, device, stream)."""
    tables = analysis.trace.tables
    parts = []
    for name in ("kernels", "copies"):
        table = tables[name]
        if not table.num_rows:
            continue
        kind: Ints | int = _kernel_kinds(analysis, table) if name == "kernels" else KINDS.index("copy")
        parts.append(_events(table, words, kind, ("rank", "device", "stream")))
    return _joined(parts, 3)


def _kernel_kinds(analysis: Analysis, kernels: pa.Table) -> Ints:
    """What each kernel is, by its name: the analyzer that tells communication from compute has decided."""
    codes, dictionary = texts(kernels, "name")
    result = analysis.results.get("kernels")
    category = {row.name: row.category for row in result.rows} if result else {}
    by_name = [category.get(name, "compute") for name in dictionary]
    table = np.array([KINDS.index(c) if c in KINDS else 0 for c in by_name] or [0], np.int64)
    return np.where(codes < 0, 0, table[np.maximum(codes, 0)])


def table_of(events: Events) -> NDArray[np.str_]:
    """The table whose row each event is; empty for annotations, of which not all are events."""
    of_kind = {"copy": "copies", "host": "ops", "api": "api_calls", "range": "", "python": "python_calls"}
    return np.array([of_kind.get(kind, "kernels") for kind in KINDS])[events.kind]


def host_events(analysis: Analysis, words: Words) -> tuple[Events, Ints]:
    """Annotations, ops and runtime calls, and their lanes as (rank, pid, tid); where a thread has none, Python."""
    tables = analysis.trace.tables
    annotations = tables["annotations"]
    if annotations.num_rows:
        on_gpu = annotations.column("on_gpu")
        annotations = annotations.filter(np.logical_not(_true(on_gpu)))
        annotations = annotations.filter(~_of_another_run(annotations, tables))
    parts = []
    for table, kind in ((annotations, "range"), (tables["ops"], "host"), (tables["api_calls"], "api")):
        if table.num_rows:
            parts.append(_events(table, words, KINDS.index(kind), ("rank", "pid", "tid")))
    named = _named_frames(analysis)
    if len(named):
        frames = tables["python_calls"].take(named)
        found, lanes = _events(frames, words, KINDS.index("python"), ("rank", "pid", "tid"))
        alone = ~np.array([any((there == lane).all(axis=1).any() for _, there in parts) for lane in lanes])
        parts.append((replace(found, row=named).take(alone), lanes[alone]))
    return _joined(parts, 3)


def _named_frames(analysis: Analysis) -> Ints:
    """Rows of `python_calls` that findings name: all frames would be too many, and most too deep, to be drawn."""
    count = analysis.trace.tables["python_calls"].num_rows
    evidence = [e for finding in analysis.findings for e in finding.evidence if e.table == "python_calls"]
    return np.array(sorted({e.row for e in evidence if e.row is not None and 0 <= e.row < count}), np.int64)


def _of_another_run(annotations: pa.Table, tables: Mapping[str, pa.Table]) -> NDArray[np.bool_]:
    """Ranges of a snapshot that lie wholly before or after the events of the profile beside it."""
    domain, domains = texts(annotations, "domain")
    told = domain == (domains.index(SNAPSHOT_DOMAIN) if SNAPSHOT_DOMAIN in domains else -2)
    spans = [
        _span(tables[name]) for name in ("ops", "api_calls", "kernels", "copies") if tables[name].num_rows
    ]
    if not spans or not told.any():
        return np.zeros(annotations.num_rows, np.bool_)
    first, last = min(start for start, _ in spans), max(end for _, end in spans)
    start, dur = ints(annotations, "ts"), np.maximum(ints(annotations, "dur", 0), 0)
    return np.asarray(told & ((start > last) | (start + dur < first)), np.bool_)


def _span(table: pa.Table) -> tuple[int, int]:
    start = ints(table, "ts")
    return int(start.min()), int((start + np.maximum(ints(table, "dur", 0), 0)).max())


def _true(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(column.fill_null(False).to_numpy()).astype(bool)


def _joined(parts: Sequence[tuple[Events, Ints]], keys: int) -> tuple[Events, Ints]:
    lanes = [lane for _, lane in parts]
    return Events.join([events for events, _ in parts]), (
        np.concatenate(lanes) if lanes else np.zeros((0, keys), np.int64)
    )


def whole_ranks(analysis: Analysis) -> list[int]:
    """The ranks of the devices that the report shows whole."""
    breakdown = analysis.results.get("breakdown")
    return sorted({one.device.rank for one in shown(breakdown.devices)}) if breakdown else []


def of_rank(analysis: Analysis, rank: int) -> str:
    """How a lane says whose it is: not at all when there is only one rank."""
    return f"rank {rank} · " if len({s.rank for s in analysis.trace.sources}) > 1 else ""


def stream_labels(analysis: Analysis) -> Callable[[int, int, int], str]:
    """What a device's lane is called."""
    return lambda rank, device, stream: f"{of_rank(analysis, rank)}GPU {device} · stream {stream}"


def thread_labels(analysis: Analysis) -> Callable[[int, int, int], str]:
    """What a thread's lane is called: its recorded name where it has one."""
    processes = analysis.trace.tables["processes"].to_pylist()
    known = {(p["rank"], p["pid"], p["tid"]): p["name"] for p in processes if p["name"]}

    def label(rank: int, pid: int, tid: int) -> str:
        unnamed = say("annotations") if tid == NO_THREAD else say("thread {id}", id=tid)
        name = known.get((rank, pid, tid)) or spoken(unnamed)
        return f"{of_rank(analysis, rank)}{names.cut(name, 48)}"

    return label
