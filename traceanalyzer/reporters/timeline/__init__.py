"""The timeline of the page: every event that fits, as columns small enough to embed.

Rows of a lane are drawn one below the other. A device stream has one row, a host thread one per nesting
depth. An event never outlasts the one around it, so keeping the longest events keeps every kept event's
surroundings; the short rest is summed per lane, kind and slice of time, and said to be so.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.languages import spoken
from traceanalyzer.model.columns import texts
from traceanalyzer.reporters import names, units
from traceanalyzer.reporters.facts import cause_text
from traceanalyzer.reporters.timeline import gaps as idle
from traceanalyzer.reporters.timeline.blocks import blocks_of, snapshot_blocks
from traceanalyzer.reporters.timeline.events import (
    KINDS,
    device_events,
    host_events,
    stream_labels,
    thread_labels,
    whole_ranks,
)
from traceanalyzer.reporters.timeline.lanes import Events, Side, Words, nesting, split
from traceanalyzer.reporters.timeline.memory import curves_of
from traceanalyzer.reporters.timeline.narrowed import Narrowed, calls_of, launchers, module_rows, shape_rows
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.reporters.timeline.blocks import Blocks
    from traceanalyzer.reporters.timeline.memory import Curve
    from traceanalyzer.reporters.timeline.narrowed import Calls
    from traceanalyzer.rules.analysis import Analysis

    Ints = NDArray[np.int64]

BUDGET = 500_000  # events drawn one by one: what a page of 6 MB holds
GPU_BUDGET = 350_000  # of these, at most so many on devices when the host has more to show
SLICES = 2_048  # of the whole trace, for summing what is not drawn one by one
MAX_DEPTH = 14  # rows of a host thread
MAX_STRETCH = 2  # how much longer than the events alone the axis may become by what is known of memory
NAME_LIMIT = 400  # characters of a name that travel with the timeline


def embed(analysis: Analysis, budget: int = BUDGET, narrowed: Narrowed | None = None) -> str | None:
    """The timeline as base64 of zlib of [header length, JSON header, columns]; None without anything to draw.

    Args:
        analysis: what is drawn.
        budget: how many events are drawn one by one.
        narrowed: the tables beside it.
    """
    words = Words()
    whole = whole_ranks(analysis)
    device = split(device_events(analysis, words), stream_labels(analysis), min(budget, GPU_BUDGET), whole)
    host = split(host_events(analysis, words), thread_labels(analysis), budget - len(device.drawn), whole)
    curves = curves_of(analysis, whole)
    if not (len(device.drawn) or len(host.drawn) or curves):
        return None
    packed = _pack(analysis, words, device, host, curves, narrowed or Narrowed())
    return base64.b64encode(zlib.compress(packed, 7)).decode()


def _pack(
    analysis: Analysis,
    words: Words,
    device: Side,
    host: Side,
    curves: Sequence[Curve],
    narrowed: Narrowed,
) -> bytes:
    """Header and columns. Events are in the order lane, row, start; starts are differences within a row."""
    events, lane, row, too_deep = _in_rows(device, host)
    firsts = np.flatnonzero(np.diff(lane, prepend=-1) | np.diff(row, prepend=-1))
    origin, end = _extent(analysis, curves, events, device.rest, host.rest)
    op = launchers(analysis.trace, events)
    name, by, told = _coded(events, op, analysis.trace.ops, words)
    calls = calls_of(analysis.trace, narrowed.modules, origin, end)
    blocks = blocks_of(analysis.trace, narrowed.held, origin, end)
    blocks += snapshot_blocks(analysis.trace, narrowed.held_by_snapshots, origin, end)
    columns = {
        "start": _differences(events.start - origin, firsts), "dur": events.dur, "kind": events.kind, "name": name,
        "by": by, **_sums(device, host, origin, end), **_block_columns(blocks),
        "shape": shape_rows(analysis.trace, op, narrowed.shapes),
        "module": module_rows(analysis.trace, events, narrowed.modules),
        "call_start": np.diff(calls.start, prepend=0), "call_dur": calls.dur, "call_row": calls.row,
    }  # fmt: skip
    blobs = {key: _planes(column) for key, column in columns.items()}
    gaps = idle.gaps_of(analysis)
    drawn_curves = [c for c in curves if c.timed or not len(events)]
    header = {
        "n": len(events), "end": end - origin, "origin": origin,
        "unit": "ns" if len(events) or all(c.timed for c in drawn_curves) else "entries",
        "kinds": KINDS,
        "words": [spoken(word(kind)) for kind in KINDS],
        "names": [names.cut(text, NAME_LIMIT) for text in told],
        "lanes": _lanes(device, host),
        "rows": [[int(lane[f]), int(row[f]), int(f)] for f in firsts],
        "columns": [[key, len(columns[key]), len(blob) // max(1, len(columns[key]))] for key, blob in blobs.items()],
        "slice": (end - origin) / SLICES,
        **_gaps(gaps, origin),
        "steps": _steps(analysis, origin),
        "memory": [curve.packed(origin) for curve in drawn_curves],
        "blocks": [[list(b.rows), len(b.start)] for b in blocks],
        "listed": _listed(told, narrowed.listed),
        "shapes": len(narrowed.shapes),
        "inside": narrowed.inside,
        "notes": [*map(spoken, (*_notes(device, host, too_deep), *idle.notes_of(gaps),
                                *_memory_notes(curves, drawn_curves), *_narrowed_notes(blocks, calls)))],
    }  # fmt: skip
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    return len(head).to_bytes(4, "little") + head + b"".join(blobs.values())


def _differences(start: NDArray[np.int64], firsts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each start less the one before it in its row; the first of a row as it is."""
    delta: NDArray[np.int64] = np.diff(start, prepend=0)
    delta[firsts] = start[firsts]
    return delta


def _lanes(device: Side, host: Side) -> list[dict[str, str]]:
    sides = (("device", device.labels), ("host", host.labels))
    return [{"label": text, "side": side} for side, labels in sides for text in labels]


def _gaps(gaps: Sequence[Mapping[str, Any]], origin: int) -> dict[str, Any]:
    """Idle time, and its causes in words, long and short."""
    causes = sorted({c for gap in gaps for c in gap["cause"] if c})
    return {
        "gaps": [{**gap, "start": [s - origin for s in gap["start"]]} for gap in gaps],
        "causes": {c: spoken(cause_text(c)) for c in causes},
        "brief": {c: spoken(word(c)) for c in causes},
    }


def _steps(analysis: Analysis, origin: int) -> list[list[Any]]:
    """Name, start and end of the steps that the program marked, at most 2,000."""
    steps = analysis.results.get("steps")
    marked = steps.steps if steps and steps.kind != "window" else ()
    return [[names.cut(s.name, 40), s.start_ns - origin, s.window_end_ns - origin] for s in marked[:2_000]]


def _block_columns(blocks: Sequence[Blocks]) -> dict[str, Ints]:
    """All blocks, one device's after the other; starts are differences within a device."""
    if not blocks:
        return {}
    return {
        "block_start": np.concatenate([np.diff(b.start, prepend=0) for b in blocks]),
        "block_dur": np.concatenate([b.dur for b in blocks]),
        "block_bytes": np.concatenate([b.bytes for b in blocks]),
        "block_row": np.concatenate([row for b in blocks for row in b.rows.values()]),
    }


def _in_rows(device: Side, host: Side) -> tuple[Events, Ints, Ints, int]:
    """All events drawn one by one, the lane and the row of each, and how many are nested too deep to be drawn."""
    on_host, depth = nesting(host.drawn)
    shallow = depth < MAX_DEPTH
    on_host, depth = on_host.take(shallow), depth[shallow]
    order = np.lexsort((on_host.start, depth, on_host.lane))
    on_host, depth = on_host.take(order), depth[order]
    on_device, _ = nesting(device.drawn)
    lane = np.concatenate([on_device.lane, on_host.lane + len(device.labels)])
    row = np.concatenate([np.zeros(len(on_device), np.int64), depth])
    return Events.join([on_device, on_host]), lane, row, int((~shallow).sum())


def _coded(events: Events, op: Ints, ops: pa.Table, words: Words) -> tuple[Ints, Ints, list[str]]:
    """Names, and of work on devices the launching op's, as codes from 1 into the names that occur; 0 means none."""
    on_device = (op >= 0) & (events.kind != KINDS.index("host"))
    launched_by = np.where(on_device, np.append(words.add(*texts(ops, "name")), -1)[op], -1)
    used, codes = np.unique(np.concatenate([[-1], events.name, launched_by]), return_inverse=True)
    name, by = codes[1 : 1 + len(events)], codes[1 + len(events) :]
    every = words.all
    return name, by, [every[i] for i in used[1:]]


def _listed(told: Sequence[str], listed: Mapping[str, Sequence[str]]) -> dict[str, list[int]]:
    """The code of the name in each row of each table; 0 where no event that is drawn has it."""
    code = {name: i for i, name in enumerate(told, 1)}
    return {table: [code.get(name, 0) for name in rows] for table, rows in listed.items()}


def _extent(analysis: Analysis, curves: Sequence[Curve], *events: Events) -> tuple[int, int]:
    """Start and end of the time axis: of events and steps, and of memory as long as that does not squeeze them."""
    steps = analysis.results.get("steps")
    marks = [(s.start_ns, s.window_end_ns) for s in steps.steps] if steps else []
    marks += [(int(e.start.min()), int((e.start + e.dur).max())) for e in events if len(e)]
    of_memory = [curve.extent for curve in curves if curve.timed or not marks]
    if not marks:
        return _around(of_memory)
    without, both = _around(marks), _around([*marks, *of_memory])
    return both if both[1] - both[0] <= MAX_STRETCH * (without[1] - without[0]) else without


def _around(marks: Sequence[tuple[int, int]]) -> tuple[int, int]:
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


def _notes(device: Side, host: Side, too_deep: int) -> list[Text]:
    """What the timeline leaves out, in words."""
    notes: list[Text] = []
    sides = (
        (device, say("device"), say("{count} quieter {count:stream|streams} {count:is|are} not drawn.")),
        (host, say("host"), say("{count} quieter {count:thread|threads} {count:is|are} not drawn.")),
    )
    for side, what, quieter in sides:
        if side.longest_summed_ns is not None:
            notes.append(
                say(
                    "{count} {side} {count:event|events} of at most {longest} {count:is|are} summed per slice of time.",
                    count=units.count(len(side.rest)),
                    side=what,
                    longest=units.duration(side.longest_summed_ns),
                )
            )
        if side.lanes_left_out:
            notes.append(quieter.filled(count=units.count(side.lanes_left_out)))
    if KINDS.index("python") in host.drawn.kind:
        notes.append(say("Of threads that run only Python, the functions that findings name are drawn."))
    if too_deep:
        notes.append(
            say(
                "{count} {count:event|events} nested deeper than {most} levels {count:is|are} not drawn.",
                count=units.count(too_deep),
                most=MAX_DEPTH,
            )
        )
    return notes


def _memory_notes(curves: Sequence[Curve], drawn: Sequence[Curve]) -> list[Text]:
    """Why a curve of memory is missing."""
    if len(drawn) == len(curves):
        return []
    return [
        say("The memory snapshot carries no times, so its curve has no place beside the events; see Memory.")
    ]


def _narrowed_notes(blocks: Sequence[Blocks], calls: Calls) -> list[Text]:
    """What a range of the tables of memory and of modules leaves out."""
    smaller, shorter = sum(b.left_out for b in blocks), calls.left_out
    notes = (
        (
            smaller,
            say(
                "{count} smaller {count:block of memory is|blocks of memory are} not counted in a range.",
                count=units.count(smaller),
            ),
        ),
        (
            shorter,
            say(
                "{count} shorter {count:call of a module is|calls of modules are} not counted in a range.",
                count=units.count(shorter),
            ),
        ),
    )
    return [note for number, note in notes if number]
