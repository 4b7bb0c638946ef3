"""PyTorch's CUDA caching allocator, simulated: where it places requests and what it asks of the driver.

The rules are those of CUDACachingAllocator.cpp: blocks in a pool of small and one of large blocks per private pool
and stream, the smallest that fits, split and merged; on failure free memory is given back and the request tried
again. Addresses are made up, and when a release completes that waits for another stream is up to the caller.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from typing import TYPE_CHECKING

from traceanalyzer.analyzers.allocator_blocks import Block, Pool
from traceanalyzer.analyzers.allocator_settings import (
    MIB,
    MIN_BLOCK,
    SMALL_BLOCK,
    AllocatorSettings,
    segment_bytes,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROUNDING = 20 * MIB  # a block of max_split_size or more serves a request with up to this much less
SPACE = 1 << 40  # addresses that an expandable segment keeps for itself


class OutOfMemory(Exception):
    """The driver has not enough memory left, after everything that can be given back was."""


class Allocator:
    """One device: `reserved` bytes were taken from the driver, which has `limit` bytes in all (None: enough).

    Of free blocks of one size the lowest is taken, so that it matters where the driver puts segments. `placed` are
    the (bytes, address) that it gave, in order; they hold as long as the same is asked for.
    """

    def __init__(
        self, settings: AllocatorSettings, limit: int | None, placed: Iterable[tuple[int, int]] = ()
    ) -> None:
        self.settings, self.limit, self._placed = settings, limit, iter(placed)
        self._held: list[tuple[int, int]] = []  # (address, bytes) of segments
        self.reserved = self.peak_reserved = self.retries = 0
        self.segments: Counter[int] = Counter()  # by size, expandable ones left out
        self._pools: dict[tuple[str | None, int, bool], Pool] = {}
        self._next = SPACE

    def malloc(self, requested: int, stream: int, private: str | None) -> Block:
        """The block for a request.

        Raises:
            OutOfMemory: it does not fit.
        """
        size = self.settings.rounded(requested)
        pool = self._pool(private, stream, size <= SMALL_BLOCK)
        block = self._cached(pool, size)
        if block is None:
            self._collect()
            block = self._from_driver(pool, size)
        if block is None and self._release_oversize(pool, size):
            block = self._from_driver(pool, size)
        if block is None:
            self.release_cached()
            self.retries += 1
            block = self._from_driver(pool, size)
        if block is None:
            raise OutOfMemory
        block.used = True
        if self._splits(block, size):
            rest = Block(block.address + size, block.size - size, pool, before=block, after=block.after)
            block.put_after(rest)
            block.size = size
            pool.add(rest)
        return block

    def free(self, block: Block) -> None:
        """Give a block back to its pool, merged with free neighbours."""
        block.used = False
        for other in (block.before, block.after):
            if other is not None and other.mapped and not other.used:
                block.pool.remove(other)
                block.take_in(other)
        block.pool.add(block)

    def release_cached(self) -> None:
        """Give all free segments back to the driver, as empty_cache() does; private pools keep theirs."""
        for (private, _, _), pool in self._pools.items():
            if private is not None:
                continue
            for _, _, block in list(pool.free):
                if pool.expandable is not None and self._is_of(pool, block):
                    self._unmap(block)
                elif block.whole:
                    self._release(block)

    def adopt(
        self, segments: Iterator[tuple[int, int, str | None, bool, list[tuple[int, bool]]]]
    ) -> list[Block]:
        """Take over segments that are there already; the blocks in use, in the order given.

        Args:
            segments: address, stream, private pool, whether it is small, and (bytes, in use) of its blocks in order.
        """
        used = []
        for begin, stream, private, small, blocks in segments:
            pool = self._pool(private, stream, small)
            total = sum(size for size, _ in blocks)
            before: Block | None = None
            self._reserve(total)
            self._hold(begin, total)
            address = begin
            for size, in_use in blocks:
                block = Block(address, size, pool, in_use, before=before)
                if before is not None:
                    before.after = block
                address, before = address + size, block
                if in_use:
                    used.append(block)
                else:
                    pool.add(block)
        return used

    def pools(self) -> Iterator[Pool]:
        """All pools that were asked for anything."""
        return iter(self._pools.values())

    def _pool(self, private: str | None, stream: int, small: bool) -> Pool:
        return self._pools.setdefault((private, stream, small), Pool(small))

    def _cached(self, pool: Pool, size: int) -> Block | None:
        """The smallest free block that a request may have."""
        pool.requests += 1
        free, most = pool.free, self.settings.max_split
        at = bisect_left(free, (size,))
        if at == len(free):
            return None
        if self.settings.expandable:
            at = self._least_expandable(free, at)
        found = free[at][2]
        if most is not None and (found.size >= most if size < most else found.size >= size + ROUNDING):
            return None
        del free[at]
        return found

    @staticmethod
    def _least_expandable(free: list[tuple[int, int, Block]], at: int) -> int:
        """A block before unmapped space counts with that space, so that it is kept for what is larger."""

        def grown(block: Block) -> int:
            return block.size + (block.after.size if block.after and not block.after.mapped else 0)

        while at + 1 < len(free) and grown(free[at + 1][2]) < grown(free[at][2]):
            at += 1
        return at

    def _splits(self, block: Block, size: int) -> bool:
        rest = block.size - size
        if block.pool.small or self.settings.expandable:
            return rest >= MIN_BLOCK
        most = self.settings.max_split
        return rest > SMALL_BLOCK and (most is None or size < most)

    def _from_driver(self, pool: Pool, size: int) -> Block | None:
        if self.settings.expandable:
            return self._expanded(pool, size)
        total = segment_bytes(size)
        if not self._fits(total):
            return None
        self._reserve(total)
        address = self._place(total)
        self._hold(address, total)
        return Block(address, total, pool)

    def _fits(self, amount: int) -> bool:
        return self.limit is None or self.reserved + amount <= self.limit

    def _reserve(self, amount: int) -> None:
        self.reserved += amount
        self.peak_reserved = max(self.peak_reserved, self.reserved)

    def _place(self, total: int) -> int:
        """Where the driver puts a segment: where it did until something else is asked of it."""
        size, address = next(self._placed, (0, 0))
        at = bisect_left(self._held, (address, 0))
        beside = self._held[max(0, at - 1) : at + 1]
        if size == total and all(b + n <= address or address + total <= b for b, n in beside):
            return address
        self._placed = iter(())
        return self._address(total)

    def _hold(self, address: int, total: int) -> None:
        insort(self._held, (address, total))
        self.segments[total] += 1

    def _address(self, total: int) -> int:
        self._next += total + (1 << 32)
        return self._next - total

    def _collect(self) -> None:
        """Give back large free segments that were not used for long (garbage_collection_threshold)."""
        if not self.settings.collect_above or self.limit is None:
            return
        target = self.reserved - int(self.settings.collect_above * self.limit)
        while target > 0:
            old = [
                (block.pool.requests - block.since, block)
                for pool in self._pools.values() if not pool.small
                for _, _, block in pool.free if block.whole
            ]  # fmt: skip
            if not old:
                return
            mean = sum(age for age, _ in old) / len(old)
            for age, block in old:
                if age >= mean and target > 0:
                    target -= block.size
                    self._release(block)

    def _release_oversize(self, pool: Pool, size: int) -> bool:
        """With max_split_size, give back the blocks that are not split, until the request would fit."""
        if self.settings.max_split is None:
            return False
        wanted = max(size, self.settings.max_split)
        at = bisect_left(pool.free, (wanted,))
        if at < len(pool.free):
            if not pool.free[at][2].whole:
                return False
            self._release(pool.free[at][2])
            return True
        given = 0
        for block_size, _, block in reversed(list(pool.free)):
            if given >= wanted or block_size < self.settings.max_split:
                break
            if block.whole:
                given += block_size
                self._release(block)
        return given >= wanted

    def _release(self, block: Block) -> None:
        block.pool.remove(block)
        self.reserved -= block.size
        self.segments[block.size] -= 1
        self._held.remove((block.address, block.size))

    # Expandable segments: one per pool, of mapped and unmapped blocks.

    def _expanded(self, pool: Pool, size: int) -> Block | None:
        """Map what a request needs, next to free blocks where there are some."""
        block = self._candidate(pool, size)
        if not block.mapped:
            if not self._fits(self._granules(pool, min(size, block.size))):
                return None
            block = self._map(block, min(size, block.size))
        while block.size < size:
            following = block.after
            assert following is not None  # the candidate has room for the request
            missing = min(size - block.size, following.size)
            if not self._fits(self._granules(pool, missing)):
                return None
            block = self._map(following, missing)
        pool.remove(block)
        return block

    def _candidate(self, pool: Pool, size: int) -> Block:
        """The first free stretch, mapped or not, with unmapped space that is large enough."""
        block = pool.expandable
        while block is not None:
            if not block.mapped:
                begin = block.before if block.before is not None and not block.before.used else block
                room = 0
                at: Block | None = begin
                while at is not None and not at.used and room < size:
                    room, at = room + at.size, at.after
                if room >= size:
                    return begin
            block = block.after
        pool.expandable = Block(self._address(SPACE), SPACE, pool, mapped=False)
        return pool.expandable

    @staticmethod
    def _granules(pool: Pool, size: int) -> int:
        return -(-size // pool.granule) * pool.granule

    def _map(self, block: Block, size: int) -> Block:
        """Map the beginning of an unmapped block; the free block that it then is part of."""
        pool, amount = block.pool, min(self._granules(block.pool, size), block.size)
        if amount < block.size:
            rest = Block(
                block.address + amount,
                block.size - amount,
                pool,
                mapped=False,
                before=block,
                after=block.after,
            )
            block.put_after(rest)
            block.size = amount
        block.mapped = True
        self._reserve(amount)
        self.free(block)
        return block

    def _unmap(self, block: Block) -> None:
        """Give back the granules that lie within a free block."""
        pool, begin = block.pool, block.address
        first = self._first_address(pool)
        low = first + -(-(begin - first) // pool.granule) * pool.granule
        high = first + (begin + block.size - first) // pool.granule * pool.granule
        if high <= low:
            return
        pool.remove(block)
        self.reserved -= high - low
        end = begin + block.size
        if low > begin:
            kept = Block(begin, low - begin, pool, before=block.before, after=block)
            if block.before is not None:
                block.before.after = kept
            if pool.expandable is block:
                pool.expandable = kept
            block.before = kept
            pool.add(kept)
        if high < end:
            kept = Block(high, end - high, pool, before=block, after=block.after)
            block.put_after(kept)
            pool.add(kept)
        block.address, block.size, block.mapped = low, high - low, False
        for other in (block.before, block.after):
            if other is not None and not other.mapped:
                block.take_in(other)

    @staticmethod
    def _first_address(pool: Pool) -> int:
        assert pool.expandable is not None
        return pool.expandable.address

    @staticmethod
    def _is_of(pool: Pool, block: Block) -> bool:
        """Whether a block lies in the pool's expandable segment."""
        assert pool.expandable is not None
        return pool.expandable.address <= block.address < pool.expandable.address + SPACE
