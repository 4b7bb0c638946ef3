"""From the code of a rule, or the name of an op, call or kernel, to the change that a fix of it would make.

Every fix has two ends: the least and the most that it can be expected to change.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.host import ORDINARY, STALLS
from traceanalyzer.analyzers.repeats import repeated_products
from traceanalyzer.analyzers.replay.changes import Change, nothing
from traceanalyzer.analyzers.work import COMMUNICATION, COMPUTE, COPY
from traceanalyzer.errors import UsageError
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import Intervals, clip, contains, join, subtract, union
from traceanalyzer.model.tree import inherit
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.host import HostActivity, HostRows
    from traceanalyzer.analyzers.replay.graph import Graph
    from traceanalyzer.model.trace import Trace

    Flags = NDArray[np.bool_]
    Bounds = tuple[Change, Change]

READS_BACK = re.compile(r"^aten::(item|_local_scalar_dense|is_nonzero)$|<built-in method item of Tensor")

_ADAM = re.compile(r"^Optimizer\.step#AdamW?\.step$")

SIZED_BY_DATA = re.compile(r"^aten::(nonzero|masked_select|_?unique\w*|repeat_interleave)$")

INDEXED_BY_DATA = re.compile(r"^aten::_?index")


@dataclass(frozen=True)
class Fixes:
    """The fixes of one rank; `graph` is of its trace as recorded."""

    trace: Trace
    host: HostActivity
    graph: Graph

    def of_rule(self, code: str) -> Bounds:
        """The change that following a rule's advice makes, at least and at most.

        Raises:
            UsageError: what the rule advises cannot be replayed.
        """
        if code not in RULES:
            raise UsageError(
                say("no replay for {code}; there is one for {codes}", code=code, codes=", ".join(RULES))
            )
        return RULES[code](self)

    def without(self, name: str) -> Bounds:
        """Without every op, range or call of that name (a glob), and all that happens in it.

        Raises:
            UsageError: nothing in the replayed steps has that name.
        """
        pattern = re.compile(_glob(name))
        spans = self._spans(pattern)
        calls = self._named_calls(pattern) | self._inside(spans)
        if not calls.any() and not any(len(s.start) for s in spans.values()):
            raise UsageError(say("no op, range or call in the replayed steps is named {name!r}", name=name))
        change = replace(nothing(self.graph), host=spans, calls=calls)
        return change, change

    def faster(self, name: str, factor: float) -> Bounds:
        """What an op launches, or kernels and copies of that name (a glob), runs `factor` times as fast.

        Raises:
            UsageError: nothing in the replayed steps has that name.
        """
        hit = self._launched_by(name) | self._works_named(name)
        if not hit.any():
            raise UsageError(
                say(
                    "no op with device work, kernel or copy in the replayed steps is named {name!r}",
                    name=name,
                )
            )
        change = replace(nothing(self.graph), factor=np.where(hit, 1 / factor, 1.0))
        return change, change

    def shortened(self, remaining: Mapping[str, tuple[float, float]]) -> Bounds:
        """Kernels of these names take the given shares of their time: at least and at most of what is cured."""
        works, kernels = self.graph.works, self.trace.kernels
        codes, names = texts(kernels, "name")
        is_kernel = works.kind != COPY
        ends = []
        for end in (0, 1):
            share = np.array([remaining[n][end] if n in remaining else 1.0 for n in names] + [1.0])[codes]
            factor = np.ones(len(works.row))
            factor[is_kernel] = share[works.row[is_kernel]]
            ends.append(replace(nothing(self.graph), factor=factor))
        return ends[0], ends[1]

    def no_syncs(self) -> Bounds:
        """At least nothing waits for the device; at most the read-backs go away entirely."""
        graph, read = self.graph, self._spans(READS_BACK)
        reading = self._inside(read)
        waits = (graph.calls.syncs & ~self._staged_syncs) | (reading & graph.calls.copies)
        least = replace(nothing(graph), free=waits)
        most = replace(least, host=read, calls=waits & graph.calls.syncs | reading)
        return least, most

    def no_reads(self) -> Bounds:
        """At least reading single values does not wait; at most they are not read at all."""
        read = self._spans(READS_BACK)
        inside = self._inside(read)
        least = replace(nothing(self.graph), free=inside & (self.graph.calls.syncs | self.graph.calls.copies))
        return least, replace(least, host=read, calls=inside)

    def no_unknown_sizes(self) -> Bounds:
        """At least operators whose output is as large as the data says do not wait.

        At most they are gone, and with them the index that such an output was made for (`x[mask]`).
        """
        asking, whole = self._spans(SIZED_BY_DATA), self._spans(INDEXED_BY_DATA, self._asking_ops)
        gone = {crew: join(span, whole[crew]) for crew, span in asking.items()}
        inside = self._inside(asking)
        least = replace(nothing(self.graph), free=inside & (self.graph.calls.syncs | self.graph.calls.copies))
        return least, replace(least, host=gone, calls=self._inside(gone))

    def pinned(self) -> Bounds:
        """Pageable copies no longer hold the host up and move at the speed of pinned memory: at least, at most."""
        graph = self.graph
        pageable = self._pageable_works
        calls = np.zeros(len(graph.calls.row), np.bool_)
        calls[graph.works.call[pageable & graph.works.launched]] = True
        change = replace(nothing(graph), cheap=calls, free=self._staged_syncs, calls=self._staged_syncs)
        slow, fast = (np.where(pageable, share, 1.0) for share in self._pinned_shares())
        return replace(change, factor=slow), replace(change, factor=fast)

    def graphed(self) -> Bounds:
        """Launching costs the host next to nothing: at least within ops, at most all that is not a stall or a wait."""
        graph, calls = self.graph, self.graph.calls
        launching = np.zeros(len(calls.row), np.bool_)
        launching[graph.works.call[graph.works.launched]] = True
        launching &= ~calls.copies & ~calls.syncs
        window = Intervals(calls.start[:1], calls.end[-1:])
        stalls = {c: self._stalls(c) for c in self._crews}
        ops = {c: subtract(s, stalls[c]) for c, s in self._spans(re.compile(""), self.host.ops).items()}
        least = replace(nothing(graph), host=ops)
        free = {c: subtract(window, stalls[c]) for c in self._crews}
        return replace(least, instant=launching), replace(least, host=free, instant=launching)

    def fused_optimizer(self) -> Bounds:
        """The optimizer is one launch, without its host time and with less memory traffic: at most, for Adam surely."""
        spans = self._spans(ORDINARY["optimizer"], self.host.annotations)
        graph, works = self.graph, self.graph.works
        inside = self._inside(spans)
        least = replace(nothing(graph), host=spans, instant=inside & ~graph.calls.syncs)
        own = inside[works.call] & works.launched & (works.kind == COMPUTE)
        adam = self._inside(self._spans(_ADAM, self.host.annotations))[works.call] & own
        passes = adam & self._launched_by("aten::_foreach_*")
        least = replace(least, factor=np.where(passes, 1 / thresholds.FUSED_ADAM_LEAST_SPEEDUP, 1.0))
        factor = np.where(own, 1 / thresholds.FUSED_OPTIMIZER_SPEEDUP, 1.0)
        return least, replace(least, factor=factor, merged=own)

    def batched(self) -> Bounds:
        """Of each run of small products the first one is left: at least the kernels still take their time, as one."""
        graph, works = self.graph, self.graph.works
        runs, op = repeated_products(self.trace), ints(self.trace.kernels, "op")
        first, last = (op[runs.row[at]] for at in (runs.first, runs.end - 1))
        ops = self.host.ops
        spans = {}
        for crew in self._crews:
            mine = np.isin(ops.thread[first], sorted(self.host.crew(crew)))
            spans[crew] = self._clipped(union(ops.end[first[mine]], ops.end[last[mine]]))
        inside = self._inside(spans)
        later = inside[works.call] & works.launched & (works.kind == COMPUTE)
        least = replace(nothing(graph), host=spans, instant=inside & ~graph.calls.syncs, merged=later)
        return least, replace(least, works=later)

    def overlapped(self) -> Bounds:
        """At most nothing on the device waits for communication; at least nothing changes."""
        graph = self.graph
        waits = graph.works.kind[graph.events.source] == COMMUNICATION
        return nothing(graph), replace(nothing(graph), events=waits)

    def hidden_copies(self) -> Bounds:
        """At most copies of pinned memory between host and device cost the stream nothing; at least nothing changes."""
        crossing = self._copies_where("direction", ("HtoD", "DtoH")) & ~self._pageable_works
        return nothing(self.graph), replace(nothing(self.graph), factor=np.where(crossing, 0.0, 1.0))

    def no_pauses(self) -> Bounds:
        """Without ordinary host work that lasts for a millisecond and more between two calls."""
        graph, calls = self.graph, self.graph.calls
        long = graph.gap >= thresholds.LONG_PAUSE_NS
        gone = {}
        for crew in self._crews:
            mine = np.flatnonzero(long & (calls.crew == crew))
            pauses = union(calls.end[graph.before[0, mine]], calls.start[mine])
            gone[crew] = subtract(pauses, self._stalls(crew))
        change = replace(nothing(graph), host=gone)
        return change, change

    def no_stall(self, kind: str) -> Bounds:
        """Without one kind of host work that is outside the normal course of a step."""
        spans = {c: self._clipped(self._activity(c)[kind]) for c in self._crews}
        change = replace(nothing(self.graph), host=spans, calls=self._inside(spans))
        return change, change

    @cached_property
    def _crews(self) -> list[int]:
        crew = self.graph.calls.crew
        crews: list[int] = np.unique(crew[crew >= 0]).tolist()  # a rank may have made no call
        return crews

    @cached_property
    def _asking_ops(self) -> HostRows:
        """The ops in which another one asks for a size."""
        ops, parent = self.host.ops, ints(self.trace.ops, "parent")
        rows = np.unique(parent[ops.named(SIZED_BY_DATA) & (parent >= 0)])
        return replace(
            ops, start=ops.start[rows], end=ops.end[rows], thread=ops.thread[rows], code=ops.code[rows]
        )

    def _activity(self, crew: int) -> Mapping[str, Intervals]:
        return self.host.activity(self.host.crew(crew))

    def _stalls(self, crew: int) -> Intervals:
        activity = self._activity(crew)
        return join(*(activity[kind] for kind in STALLS))

    def _spans(self, pattern: re.Pattern[str], *tables: HostRows) -> dict[int, Intervals]:
        """When each crew was in an op, range or frame of that name."""
        host = self.host
        found = {}
        for crew in self._crews:
            members = np.array(sorted(host.crew(crew)))
            starts, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
            for rows in tables or (host.ops, host.annotations, host.python_calls):
                hit = rows.named(pattern) & np.isin(rows.thread, members)
                starts.append(rows.start[hit])
                ends.append(rows.end[hit])
            both = union(np.concatenate(starts), np.concatenate(ends))
            found[crew] = self._clipped(both)
        return found

    def _clipped(self, spans: Intervals) -> Intervals:
        return clip(spans, self.graph.begin_ns, int(self.graph.calls.end[-1]))

    def _inside(self, spans: Mapping[int, Intervals]) -> Flags:
        """Which calls begin within the spans of their crew."""
        calls = self.graph.calls
        inside = np.zeros(len(calls.row), np.bool_)
        for crew, span in spans.items():
            inside |= (calls.crew == crew) & contains(span, calls.start)
        return inside & (calls.row >= 0)

    def _named_calls(self, pattern: re.Pattern[str]) -> Flags:
        return np.append(self.host.api_calls.named(pattern), False)[self.graph.calls.row]

    def _launched_by(self, name: str) -> Flags:
        ops = self.trace.ops
        pattern = re.compile(_glob(name))
        own = np.where(self.host.ops.named(pattern), 1, -1)
        within = inherit(ints(ops, "parent"), ints(ops, "depth"), own) > 0
        works = self.graph.works
        is_copy = works.kind == COPY
        op = np.full(len(works.row), -1, np.int64)
        op[is_copy] = ints(self.trace.copies, "op")[works.row[is_copy]]
        op[~is_copy] = ints(self.trace.kernels, "op")[works.row[~is_copy]]
        return np.append(within, False)[op]

    def _works_named(self, name: str) -> Flags:
        works = self.graph.works
        is_copy = works.kind == COPY
        hit = np.zeros(len(works.row), np.bool_)
        for table, rows in ((self.trace.kernels, ~is_copy), (self.trace.copies, is_copy)):
            codes, names = texts(table, "name")
            matches = np.array([fnmatchcase(n or "", name) for n in names] + [False])[codes]
            hit[rows] = matches[works.row[rows]]
        return hit

    @cached_property
    def _pageable_works(self) -> Flags:
        pageable = ("pageable",)
        hit = self._copies_where("src_kind", pageable) | self._copies_where("dst_kind", pageable)
        works, reading = self.graph.works, self._inside(self._spans(READS_BACK))
        return hit & ~(reading[works.call] & works.launched)

    def _copies_where(self, column: str, values: tuple[str, ...]) -> Flags:
        """Which works are copies with one of these values in a column of theirs."""
        works = self.graph.works
        codes, names = texts(self.trace.copies, column)
        right = np.array([n in values for n in names] + [False])[codes]
        is_copy = works.kind == COPY
        hit = np.zeros(len(works.row), np.bool_)
        hit[is_copy] = right[works.row[is_copy]]
        return hit

    @cached_property
    def _staged_syncs(self) -> Flags:
        """Synchronising calls of the op that made a pageable copy: they go away with it."""
        calls, works = self.graph.calls, self.graph.works
        op = np.append(ints(self.trace.api_calls, "op"), -1)[calls.row]
        copying = np.unique(op[works.call[self._pageable_works & works.launched]])
        return calls.syncs & (op >= 0) & np.isin(op, copying)

    def _pinned_shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Duration from pinned memory as a share of what it was, at the speed that is sure and at the best."""
        works = self.graph.works
        is_copy = works.kind == COPY
        nbytes = np.append(ints(self.trace.copies, "bytes", 0), 0)
        moved = np.where(is_copy, nbytes[np.where(is_copy, works.row, -1)], 0)
        seen = self._pinned_speeds()
        sure, best = (seen.min(), seen.max()) if len(seen) else (thresholds.PINNED_LEAST_BYTES_PER_NS, None)
        duration = np.maximum(self.graph.duration, 1)
        large = moved >= thresholds.PINNED_SAMPLE_BYTES
        slow = np.where(large, np.minimum(moved / sure / duration, 1.0), 1.0)
        if best is None:
            return slow, np.minimum(slow, 1 / thresholds.PINNED_SPEEDUP)
        return slow, np.minimum(moved / best / duration, 1.0)

    def _pinned_speeds(self) -> NDArray[np.float64]:
        """Of the trace's own large copies of pinned memory, bytes per ns."""
        copies = self.trace.copies
        nbytes, duration = ints(copies, "bytes", 0), np.maximum(ints(copies, "dur", 0), 1)
        sample = nbytes >= thresholds.PINNED_SAMPLE_BYTES
        for column in ("src_kind", "dst_kind"):
            codes, names = texts(copies, column)
            sample &= np.array([n in ("pinned", "device") for n in names] + [False])[codes]
        codes, names = texts(copies, "direction")
        sample &= np.array([n in ("HtoD", "DtoH") for n in names] + [False])[codes]
        speeds: NDArray[np.float64] = nbytes[sample] / duration[sample]
        return speeds


RULES: Mapping[str, Callable[[Fixes], Bounds]] = {
    "SYNC001": Fixes.no_syncs,
    "SYNC002": Fixes.no_reads,
    "SYNC003": Fixes.no_unknown_sizes,
    "INPUT001": lambda fixes: fixes.no_stall("dataloader"),
    "COPY001": Fixes.pinned,
    "COPY002": Fixes.hidden_copies,
    "IDLE001": Fixes.graphed,
    "IDLE004": Fixes.no_pauses,
    "OPT001": Fixes.fused_optimizer,
    "BATCH001": Fixes.batched,
    "COMM001": Fixes.overlapped,
    "ALLOC001": lambda fixes: fixes.no_stall("allocator"),
    "GC001": lambda fixes: fixes.no_stall("gc"),
    "COMM006": lambda fixes: fixes.no_stall("host_communication"),
    "COMPILE001": lambda fixes: fixes.no_stall("compile"),
}


def _glob(name: str) -> str:
    """A regular expression for a whole name with * and ? as wildcards."""
    return "^" + re.escape(name).replace(r"\*", ".*").replace(r"\?", ".") + "$"
