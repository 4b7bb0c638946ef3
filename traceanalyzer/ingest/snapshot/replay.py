"""How much was allocated, active, requested and reserved after each entry of a snapshot.

The ring buffer keeps the newest entries only, so the totals are counted backwards from the state at the end,
which the segments give exactly. An entry has the size that was asked for; the block's size follows from the
allocator's rules (CUDACachingAllocator): rounded up to 512 bytes, and in a pool of large blocks with up to 1 MiB
more, when the rest of a free block was too small to split off. That rest is found by keeping the map of free
blocks while the entries run forwards.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.lifetimes import Lifetimes, lifetimes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MIN_BLOCK = 512
SMALL_BLOCK = 1 << 20  # up to here a block comes from a small segment, and a larger rest is split off
SMALL_SEGMENT = 2 << 20
_RESERVED = {"segment_alloc": 1, "segment_map": 1, "segment_free": -1, "segment_unmap": -1}


@dataclass(frozen=True)
class State:
    """One device when the snapshot was taken: its segments, and the blocks in them that are not inactive."""

    segment_address: Ints
    segment_bytes: Ints
    expandable: bool
    block_address: Ints
    block_bytes: Ints
    block_requested: Ints
    pending: NDArray[np.bool_]  # released, but waiting for a stream
    max_split: int  # larger free blocks are not split (max_split_size_mb), 0 for no limit


@dataclass(frozen=True)
class Replay:
    """Totals after each entry, shape (entries,), and the signed size of the entry's block (0 for other entries).

    `estimated` blocks have a size that could be up to 1 MiB larger: they were allocated before the window and
    released in it. `unknown` blocks are live by the entries but not in the segments: the snapshot contradicts
    itself.
    """

    bytes: Ints
    allocated: Ints
    active: Ints
    requested: Ints
    reserved: Ints
    estimated: int
    unknown: int


def replay(
    action: NDArray[np.integer], actions: list[str], address: Ints, size: Ints, state: State
) -> Replay:
    """The totals after each entry.

    Args:
        action: codes into `actions`, shape (entries,), in the order of recording.
        actions: texts of the codes.
        address: address of each entry.
        size: size of each entry as recorded.
        state: what the segments say about the end.
    """
    lives = lifetimes(action, actions, address)
    any_entry = np.maximum(np.maximum(lives.alloc, lives.requested), lives.completed)
    asked = size[any_entry] if len(any_entry) else lives.address
    rounded = np.maximum(MIN_BLOCK, -(-asked // MIN_BLOCK) * MIN_BLOCK)
    kept, unknown = _sizes_at_the_end(lives, state)
    sign = np.array([*(_RESERVED.get(a, 0) for a in actions), 0])[action]
    if state.expandable:
        block, estimated = np.where(kept >= 0, kept, rounded), 0
    else:
        block, estimated = _Map(state, lives, rounded, kept).sizes(address, size, sign)
    n = len(action)
    deltas = {name: np.zeros(n, np.int64) for name in ("bytes", "allocated", "active", "requested")}
    for at, how, names in (
        (lives.alloc, 1, ("bytes", "allocated", "active", "requested")),
        (lives.completed, -1, ("bytes", "active", "requested")),
        (np.where(lives.requested >= 0, lives.requested, lives.completed), -1, ("allocated",)),
    ):
        there = at >= 0
        for name in names:
            deltas[name][at[there]] += how * (asked if name == "requested" else block)[there]
    ends = {
        "allocated": int(state.block_bytes[~state.pending].sum()),
        "active": int(state.block_bytes.sum()),
        "requested": int(state.block_requested.sum()),
    }
    totals = {name: _backwards(deltas[name], end) for name, end in ends.items()}
    reserved = _backwards(sign * size, int(state.segment_bytes.sum()))
    return Replay(deltas["bytes"], **totals, reserved=reserved, estimated=estimated, unknown=unknown)


def _backwards(delta: Ints, end: int) -> Ints:
    """Running totals that arrive at `end` after the last entry."""
    total = np.cumsum(delta)
    return total + (end - (int(total[-1]) if len(total) else 0))


def _sizes_at_the_end(lives: Lifetimes, state: State) -> tuple[Ints, int]:
    """Exact sizes of the blocks that are live at the end (-1 for others), and how many of them are not there."""
    result = np.full(len(lives.address), -1, np.int64)
    live = np.flatnonzero(lives.completed < 0)
    if not len(live) or not len(state.block_address):
        return result, len(live)
    order = np.argsort(state.block_address)
    place = np.searchsorted(state.block_address[order], lives.address[live]).clip(max=len(order) - 1)
    found = state.block_address[order][place] == lives.address[live]
    result[live[found]] = state.block_bytes[order][place[found]]
    return result, int((~found).sum())


class _Map:
    """The free blocks of large segments, from the start of the window on.

    Where entries contradict each other, as when another thread allocated meanwhile, free blocks may overlap.
    """

    def __init__(self, state: State, lives: Lifetimes, rounded: Ints, kept: Ints) -> None:
        self.state, self.lives, self.kept = state, lives, kept
        self.size = np.where(kept >= 0, kept, rounded)
        self.large = rounded > SMALL_BLOCK
        self.free: dict[int, int] = {}  # start → size
        self.free_end: dict[int, int] = {}  # end → start
        # segments may touch, but blocks of different segments do not merge
        self.starts: set[int] = set()
        self.ends: set[int] = set()

    def sizes(self, address: Ints, size: Ints, sign: Ints) -> tuple[Ints, int]:
        """Sizes of all blocks, and how many are estimates."""
        before = self.large & (self.lives.alloc < 0) & (self.lives.completed >= 0)
        self._start(address, size, sign)
        events = self._events(address, size, sign)
        estimated = int(before.sum())
        sizes = self.size.tolist()
        kept = self.kept.tolist()
        most = self.state.max_split or 1 << 62
        for what, where, amount in events:
            if what >= 0:  # allocation of block `what`
                room = self.free.pop(where, None)
                if room is None:
                    estimated += kept[what] < 0
                    continue
                self.free_end.pop(where + room, None)
                rest = room - sizes[what]
                if kept[what] < 0 and (rest <= SMALL_BLOCK or sizes[what] >= most):
                    sizes[what] = room
                if (rest := room - sizes[what]) > 0:
                    self._add(where + sizes[what], rest)
            elif what == -1:
                self.starts.add(where)
                self.ends.add(where + amount)
                self._add(where, amount)
            elif what == -2:
                self.starts.discard(where)
                self.ends.discard(where + amount)
                if self.free.pop(where, None) is not None:
                    self.free_end.pop(where + amount, None)
            else:  # release of block -what - 3
                self._release(where, sizes[-what - 3])
        return np.array(sizes, np.int64).reshape(-1), estimated

    def _add(self, start: int, amount: int) -> None:
        self.free[start] = amount
        self.free_end[start + amount] = start

    def _release(self, start: int, amount: int) -> None:
        end = start + amount
        if end not in self.ends and (after := self.free.pop(end, None)) is not None:
            self.free_end.pop(end + after, None)
            amount += after
        if start not in self.starts and (before := self.free_end.pop(start, None)) is not None:
            self.free.pop(before, None)
            amount, start = amount + start - before, before
        self._add(start, amount)

    def _events(self, address: Ints, size: Ints, sign: Ints) -> list[tuple[int, int, int]]:
        """What happens to large blocks and segments, in order, as (what, where, bytes)."""
        lives, blocks = self.lives, np.flatnonzero(self.large)
        made = blocks[lives.alloc[blocks] >= 0]
        ended = blocks[lives.completed[blocks] >= 0]
        segments = np.flatnonzero((sign != 0) & (size > SMALL_SEGMENT))
        at = np.concatenate([lives.alloc[made], lives.completed[ended], segments])
        what = np.concatenate([made, -ended - 3, np.where(sign[segments] > 0, -1, -2)])
        order = np.argsort(at, kind="stable")
        at, what = at[order], what[order]
        return list(zip(what.tolist(), address[at].tolist(), size[at].tolist(), strict=True))

    def _start(self, address: Ints, size: Ints, sign: Ints) -> None:
        """The map before the first entry: the segments of then, less the large blocks of then."""
        segments = dict(
            zip(self.state.segment_address.tolist(), self.state.segment_bytes.tolist(), strict=True)
        )
        for row in np.flatnonzero(sign)[::-1].tolist():
            if sign[row] > 0:
                segments.pop(int(address[row]), None)
            else:
                segments[int(address[row])] = int(size[row])
        self.starts.update(segments)
        self.ends.update(start + amount for start, amount in segments.items())
        untouched = ~np.isin(self.state.block_address, self.lives.address)
        first = _first_of_each(self.lives.address, self.lives.alloc < 0)
        taken = sorted(
            [
                *zip(self.lives.address[first].tolist(), self.size[first].tolist(), strict=True),
                *zip(
                    self.state.block_address[untouched].tolist(),
                    self.state.block_bytes[untouched].tolist(),
                    strict=True,
                ),
            ]
        )
        starts = np.array([a for a, _ in taken], np.int64)
        for begin, amount in segments.items():
            position = begin
            low, high = np.searchsorted(starts, [begin, begin + amount])
            for block, length in taken[low:high]:
                if block > position:
                    self._add(position, block - position)
                position = block + length
            if position < begin + amount:
                self._add(position, begin + amount - position)


def _first_of_each(address: Ints, chosen: NDArray[np.bool_]) -> Ints:
    """Rows that are chosen and the first of their address (rows are sorted by address)."""
    first = np.ones(len(address), np.bool_)
    first[1:] = address[1:] != address[:-1]
    return np.flatnonzero(first & chosen)
