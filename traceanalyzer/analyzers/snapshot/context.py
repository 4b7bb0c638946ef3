"""Around what each block was allocated: the innermost annotation, the pool, the compiled graph.

Each as (codes, names): codes of shape (blocks,) or (entries,), -1 where it was not recorded.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints, texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.analyzers.snapshot.device import DeviceState

    Ints = NDArray[np.int64]
    Coded = tuple[Ints, list[str]]

OPEN_END = (1 << 62) - 1


def annotation_of_entries(state: DeviceState) -> Coded:
    """The snapshot's own innermost annotation around each entry; ranges are painted over those around them."""
    table = state.trace.annotations
    domain, domains = texts(table, "domain")
    own = domains.index("memory_snapshot") if "memory_snapshot" in domains else -2
    mine = np.flatnonzero((domain == own) & (ints(table, "rank") == state.rank))
    found = np.full(len(state.rows), -1, np.int64)
    code, names = texts(table, "name")
    if not state.timed:
        return found, names
    start = ints(table, "ts")[mine]  # sorted: a range comes after those around it
    low = np.searchsorted(state.ts, start)
    high = np.searchsorted(state.ts, start + ints(table, "dur", OPEN_END)[mine])
    for name, first, last in zip(code[mine].tolist(), low.tolist(), high.tolist(), strict=True):
        found[first:last] = name
    return found, names


def of_blocks(state: DeviceState, of_entries: Coded) -> Coded:
    """What is known of each block's allocation; -1 for one before the window."""
    codes, names = of_entries
    if not len(codes):
        return np.full(len(state.alloc), -1, np.int64), names
    return np.where(state.alloc >= 0, codes[state.alloc], -1), names


def any_number(coded: Coded) -> Coded:
    """Annotations that differ in a number at the end only, such as ProfilerStep#7, as one: ProfilerStep#*."""
    codes, names = coded
    distinct: dict[str, int] = {}
    kind = [distinct.setdefault(re.sub(r"#\d+$", "#*", name), len(distinct)) for name in names]
    return np.array([*kind, -1], np.int64)[codes], list(distinct)


def column_of_entries(state: DeviceState, column: str) -> Coded:
    """A text column of the entries."""
    code, names = texts(state.trace.allocations, column)
    return code[state.rows].astype(np.int64), names


def pool_of_blocks(state: DeviceState) -> Coded:
    """The pool of the segment in which a block lies at the end, else the one that its entry names."""
    segments = state.trace.segments
    code, names = texts(segments, "pool")
    found, of_entry = of_blocks(state, column_of_entries(state, "pool"))
    number = {name: i for i, name in enumerate(names)}
    names += [name for name in of_entry if name not in number]
    number = {name: i for i, name in enumerate(names)}
    found = np.array([*(number[name] for name in of_entry), -1], np.int64)[found]
    rows = state.segments[np.argsort(ints(segments, "address")[state.segments])]
    if not len(rows):
        return found, names
    start, size = ints(segments, "address")[rows], ints(segments, "bytes")[rows]
    place = np.searchsorted(start, state.block_address, side="right") - 1
    inside = (place >= 0) & (state.block_address < start[place] + size[place])
    return np.where(inside, code[rows][place], found), names
