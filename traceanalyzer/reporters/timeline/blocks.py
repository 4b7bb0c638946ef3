"""Blocks of memory over time, each with the row of the page's table that its owner has: what a range narrows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.owners import Owners
from traceanalyzer.model.columns import ints, present, texts
from traceanalyzer.model.lifetimes import ALLOC, FREE_COMPLETED, lifetimes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.results import Holder, MemoryTimeline
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]
    Held = tuple[MemoryTimeline, Sequence[Holder]]

MAX_BLOCKS = 100_000  # of a device; the largest stay


@dataclass(frozen=True)
class Blocks:
    """Blocks by start, columns of equal length; `row` is the owner's row in `table` from 1, or 0 for others'."""

    table: str
    start: Ints
    dur: Ints
    bytes: Ints
    row: Ints


def blocks_of(trace: Trace, held: Mapping[str, Held], origin: int, end: int) -> list[Blocks]:
    """What the profiler's memory events tell of the tables `held`, by id, between two times (ns)."""
    if not held or not trace.allocations.num_rows:
        return []
    owners = Owners(trace)
    return [_blocks(owners, table, line, rows, origin, end) for table, (line, rows) in held.items()]


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
    kept = np.flatnonzero(until > start)
    kept = kept[np.argsort(-size[alloc[kept]], kind="stable")[:MAX_BLOCKS]]
    kept = kept[np.argsort(start[kept], kind="stable")]
    row = _table_rows(owners, mine[alloc[kept]], listed)
    return Blocks(table, start[kept] - origin, (until - start)[kept], size[alloc[kept]], row)


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
