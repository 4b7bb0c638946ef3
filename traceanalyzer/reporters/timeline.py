"""The timeline of the page: every event that fits, as columns small enough to embed.

Rows of a lane are drawn one below the other. A device stream has one row, a host thread one per nesting
depth. An event never outlasts the one around it, so keeping the longest events keeps every kept event's
surroundings; the short rest is summed per lane, kind and slice of time, and said to be so.
"""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.model.columns import ints, present, texts
from traceanalyzer.reporters import names, units
from traceanalyzer.reporters.facts import cause_text
from traceanalyzer.reporters.lanes import Events, Side, Words, nesting, split

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.rules.analysis import Analysis

    Ints = NDArray[np.int64]

BUDGET = 200_000  # events drawn one by one: what the canvas repaints within a frame or two
GPU_BUDGET = 140_000  # of these, at most so many on devices when the host has more to show
SLICES = 2_048  # of the whole trace, for summing what is not drawn one by one
MAX_DEPTH = 14  # rows of a host thread
MAX_GAPS = 20_000  # idle gaps per device; the longest stay
NAME_LIMIT = 400  # characters of a name that travel with the timeline

KINDS = ("compute", "memory", "communication", "copy", "host", "api", "range", "idle")
"""Categories by number, as the page colours them."""


def embed(analysis: Analysis, budget: int = BUDGET) -> str | None:
    """The timeline as base64 of zlib of [header length, JSON header, columns]; None without any event."""
    words = Words()
    device = split(_device_events(analysis, words), _stream_labels(analysis), min(budget, GPU_BUDGET))
    host = split(_host_events(analysis, words), _thread_labels(analysis), budget - len(device.drawn))
    if not len(device.drawn) and not len(host.drawn):
        return None
    gaps = _gaps(analysis)
    return base64.b64encode(zlib.compress(_pack(analysis, words, device, host, gaps), 7)).decode()


def _events(table: pa.Table, words: Words, kind: Ints | int, keys: tuple[str, ...]) -> tuple[Events, Ints]:
    """A table's rows and their lane keys, shape (rows, len(keys))."""
    n = table.num_rows
    codes, dictionary = texts(table, "name")
    lanes = np.stack([ints(table, key) for key in keys], axis=1) if n else np.zeros((0, len(keys)), np.int64)
    nothing = np.full(n, -1, np.int64)
    kinds = np.full(n, kind, np.int64) if isinstance(kind, int) else kind
    return Events(
        ints(table, "ts"),
        np.maximum(ints(table, "dur", 0), 0),
        nothing,
        kinds,
        words.add(codes, dictionary),
        nothing,
    ), lanes


def _device_events(analysis: Analysis, words: Words) -> tuple[Events, Ints]:
    tables = analysis.trace.tables
    op_codes, op_names = texts(tables["ops"], "name")
    op_words = words.add(op_codes, op_names)
    parts = []
    for name in ("kernels", "copies"):
        table = tables[name]
        if not table.num_rows:
            continue
        kind: Ints | int = _kernel_kinds(analysis, table) if name == "kernels" else KINDS.index("copy")
        events, lanes = _events(table, words, kind, ("rank", "device", "stream"))
        if "op" in table.column_names and len(op_words):
            op = ints(table, "op")
            by = np.where(op >= 0, op_words[np.maximum(op, 0)], -1)
            events = replace(events, by=by)
        parts.append((events, lanes))
    return _joined(parts, 3)


def _kernel_kinds(analysis: Analysis, kernels: pa.Table) -> Ints:
    """What each kernel is, by its name: the analyzer that tells communication from compute has decided."""
    codes, dictionary = texts(kernels, "name")
    result = analysis.results.get("kernels")
    category = {row.name: row.category for row in result.rows} if result else {}
    by_name = [category.get(name, "compute") for name in dictionary]
    table = np.array([KINDS.index(c) if c in KINDS else 0 for c in by_name] or [0], np.int64)
    return np.where(codes < 0, 0, table[np.maximum(codes, 0)])


def _host_events(analysis: Analysis, words: Words) -> tuple[Events, Ints]:
    tables = analysis.trace.tables
    annotations = tables["annotations"]
    if annotations.num_rows:
        on_gpu = annotations.column("on_gpu")
        annotations = annotations.filter(np.logical_not(_true(on_gpu)))
    parts = []
    for table, kind in ((annotations, "range"), (tables["ops"], "host"), (tables["api_calls"], "api")):
        if table.num_rows:
            parts.append(_events(table, words, KINDS.index(kind), ("rank", "pid", "tid")))
    return _joined(parts, 3)


def _true(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    return np.asarray(column.fill_null(False).to_numpy()).astype(bool)


def _joined(parts: Sequence[tuple[Events, Ints]], keys: int) -> tuple[Events, Ints]:
    lanes = [lane for _, lane in parts]
    return Events.join([events for events, _ in parts]), (
        np.concatenate(lanes) if lanes else np.zeros((0, keys), np.int64)
    )


def _of_rank(analysis: Analysis, rank: int) -> str:
    """How a lane says whose it is: not at all when there is only one rank."""
    return f"rank {rank} · " if len({s.rank for s in analysis.trace.sources}) > 1 else ""


def _stream_labels(analysis: Analysis) -> Callable[[int, int, int], str]:
    return lambda rank, device, stream: f"{_of_rank(analysis, rank)}GPU {device} · stream {stream}"


def _thread_labels(analysis: Analysis) -> Callable[[int, int, int], str]:
    processes = analysis.trace.tables["processes"].to_pylist()
    known = {(p["rank"], p["pid"], p["tid"]): p["name"] for p in processes if p["name"]}

    def label(rank: int, pid: int, tid: int) -> str:
        name = known.get((rank, pid, tid)) or f"thread {tid}"
        return f"{_of_rank(analysis, rank)}{names.cut(name, 48)}"

    return label


def _gaps(analysis: Analysis) -> list[dict[str, Any]]:
    """Idle gaps per device, the longest ones, with the cause where the breakdown names it."""
    breakdown = analysis.results.get("breakdown")
    if breakdown is None:
        return []
    found = []
    for device in breakdown.devices:
        of_device = [g for g in breakdown.largest_gaps if g.rank == device.rank and g.device == device.device]
        causes = {g.start_ns: g.cause for g in of_device}
        start, dur = _idle(analysis.trace.tables, device.rank, device.device)
        longest = np.sort(np.argsort(-dur, kind="stable")[:MAX_GAPS])
        known = sorted((g.start_ns, g.duration_ns) for g in of_device)
        unnamed = _apart(start[longest], dur[longest], known)
        ordered = sorted([*known, *unnamed])
        found.append({
            "of": f"{_of_rank(analysis, device.rank)}GPU {device.device}",
            "left_out": len(dur) - len(longest),
            "start": [s for s, _ in ordered],
            "dur": [d for _, d in ordered],
            "cause": [causes.get(s) for s, _ in ordered],
        })  # fmt: skip
    return found


def _apart(start: Ints, dur: Ints, known: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The gaps that no known gap (sorted, apart from each other) overlaps, as (start, duration)."""
    known_start = np.array([s for s, _ in known], np.int64)
    known_end = known_start + np.array([d for _, d in known], np.int64)
    after = np.searchsorted(known_end, start, side="right")
    next_start = np.append(known_start, np.iinfo(np.int64).max)[after]
    free = np.flatnonzero(next_start >= start + dur)
    return list(zip(start[free].tolist(), dur[free].tolist(), strict=True))


def _idle(tables: Mapping[str, pa.Table], rank: int, device: int) -> tuple[Ints, Ints]:
    """Start and length of every stretch between two pieces of work in which no stream had any."""
    starts, ends = [], []
    for name in ("kernels", "copies"):
        table = tables[name]
        here = (ints(table, "rank") == rank) & (ints(table, "device") == device) & present(table, "ts")
        start = ints(table, "ts")[here]
        starts.append(start)
        ends.append(start + np.maximum(ints(table, "dur", 0)[here], 0))
    start, end = np.concatenate(starts), np.concatenate(ends)
    order = np.argsort(start, kind="stable")
    start, busy_until = start[order], np.maximum.accumulate(end[order])
    gap = start[1:] - busy_until[:-1]
    idle = np.flatnonzero(gap > 0)
    return busy_until[idle], gap[idle]


def _pack(analysis: Analysis, words: Words, device: Side, host: Side, gaps: list[dict[str, Any]]) -> bytes:
    """Header and columns. Events are in the order lane, row, start; starts are differences within a row."""
    host_events, depth = nesting(host.drawn)
    shallow = depth < MAX_DEPTH
    too_deep = int((~shallow).sum())
    host_events, depth = host_events.take(shallow), depth[shallow]
    order = np.lexsort((host_events.start, depth, host_events.lane))
    host_events, depth = host_events.take(order), depth[order]
    device_events, _ = nesting(device.drawn)
    device_lanes = len(device.labels)
    events = Events.join([device_events, host_events])
    lane = np.concatenate([device_events.lane, host_events.lane + device_lanes])
    row = np.concatenate([np.zeros(len(device_events), np.int64), depth])
    bounds = np.flatnonzero(np.diff(lane) | np.diff(row)) + 1
    firsts = np.concatenate([[0], bounds]).astype(np.int64) if len(events) else np.zeros(0, np.int64)
    origin, end = _extent(analysis, events, device.rest, host.rest)

    used, codes = np.unique(np.concatenate([events.name, events.by]), return_inverse=True)
    name, by = codes[: len(events)], codes[len(events) :]
    offset = int(len(used) > 0 and used[0] == -1)  # code 0 means none exactly when something has no name
    start = events.start - origin
    delta = np.diff(start, prepend=0)
    delta[firsts] = start[firsts]
    columns = {
        "start": delta,
        "dur": events.dur,
        "kind": events.kind,
        "name": name + 1 - offset,
        "by": by + 1 - offset,
    }
    all_columns = columns | _sums(device, host, origin, end)
    blobs = {key: _planes(column) for key, column in all_columns.items()}
    steps = analysis.results.get("steps")
    header = {
        "n": len(events),
        "end": end - origin,
        "origin": origin,
        "kinds": KINDS,
        "names": [_short(words.all[i]) for i in used[offset:]],
        "lanes": [{"label": text, "side": "device"} for text in device.labels]
        + [{"label": text, "side": "host"} for text in host.labels],
        "rows": [[int(lane[f]), int(row[f]), int(f)] for f in firsts],
        "columns": [[key, len(all_columns[key]), len(blob) // max(1, len(all_columns[key]))]
                    for key, blob in blobs.items()],
        "slice": (end - origin) / SLICES,
        "gaps": [gap | {"start": [s - origin for s in gap["start"]]} for gap in gaps],
        "causes": {c: cause_text(c) for c in sorted({c for gap in gaps for c in gap["cause"] if c})},
        "steps": [[names.cut(s.name, 40), s.start_ns - origin, s.window_end_ns - origin]
                  for s in (steps.steps if steps and steps.kind != "window" else ())][:2_000],
        "notes": [*_notes(device, host, too_deep), *_gap_notes(gaps)],
    }  # fmt: skip
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    return len(head).to_bytes(4, "little") + head + b"".join(blobs.values())


def _short(name: str) -> str:
    return names.visible(name) if len(name) <= NAME_LIMIT else names.cut(name, NAME_LIMIT)


def _extent(analysis: Analysis, *events: Events) -> tuple[int, int]:
    """Start of the first and end of the last event or step."""
    steps = analysis.results.get("steps")
    marks = [(s.start_ns, s.window_end_ns) for s in steps.steps] if steps else []
    marks += [(int(e.start.min()), int((e.start + e.dur).max())) for e in events if len(e)]
    origin = min(start for start, _ in marks)
    return origin, max(origin + 1, *(end for _, end in marks))


def _sums(device: Side, host: Side, origin: int, end: int) -> dict[str, Ints]:
    """What is not drawn one by one, per lane, kind and slice of time: busy ns and how many."""
    rest = Events.join([device.rest, host.rest])
    lane = np.concatenate([device.rest.lane, host.rest.lane + len(device.labels)])
    at = np.minimum((rest.start - origin) * SLICES // (end - origin), SLICES - 1)
    key = (lane * len(KINDS) + rest.kind) * SLICES + at
    count = np.bincount(key)
    filled = np.flatnonzero(count)
    busy = np.bincount(key, weights=rest.dur)[filled].astype(np.int64)
    return {
        "sum_key": np.diff(filled, prepend=0),
        "sum_busy": busy,
        "sum_count": count[filled],
    }


def _planes(values: Ints) -> bytes:
    """Non-negative integers as their lowest bytes, then their next bytes, …: compresses far better."""
    width = max(1, (int(values.max(initial=0)).bit_length() + 7) // 8)
    octets = np.ascontiguousarray(values.astype("<u8")).view(np.uint8).reshape(-1, 8)
    return octets[:, :width].T.tobytes()


def _notes(device: Side, host: Side, too_deep: int) -> list[str]:
    """What the timeline leaves out, in words."""
    notes = []
    for side, what in ((device, "device"), (host, "host")):
        if side.longest_summed_ns is not None:
            notes.append(
                f"{len(side.rest):,} {what} events of at most {units.duration(side.longest_summed_ns)} are "
                "summed per slice of time."
            )
        if side.lanes_left_out:
            kind = "streams" if what == "device" else "threads"
            notes.append(f"{side.lanes_left_out:,} quieter {kind} are not drawn.")
    if too_deep:
        notes.append(f"{too_deep:,} events nested deeper than {MAX_DEPTH} levels are not drawn.")
    return notes


def _gap_notes(gaps: list[dict[str, Any]]) -> list[str]:
    left_out = sum(gap["left_out"] for gap in gaps)
    return [f"{left_out:,} shorter idle gaps are not drawn."] if left_out else []
