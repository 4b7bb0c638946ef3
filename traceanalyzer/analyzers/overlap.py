"""Communication and copies that nothing hides, and what keeps the next kernel from running beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.opportunities_results import Overlap, OverlapRow
from traceanalyzer.analyzers.work import COMMUNICATION, COMPUTE, COPY, DeviceWork, device_work, streams
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import covered, subtract, total

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.results import Breakdown
    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]

DEPENDENCIES = ("same_stream", "late", "event", "unknown")
_SAME, _LATE, _EVENT, _UNKNOWN = range(4)


class OverlapAnalyzer:
    """What could hide behind compute."""

    name: ClassVar[str] = "overlap"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Overlap:
        """By kind, name and dependency; copies within a device and work without exposed time are left out."""
        breakdown: Breakdown = results["breakdown"]
        wall = sum(device.whole.wall_ns for device in breakdown.devices)
        rows = [row for device in device_work(trace) for row in _Device(trace, device).rows(wall)]
        merged: dict[tuple[str, str, str], OverlapRow] = {}
        for row in rows:
            key = row.kind, row.name, row.dependency
            merged[key] = _sum(merged[key], row) if key in merged else row
        return Overlap(tuple(sorted(merged.values(), key=lambda r: (-r.exposed_ns, r.name, r.dependency))))


class _Device:
    """The work of one device."""

    def __init__(self, trace: Trace, work: DeviceWork) -> None:
        self.trace, self.work = trace, work
        self.stream = streams(work, trace)
        called = ints(trace.api_calls, "ts")
        self.called = (
            np.where(work.api_call >= 0, called[work.api_call], -1) if len(called) else work.api_call
        )
        self.compute = work.busy(COMPUTE)
        self.free_ns = total(subtract(self.compute, work.busy(COMMUNICATION, COPY)))

    def rows(self, wall: int) -> Iterator[OverlapRow]:
        work = self.work
        moves = np.flatnonzero((work.kind != COMPUTE) & self._is_transfer())
        exposed = (work.end - work.start)[moves] - covered(self.compute, work.start[moves], work.end[moves])
        moves, exposed = moves[exposed > 0], exposed[exposed > 0]
        if not len(moves):
            return
        dependency = self._dependencies(moves)
        name, names = self._names(moves)
        for rows in group_rows(work.kind[moves], name, dependency):
            first, ns = rows[0], int(exposed[rows].sum())
            longest = rows[exposed[rows].argmax()]
            hidden = min(ns, self.free_ns)
            yield OverlapRow(
                kind="copy" if work.kind[moves[first]] == COPY else "communication",
                name=names[name[first]],
                dependency=DEPENDENCIES[dependency[first]],
                count=len(rows),
                exposed_ns=ns,
                share=ns / wall if wall else 0.0,
                beside_ns=self.free_ns,
                saving_ns=(0, hidden),  # whether the work depends on the data is in no trace
                longest=int(work.row[moves[longest]]),
                longest_ns=int(exposed[longest]),
            )

    def _is_transfer(self) -> NDArray[np.bool_]:
        """Between devices or with the host: what stays in the device's memory slows the kernels beside it."""
        codes, directions = texts(self.trace.copies, "direction")
        between = np.array([*(d in ("HtoD", "DtoH", "PtoP") for d in directions), False])[codes]
        found = np.ones(len(self.work.row), np.bool_)
        of_copy = self.work.kind == COPY
        found[of_copy] = between[self.work.row[of_copy]]
        return found

    def _names(self, moves: Ints) -> tuple[Ints, list[str]]:
        """Names of kernels and of copies in one numbering."""
        (kernel, kernels), (copy, copies) = (
            texts(self.trace.tables[t], "name") for t in ("kernels", "copies")
        )
        row = self.work.row[moves]
        of_copy = self.work.kind[moves] == COPY
        code = np.empty(len(moves), np.int64)
        code[of_copy], code[~of_copy] = copy[row[of_copy]] + len(kernels), kernel[row[~of_copy]]
        return code, [*kernels, *copies, "(no name)"]

    def _dependencies(self, moves: Ints) -> Ints:
        """Why the first kernel that starts after each of these did not start before."""
        work = self.work
        compute = np.flatnonzero(work.kind == COMPUTE)
        found = np.full(len(moves), _UNKNOWN, np.int64)
        place = np.searchsorted(work.start[compute], work.end[moves], side="left")
        has = place < len(compute)
        behind = compute[place[has]]
        mine = moves[has]
        known = (self.called[behind] >= 0) & (self.called[mine] >= 0)
        waits = self._waits(mine, behind) & known
        late = known & (self.called[behind] > work.start[mine])
        same = self.stream[behind] == self.stream[mine]
        # an earlier launch on the same stream would still stand in its queue
        found[has] = np.select([waits, same, late], [_EVENT, _SAME, _LATE], _UNKNOWN)
        return found

    def _waits(self, moves: Ints, behind: Ints) -> NDArray[np.bool_]:
        """Whether the stream of `behind` was told to wait for that of `moves` between their launches."""
        syncs = self.trace.syncs
        codes, kinds = texts(syncs, "kind")
        wanted = np.array([*(kind == "Stream Wait Event" for kind in kinds), False])[codes]
        wanted &= ints(syncs, "rank") == self.work.rank
        stream, on, at = (ints(syncs, c)[wanted] for c in ("stream", "waits_on_stream", "ts"))
        result = np.zeros(len(moves), np.bool_)
        for pair in sorted(set(zip(stream.tolist(), on.tolist(), strict=True))):
            chosen = (self.stream[behind] == pair[0]) & (self.stream[moves] == pair[1])
            times = np.sort(at[(stream == pair[0]) & (on == pair[1])])
            low, high = (np.searchsorted(times, self.called[of][chosen]) for of in (moves, behind))
            result[chosen] = high > low
        return result


def _sum(a: OverlapRow, b: OverlapRow) -> OverlapRow:
    return OverlapRow(
        a.kind,
        a.name,
        a.dependency,
        a.count + b.count,
        a.exposed_ns + b.exposed_ns,
        a.share + b.share,
        a.beside_ns + b.beside_ns,
        (a.saving_ns[0] + b.saving_ns[0], a.saving_ns[1] + b.saving_ns[1]),
        *max(((r.longest, r.longest_ns) for r in (a, b)), key=lambda found: found[1]),
    )
