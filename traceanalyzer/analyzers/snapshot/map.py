"""Where blocks lie in their segments at a moment, and what active memory was for over time."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.snapshot.categories import CATEGORIES
from traceanalyzer.analyzers.snapshot.free import segments_after
from traceanalyzer.analyzers.snapshot.results import Composition, SegmentMap, SegmentRow
from traceanalyzer.model.sizes import size as spelled
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.analyzers.snapshot.device import DeviceState

    Ints = NDArray[np.int64]

MAX_SEGMENTS = 40
MAX_RUNS = 60  # per segment: the eye tells no more apart
MAX_COLUMNS = 240


def segment_map(state: DeviceState, entry: int | None) -> SegmentMap | None:
    """Segments in use after an entry (None: at the end), those with most free memory first, and what lies in them.

    Segments that hold nothing are counted only.

    None where the entries do not tell, which is so for expandable segments that changed since.
    """
    segments = segments_after(state, len(state.rows) if entry is None else entry)
    if segments is None:
        return None
    live = state.live_after(entry)
    live = live[np.argsort(state.block_address[live])]
    address, size = state.block_address[live], state.block_bytes[live]
    category = state.category_codes[live]
    begin = np.array([s[0] for s in segments], np.int64)
    total = np.array([s[1] for s in segments], np.int64)
    low, high = np.searchsorted(address, begin), np.searchsorted(address, begin + total)
    until = np.append(0, np.cumsum(size))
    active = until[high] - until[low]
    rows = []
    order = np.lexsort((begin, -total, active - total))
    for i in order[active[order] > 0][:MAX_SEGMENTS].tolist():
        inside = slice(low[i], high[i])
        runs = _runs(address[inside] - begin[i], size[inside], category[inside], int(total[i]))
        start, amount, stream, pool = segments[i]
        rows.append(SegmentRow(start, amount, int(active[i]), int(high[i] - low[i]), stream, pool, runs))
    empty = active == 0
    return SegmentMap(len(segments), int(total.sum()), tuple(rows), int(empty.sum()), int(total[empty].sum()))


def told_empty(found: SegmentMap) -> Text:
    """The segments that hold nothing, in a sentence."""
    return say(
        "Segments that hold nothing: {count}, {size} in all.",
        count=f"{found.empty_count:,}",
        size=spelled(found.empty_bytes),
    )


def _runs(offset: Ints, size: Ints, category: Ints, total: int) -> tuple[tuple[int, int, str], ...]:
    """(offset, bytes, category) of stretches; the gaps between them are free.

    With more blocks than MAX_RUNS, the segment is cut into as many equal parts and each tells what fills most of it.
    """
    if not len(offset):
        return ()
    joins = (offset[1:] == offset[:-1] + size[:-1]) & (category[1:] == category[:-1])
    starts = np.flatnonzero(np.append(True, ~joins))
    ends = np.append(starts[1:], len(offset)) - 1
    first, last, kind = offset[starts], offset[ends] + size[ends], category[starts]
    if len(starts) > MAX_RUNS:
        first, last, kind = _coarse(first, last, kind, total)
    return tuple(
        (begin, end - begin, CATEGORIES[code])
        for begin, end, code in zip(first.tolist(), last.tolist(), kind.tolist(), strict=True)
    )


def _coarse(first: Ints, last: Ints, kind: Ints, total: int) -> tuple[Ints, Ints, Ints]:
    edges = np.linspace(0, total, MAX_RUNS + 1).astype(np.int64)
    filled = np.zeros((MAX_RUNS, len(CATEGORIES)), np.int64)
    for begin, end, code in zip(first.tolist(), last.tolist(), kind.tolist(), strict=True):
        low, high = np.searchsorted(edges, [begin, end], side="right") - 1
        for part in range(low, min(high, MAX_RUNS - 1) + 1):
            filled[part, code] += max(0, min(end, edges[part + 1]) - max(begin, edges[part]))
    most = filled.argmax(axis=1)
    used = np.flatnonzero(filled.sum(axis=1) * 2 >= np.diff(edges))
    return edges[used], edges[used + 1], most[used]


def composition(state: DeviceState) -> Composition:
    """Active bytes by category over time: at the ends, and at the fullest moment of at most MAX_COLUMNS stretches."""
    count = len(state.rows)
    if not count:
        return Composition((), {})
    edges = np.linspace(0, count, min(count, MAX_COLUMNS) + 1).astype(np.int64)
    fullest = [low + int(state.active[low:high].argmax()) for low, high in itertools.pairwise(edges)]
    moments = np.unique([0, *fullest, count - 1])
    held = {}
    for code, name in enumerate(CATEGORIES):
        blocks = np.flatnonzero(state.category_codes == code)
        curve = _held(state, blocks)[moments]
        if curve.any():
            held[name] = tuple(curve.tolist())
    at = state.ts[moments] if state.timed else moments
    return Composition(tuple(at.tolist()), held)


def _held(state: DeviceState, blocks: Ints) -> Ints:
    """Active bytes of some blocks after each entry."""
    size, made, ended = state.block_bytes[blocks], state.alloc[blocks], state.completed[blocks]
    change = np.zeros(len(state.rows), np.int64)
    np.add.at(change, made[made >= 0], size[made >= 0])
    np.subtract.at(change, ended[ended >= 0], size[ended >= 0])
    return np.cumsum(change) + int(size[made < 0].sum())
