"""One device of a snapshot in arrays: entries, the blocks that lived, and who holds what at a moment."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.owners import Owners
from traceanalyzer.analyzers.snapshot.categories import CATEGORIES
from traceanalyzer.analyzers.snapshot.context import (
    annotation_of_entries,
    any_number,
    column_of_entries,
    of_blocks,
    pool_of_blocks,
)
from traceanalyzer.analyzers.snapshot.free import free_memory
from traceanalyzer.analyzers.snapshot.results import FreeMemory, Moment, StackHolder
from traceanalyzer.analyzers.snapshot.rounds import caches, rounds
from traceanalyzer.analyzers.snapshot.stacks import Place, StackTable, in_backward
from traceanalyzer.model.columns import ints, present, texts
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.lifetimes import lifetimes
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.snapshot.categories import Categories
    from traceanalyzer.model.trace import Trace
    from traceanalyzer.text import Text

    Ints = NDArray[np.int64]

MAX_HOLDERS = 500
RELEASED_SOMEWHERE = -2


class DeviceState:
    """The rows of one rank and device. Positions count the device's own entries, in the order of recording."""

    def __init__(
        self, trace: Trace, rank: int, device: int, stacks: StackTable, categories: Categories
    ) -> None:
        self.trace, self.rank, self.device = trace, rank, device
        self.stacks, self.categories = stacks, categories
        rows = trace.allocations
        mine = (ints(rows, "rank") == rank) & (ints(rows, "device") == device) & present(rows, "requested")
        self.rows = np.flatnonzero(mine)
        self.action, self.actions = texts(rows, "action")
        self.action = self.action[self.rows]
        self.address = self._column("address")
        self.size = self._column("requested", 0)
        self.ts = self._column("ts")
        self.timed = bool(len(self.rows)) and bool((self.ts >= 0).all())
        self.allocated, self.active = self._column("allocated", 0), self._column("active", 0)
        self.requested, self.reserved = self._column("requested_total", 0), self._column("reserved", 0)
        self.stack, self.stream = self._with_backward(self._column("stack")), self._column("stream")
        self.step = self._column("step")
        self.segments = self._of_device("segments")
        self.blocks = self._of_device("blocks")
        self._lives()

    def _column(self, name: str, fill: int = -1) -> Ints:
        return ints(self.trace.allocations, name, fill)[self.rows]

    def _with_backward(self, stack: Ints) -> Ints:
        """Entries without a stack that follow one in a backward pass get its stack.

        Autograd works in threads without Python code, whose entries have no Python stack, while the caller waits.
        """
        kinds, which = np.unique(stack, return_inverse=True)
        backward = np.array([k >= 0 and in_backward(self.stacks.frames(k)) for k in kinds.tolist()], np.bool_)
        told = np.maximum.accumulate(np.where(stack >= 0, np.arange(len(stack)), -1))
        lent = (stack < 0) & (told >= 0)
        lent[lent] = backward[which][told[lent]]
        return np.where(lent, stack[told], stack)

    def _of_device(self, table: str) -> Ints:
        found = self.trace.tables[table]
        return np.flatnonzero((ints(found, "rank") == self.rank) & (ints(found, "device") == self.device))

    def positions(self, action: str) -> Ints:
        """Positions of the entries with an action."""
        code = self.actions.index(action) if action in self.actions else -2
        return np.flatnonzero(self.action == code)

    def _lives(self) -> None:
        """Every block that lived in the window or is live at the end: its life, size, stack and pool."""
        lives = lifetimes(self.action, self.actions, self.address)
        blocks = self.trace.blocks
        state, states = texts(blocks, "state")
        held = self.blocks[state[self.blocks] != (states.index("inactive") if "inactive" in states else -2)]
        where = ints(blocks, "address")[held]
        untouched = held[~np.isin(where, lives.address[lives.completed < 0])]
        by_entry, extra = len(lives.address), len(untouched)
        some = np.maximum(np.maximum(lives.alloc, lives.requested), lives.completed)
        moved = ints(self.trace.allocations, "bytes", 0)[self.rows]
        old = np.full(extra, -1, np.int64)
        self.block_address = np.concatenate(
            [lives.address, where[~np.isin(where, lives.address[lives.completed < 0])]]
        )
        self.alloc = np.concatenate([lives.alloc, old])
        self.released = np.concatenate([lives.requested, old])
        self.completed = np.concatenate([lives.completed, old])
        asked = self.size[some] if by_entry else lives.address
        size = np.where(lives.alloc >= 0, moved[lives.alloc], -moved[lives.completed]) if by_entry else asked
        stack = np.where(lives.alloc >= 0, self.stack[lives.alloc], -1) if by_entry else asked
        stream = self.stream[some] if by_entry else asked
        # what the segments know of blocks that are live at the end
        order = np.argsort(where)
        live = np.flatnonzero(lives.completed < 0)
        if len(live) and len(where):
            place = np.searchsorted(where[order], lives.address[live]).clip(max=len(where) - 1)
            found = where[order][place] == lives.address[live]
            row = held[order][place[found]]
            size[live[found]] = ints(blocks, "bytes")[row]
            own = ints(blocks, "stack")[row]
            stack[live[found]] = np.where(stack[live[found]] >= 0, stack[live[found]], own)
        segment = ints(blocks, "segment")
        self.block_bytes = np.concatenate([size, ints(blocks, "bytes")[untouched]])
        self.block_requested = np.concatenate([asked, ints(blocks, "requested", 0)[untouched]])
        self.block_stack = np.concatenate([stack, ints(blocks, "stack")[untouched]])
        self.block_stream = np.concatenate(
            [stream, ints(self.trace.segments, "stream")[segment[untouched]] if extra else old]
        )

    def live_after(self, entry: int | None) -> Ints:
        """Blocks that are active after an entry, or at the end."""
        if entry is None:
            return np.flatnonzero(self.completed < 0)
        return np.flatnonzero((self.alloc <= entry) & ((self.completed < 0) | (self.completed > entry)))

    @cached_property
    def block_category(self) -> list[tuple[str, Text]]:
        """Category and reason of every block."""
        freed = np.where(self.released >= 0, self.released, self.completed)
        by = np.where(freed >= 0, self.stack[freed], -1) if len(self.stack) else freed
        by = np.where((freed >= 0) & (by < 0), RELEASED_SOMEWHERE, by)
        cached = ("kv_cache", say("grows from round to round in forward, the shorter one released"))
        return [
            cached if s in self.caches else self.categories.of(s, r)
            for s, r in zip(self.block_stack.tolist(), by.tolist(), strict=True)
        ]

    @cached_property
    def loop(self) -> Ints:
        """The step of each entry; the round of a loop where no steps were marked."""
        return self.step if (self.step >= 0).any() else rounds(self)

    @cached_property
    def caches(self) -> dict[int, tuple[int, int, int]]:
        """Stacks whose memory grows like a cache of keys and values, see `snapshot_rounds.caches`."""
        return caches(self)

    @cached_property
    def category_codes(self) -> Ints:
        """The category of every block, as a place in CATEGORIES."""
        code = {name: i for i, name in enumerate(CATEGORIES)}
        return np.array([code[category] for category, _ in self.block_category], np.int64)

    def moment(self, name: str, entry: int | None) -> Moment:
        """Who holds what after an entry, or at the end."""
        live = self.live_after(entry)
        held = np.bincount(self.category_codes[live], self.block_requested[live], len(CATEGORIES)).astype(
            np.int64
        )
        by_category = {name: amount for name, amount in zip(CATEGORIES, held.tolist(), strict=True) if amount}
        totals = self.totals_at(entry)
        return Moment(
            name,
            entry,
            int(self.ts[entry]) if entry is not None and self.timed else None,
            **totals,
            holders=self.holders_at(entry)[:MAX_HOLDERS],
            by_category=dict(sorted(by_category.items(), key=lambda item: (-item[1], item[0]))),
            unseen_bytes=int(self.block_bytes[live][self.block_stack[live] < 0].sum()),
        )

    def totals_at(self, entry: int | None) -> dict[str, int]:
        """Allocated, active, requested and reserved bytes after an entry, or at the end as the segments say."""
        if entry is not None:
            columns = (self.allocated, self.active, self.requested, self.reserved)
            values = [int(c[entry]) for c in columns]
        else:
            live, blocks = self.live_after(None), self.trace.blocks
            state, states = texts(blocks, "state")
            held = states.index("active_allocated") if "active_allocated" in states else -2
            mine = self.blocks[state[self.blocks] == held]
            values = [
                int(ints(blocks, "bytes")[mine].sum()), int(self.block_bytes[live].sum()),
                int(self.block_requested[live].sum()),
                int(ints(self.trace.segments, "bytes")[self.segments].sum()),
            ]  # fmt: skip
        names = ("allocated_bytes", "active_bytes", "requested_bytes", "reserved_bytes")
        return dict(zip(names, values, strict=True))

    def holders_at(self, entry: int | None) -> tuple[StackHolder, ...]:
        """Everybody who holds memory after an entry, or at the end, the largest first."""
        found = [holder for holder, _ in self.grouped(self.live_after(entry))]
        found.sort(key=lambda h: (-h.bytes, h.python or "", h.stack or -1, h.category, h.annotation or ""))
        return tuple(found)

    def grouped(self, live: Ints) -> list[tuple[StackHolder, Ints]]:
        """Blocks by who holds them, each holder with its own."""
        if not len(live):
            return []
        category = self.block_category
        kinds = {c: i for i, c in enumerate(sorted({category[b] for b in live.tolist()}))}
        kind = np.array([kinds[category[b]] for b in live.tolist()])
        known = [codes[live] + 1 for codes, _ in self._context]
        key = codes_of(self.block_stack[live] + 1, self.block_stream[live] + 1, kind, *known)
        return [(self._holder(live[mine]), live[mine]) for mine in group_rows(key)]

    def _holder(self, blocks: Ints) -> StackHolder:
        """Blocks of which the same is known."""
        first = int(blocks[0])
        stack = int(self.block_stack[first])
        what, why = self.block_category[first]
        place = self.place(stack)
        annotation, pool, compile_context, module, op = (
            names[codes[first]] if codes[first] >= 0 else None for codes, names in self._context
        )
        return StackHolder(
            bytes=int(self.block_bytes[blocks].sum()),
            requested_bytes=int(self.block_requested[blocks].sum()),
            count=len(blocks),
            category=what,
            inferred_from=why,
            python=place.python,
            function=place.function,
            module=module or place.module,
            pool=pool,
            stream=int(self.block_stream[first]),
            annotation=annotation,
            compile_context=compile_context,
            stack=stack if stack >= 0 else None,
            op=op,
            path=self.stacks.path(stack) if stack >= 0 else (),
        )

    def place(self, stack: int) -> Place:
        """Whose line a stack is."""
        return self.stacks.place(stack) if stack >= 0 else Place(None, None, None)

    @cached_property
    def _annotations(self) -> tuple[Ints, list[str]]:
        return annotation_of_entries(self)

    @cached_property
    def _context(self) -> tuple[tuple[Ints, list[str]], ...]:
        """Annotation, pool, compiled graph of every block; module and op where a profile of the run is there, too."""
        return (
            of_blocks(self, any_number(self._annotations)),
            pool_of_blocks(self),
            of_blocks(self, column_of_entries(self, "compile_context")),
            of_blocks(self, column_of_entries(self, "module")),
            of_blocks(self, Owners(self.trace).op_of(self.rows)),
        )

    @property
    def block_pool(self) -> tuple[Ints, list[str]]:
        """The pool of every block, as (codes, names)."""
        return self._context[1]

    def annotation_at(self, entry: int) -> str | None:
        """The innermost annotation around an entry."""
        codes, names = self._annotations
        return names[codes[entry]] if codes[entry] >= 0 else None

    def entry_at(self, at_ns: int) -> int | None:
        """The last entry until a time; None before the first, and when entries carry no time."""
        entry = int(np.searchsorted(self.ts, at_ns, side="right")) - 1 if self.timed else -1
        return entry if entry >= 0 else None

    @property
    def settings(self) -> Mapping[str, Any]:
        """The allocator's settings as the snapshot keeps them; empty where it keeps none."""
        kept = (s.metadata.get("allocator_settings") for s in self.trace.sources if s.rank == self.rank)
        return next((settings for settings in kept if isinstance(settings, dict)), {})

    @property
    def peak_entry(self) -> int | None:
        """The first entry after which most is active; None without entries."""
        return int(self.active.argmax()) if len(self.rows) else None

    def free_after(self, entry: int | None, stream: int | None = None, pool: str | None = None) -> FreeMemory:
        """What lies free within the reserved memory after an entry, or at the end."""
        return free_memory(self, entry, stream, pool)
