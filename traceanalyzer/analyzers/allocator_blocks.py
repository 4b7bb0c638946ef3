"""The allocator's blocks, each with its neighbours in its segment, and the pools that hold free ones."""

from __future__ import annotations

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from traceanalyzer.analyzers.allocator_settings import MIB


@dataclass(slots=True, eq=False)
class Block:
    """A stretch of a segment; `before` and `after` are its neighbours there."""

    address: int
    size: int
    pool: Pool
    used: bool = False
    mapped: bool = True
    before: Block | None = None
    after: Block | None = None
    since: int = 0  # requests of the pool when it became free

    @property
    def whole(self) -> bool:
        """Whether it is all of its segment."""
        return self.before is None and self.after is None

    def put_after(self, rest: Block) -> None:
        """Put a block, whose neighbours are set, after this one."""
        if self.after is not None:
            self.after.before = rest
        self.after = rest

    def take_in(self, other: Block) -> None:
        """Take in a neighbour."""
        if other is self.before:
            self.address, self.before = other.address, other.before
            if other.before is not None:
                other.before.after = self
            if self.pool.expandable is other:
                self.pool.expandable = self
        else:
            self.after = other.after
            if other.after is not None:
                other.after.before = self
        self.size += other.size


@dataclass(slots=True, eq=False)
class Pool:
    """Blocks of one kind that one stream may use; `free` is sorted by size, then address."""

    small: bool
    free: list[tuple[int, int, Block]] = field(default_factory=list)
    expandable: Block | None = None  # the first block of its expandable segment
    requests: int = 0

    @property
    def granule(self) -> int:
        """What an expandable segment grows and shrinks by."""
        return 2 * MIB if self.small else 20 * MIB

    def add(self, block: Block) -> None:
        """Take in a free block."""
        block.since = self.requests
        insort(self.free, (block.size, block.address, block))

    def remove(self, block: Block) -> None:
        """Take out a free block."""
        del self.free[bisect_left(self.free, (block.size, block.address))]
