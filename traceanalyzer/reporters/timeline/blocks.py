"""Blocks of memory over time, each with the row that its owner has in the page's tables: what a range narrows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.owners import Owners
from traceanalyzer.analyzers.snapshot.groups import key_of
from traceanalyzer.analyzers.snapshot.state import device_states
from traceanalyzer.model.columns import ints, present, texts
from traceanalyzer.model.lifetimes import ALLOC, FREE_COMPLETED, lifetimes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.results import Holder, MemoryTimeline
    from traceanalyzer.analyzers.snapshot.device import DeviceState
    from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]
    Held = tuple[MemoryTimeline, Sequence[Holder]]
    HeldBySnapshot = tuple[
        DeviceSnapshot, str, Sequence[str]
    ]  # a device, what it is added up by, the rows' keys

MAX_BLOCKS = 100_000  # of a device; the largest stay
MAX_ENTRIES = 200_000  # of snapshots: their blocks are put together once more for this


@dataclass(frozen=True)
class Blocks:
    """Blocks by start, columns of equal length; `rows` are the owners' rows in each table from 1, or 0 for others'."""

    rows: Mapping[str, Ints]
    start: Ints
    dur: Ints
    bytes: Ints
    left_out: int  # smaller blocks


def blocks_of(trace: Trace, held: Mapping[str, Held], origin: int, end: int) -> list[Blocks]:
    """What the profiler's memory events tell of the tables `held`, by id, between two times (ns)."""
    if not held or not trace.allocations.num_rows:
        return []
    owners = Owners(trace)
    return [_blocks(owners, table, line, rows, origin, end) for table, (line, rows) in held.items()]


def snapshot_blocks(trace: Trace, held: Mapping[str, HeldBySnapshot], origin: int, end: int) -> list[Blocks]:
    """The same of snapshots whose entries carry times. What was there before the window is held from its start on."""
    found = []
    for state in device_states(trace) if held and trace.allocations.num_rows <= MAX_ENTRIES else ():
        mine = {
            table: (by, keys)
            for table, (device, by, keys) in held.items()
            if (device.rank, device.device) == (state.rank, state.device)
        }
        if state.timed and mine:
            found.append(_of_state(state, mine, origin, end))
    return found


def _of_state(
    state: DeviceState, held: Mapping[str, tuple[str, Sequence[str]]], origin: int, end: int
) -> Blocks:
    start = np.where(state.alloc < 0, origin, np.maximum(state.ts[state.alloc], origin))
    until = np.where(state.completed < 0, end, np.minimum(state.ts[state.completed], end))
    kept, left_out = _largest(start, until, state.block_bytes)
    holders = state.grouped(kept)
    rows = {}
    for table, (by, keys) in held.items():
        number = {key: i for i, key in enumerate(keys, 1)}
        row = np.zeros(len(start), np.int64)
        for holder, mine in holders:
            row[mine] = number.get(key_of(holder, by), 0)
        rows[table] = row[kept]
    return Blocks(rows, start[kept] - origin, (until - start)[kept], state.block_bytes[kept], left_out)


def _blocks(
    owners: Owners, table: str, line: MemoryTimeline, listed: Sequence[Holder], origin: int, end: int
) -> Blocks:
    recorded = owners.trace.allocations
    mine = _rows_of(owners.trace, line)
    size = ints(recorded, "bytes", 0)[mine]
    lives = lifetimes(
        (size <= 0).astype(np.int64), [ALLOC, FREE_COMPLETED], ints(recorded, "address", 0)[mine]
    )
    seen = lives.alloc >= 0
    alloc, freed = lives.alloc[seen], lives.completed[seen]
    ts = ints(recorded, "ts")[mine]
    start, until = np.maximum(ts[alloc], origin), np.where(freed < 0, end, np.minimum(ts[freed], end))
    kept, left_out = _largest(start, until, size[alloc])
    row = _table_rows(owners, mine[alloc[kept]], listed)
    return Blocks({table: row}, start[kept] - origin, (until - start)[kept], size[alloc[kept]], left_out)


def _largest(start: Ints, until: Ints, size: Ints) -> tuple[Ints, int]:
    """The largest blocks that live within the axis, by start, and how many smaller ones do."""
    alive = np.flatnonzero(until > start)
    kept = alive[np.argsort(-size[alive], kind="stable")[:MAX_BLOCKS]]
    return kept[np.argsort(start[kept], kind="stable")], len(alive) - len(kept)


def _rows_of(trace: Trace, line: MemoryTimeline) -> Ints:
    """The events of a device, in the order of recording."""
    table = trace.allocations
    kind, kinds = texts(table, "device_type")
    named = np.array([*(name == line.device_type for name in kinds), line.device_type == "unknown"])[kind]
    here = (ints(table, "rank") == line.rank) & (ints(table, "device") == line.device) & named
    return np.flatnonzero(here & ~present(table, "requested"))


def _table_rows(owners: Owners, allocations: Ints, listed: Sequence[Holder]) -> Ints:
    """The row from 1 of each allocation's owner in a table; 0 for owners that it does not list."""
    number = {(holder.op, holder.module, holder.python): i for i, holder in enumerate(listed, 1)}
    row = np.zeros(len(allocations), np.int64)
    for holder, mine in owners.grouped(allocations):
        row[mine] = number.get((holder.op, holder.module, holder.python), 0)
    return row
