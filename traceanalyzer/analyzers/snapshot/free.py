"""Free blocks at a moment: the segments of then, less the blocks that were active then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.snapshot.results import FreeMemory
from traceanalyzer.model.columns import ints, texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.analyzers.snapshot.device import DeviceState

    Ints = NDArray[np.int64]

SMALL_SEGMENT = 2 << 20


def free_memory(state: DeviceState, entry: int | None, stream: int | None, pool: str | None) -> FreeMemory:
    """Free memory within the segments after an entry, or at the end.

    Args:
        state: the device.
        entry: position of the entry, None for the end.
        stream: stream that asks; None for any.
        pool: pool that asks; None for any.
    """
    segments = state.trace.segments
    rows = state.segments
    start, size = ints(segments, "address")[rows], ints(segments, "bytes")[rows]
    streams = ints(segments, "stream")[rows]
    code, pools = texts(segments, "pool")
    pool_code = code[rows].astype(np.int64)
    expandable = any(segments["expandable"].take(rows).to_pylist())
    if entry is not None:
        moves = _segment_moves(state, entry)
        if expandable and moves:
            reserved, active = int(state.reserved[entry]), int(state.active[entry])
            return FreeMemory(reserved - active, None, None, None, None, None, None)
        start, size, streams, pool_code = _undone(state, moves, start, size, streams, pool_code)
    live = state.live_after(entry)
    gap, owner = _gaps(start, size, state.block_address[live], state.block_bytes[live])
    small = (size == SMALL_SEGMENT)[owner]
    mine = np.ones(len(owner), np.bool_)
    same_pool = mine.copy()
    if stream is not None:
        mine = streams[owner] == stream
    if pool is not None and pool in pools:
        same_pool = pool_code[owner] == pools.index(pool)
    whole = gap == size[owner]
    return FreeMemory(
        total_bytes=int(gap.sum()),
        largest_bytes=_largest(gap, ~small & mine & same_pool),
        largest_small_bytes=_largest(gap, small & mine & same_pool),
        other_streams_largest_bytes=_largest(gap, ~mine & same_pool),
        other_pools_largest_bytes=_largest(gap, ~same_pool),
        whole_segments_bytes=int(gap[whole].sum()),
        split_bytes=int(gap[~whole].sum()),
    )


def segments_after(state: DeviceState, entry: int) -> list[tuple[int, int, int, str | None]] | None:
    """The segments after an entry (-1: before the first) by address: (address, bytes, stream, pool).

    None where expandable ones changed since: the entries do not tell what they were joined to.
    """
    segments, rows = state.trace.segments, state.segments
    moves = _segment_moves(state, entry)
    if moves and any(segments["expandable"].take(rows).to_pylist()):
        return None
    code, pools = texts(segments, "pool")
    start, size, stream = (ints(segments, name)[rows] for name in ("address", "bytes", "stream"))
    found = _undone(state, moves, start, size, stream, code[rows].astype(np.int64))
    columns = zip(*(column.tolist() for column in found), strict=True)
    return [(a, b, s, pools[p] if p >= 0 else None) for a, b, s, p in columns]


def _largest(gap: Ints, chosen: NDArray[np.bool_]) -> int:
    return int(gap[chosen].max()) if chosen.any() else 0


def _segment_moves(state: DeviceState, entry: int) -> list[tuple[int, int]]:
    """What happened to segments after the entry, latest first, as (position, sign)."""
    signs = {"segment_alloc": 1, "segment_map": 1, "segment_free": -1, "segment_unmap": -1}
    found = [(int(p), sign) for name, sign in signs.items() for p in state.positions(name) if p > entry]
    return sorted(found, reverse=True)


def _undone(
    state: DeviceState, moves: list[tuple[int, int]], start: Ints, size: Ints, stream: Ints, pool: Ints
) -> tuple[Ints, Ints, Ints, Ints]:
    """The segments before those moves."""
    table = {
        a: (b, s, p)
        for a, b, s, p in zip(start.tolist(), size.tolist(), stream.tolist(), pool.tolist(), strict=True)
    }
    for position, sign in moves:
        if sign > 0:
            table.pop(int(state.address[position]), None)
        else:
            table[int(state.address[position])] = (int(state.size[position]), int(state.stream[position]), -1)
    rows = np.array([(a, *rest) for a, rest in sorted(table.items())], np.int64).reshape(-1, 4)
    return rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3]


def _gaps(start: Ints, size: Ints, address: Ints, length: Ints) -> tuple[Ints, Ints]:
    """Sizes of the free stretches and the index of the segment of each."""
    by_start = np.argsort(start)
    at = np.argsort(address)
    address, length = address[at], length[at]
    owner = by_start[np.searchsorted(start[by_start], address, side="right") - 1] if len(start) else at
    # stretches begin at segment starts and block ends, and last until the next block or the segment's end
    begins = np.concatenate([start, address + length])
    owners = np.concatenate([np.arange(len(start)), owner])
    following = np.searchsorted(address, begins, side="left")
    next_block = np.append(address, np.iinfo(np.int64).max)[following]
    ends = np.minimum(next_block, (start + size)[owners]) if len(start) else begins
    gap = ends - begins
    real = gap > 0
    return gap[real], owners[real]
