"""Ranks beside each other: who waits for whom in collectives, and what the last collective of a step costs.

A communication kernel runs until the slowest rank has joined it. Of the executions of one collective on several ranks
the shortest belongs to the rank that came last; what the others take longer is time that they waited for it. That
needs no clock that the ranks share, only to know which executions are of one collective.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.collective_runs import collective_runs
from traceanalyzer.analyzers.groups import longest_of
from traceanalyzer.analyzers.work import COMMUNICATION, COMPUTE, device_work
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import covered, total

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.collective_runs import CollectiveRuns
    from traceanalyzer.analyzers.results import Step
    from traceanalyzer.analyzers.work import DeviceWork
    from traceanalyzer.model.trace import Capability, Trace


@dataclass(frozen=True, slots=True)
class PeerRow:
    """One rank.

    `matched_ns` is its time in collectives that others of its group ran too, `wait_ns` the part of it beyond that of
    the last rank to join, `caused_ns` what the mean other rank waited for it; `joined` is how many collectives it ran,
    and `last` how many it was the last to join.
    """

    rank: int
    compute_ns: int
    matched_ns: int
    wait_ns: int
    caused_ns: int
    last: int
    joined: int
    longest: int | None = None  # row of the table: where it waited, or made others wait, longest


@dataclass(frozen=True, slots=True)
class TailRow:
    """Exposed communication of one device in all steps, and the part of it in the last collective of each step."""

    rank: int
    device: int
    exposed_ns: int
    last_exposed_ns: int
    longest: int | None = None  # row of `kernels`: the last one of a step with most exposed time


@dataclass(frozen=True, slots=True)
class Peers:
    """`rows` is empty unless two ranks and more ran the same collectives.

    `assumed` says that it was not recorded which ranks take part in some: all of the trace are taken to.
    """

    rows: tuple[PeerRow, ...]
    kernels: tuple[str, ...]  # names of those collectives' kernels
    tails: tuple[TailRow, ...]
    assumed: bool = False


class PeersAnalyzer:
    """Compares how long the ranks of each collective took for it."""

    name: ClassVar[str] = "peers"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Peers:
        """Ranks over the whole trace, tails within the steps."""
        works = device_work(trace)
        steps = results["steps"].steps
        tails = tuple(_tail(w, [s for s in steps if s.rank == w.rank]) for w in works)
        runs = _matched(collective_runs(trace))
        if not len(runs.row):
            return Peers((), (), tails)
        codes, names = texts(trace.kernels, "name")
        compute = {w.rank: 0 for w in works}
        for work in works:
            compute[work.rank] += total(work.busy(COMPUTE))
        took = np.maximum(ints(trace.kernels, "dur", 0), 0)[runs.row]
        kernels = sorted({names[c] for c in np.unique(codes[runs.row]).tolist() if c >= 0})
        rows = peer_rows(runs.rank, runs.call, runs.row, took, compute)
        return Peers(rows, tuple(kernels), tails, bool(runs.assumed.any()))


def _matched(runs: CollectiveRuns) -> CollectiveRuns:
    """Collectives that two ranks of the group and more ran; all ranks where the group was not recorded."""
    runs = runs.of((runs.call >= 0) & ~runs.pairs)
    ranks = np.bincount(runs.call, minlength=1)[runs.call]
    return runs.of((ranks > 1) & (~runs.assumed | (ranks == runs.size)))


def peer_rows(
    rank: NDArray[np.int64],
    call: NDArray[np.int64],
    row: NDArray[np.int64],
    took: NDArray[np.int64],
    compute: Mapping[int, int],
) -> tuple[PeerRow, ...]:
    """Every rank, from how long each took for the collectives that several of them ran.

    Args:
        rank: of each execution, shape (executions,).
        call: the number of the collective that it is of.
        row: its row in the table.
        took: how long it ran, ns.
        compute: ns of compute of every rank.
    """
    ranks, rank = np.unique(rank, return_inverse=True)
    call = np.unique(call, return_inverse=True)[1]
    order = np.lexsort((rank, took, call))
    last = order[np.flatnonzero(np.diff(call[order], prepend=-1))]  # the shortest of each call
    wait = took - took[last][call]
    waited, longest = np.bincount(call, wait).astype(np.int64), np.zeros(len(last), np.int64)
    np.maximum.at(longest, call, wait)
    weight = wait.copy()
    weight[last] = longest
    rows = row[longest_of(rank, weight, len(ranks))]

    def of_each(of: NDArray[np.int64], values: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        return np.bincount(of, values, len(ranks)).astype(np.int64)

    caused = of_each(rank[last], waited) // (len(ranks) - 1)
    columns = (of_each(rank, took), of_each(rank, wait), caused, of_each(rank[last]), of_each(rank), rows)
    return tuple(
        PeerRow(number, compute[number], *numbers)
        for number, numbers in zip(ranks.tolist(), np.stack(columns, axis=1).tolist(), strict=True)
    )


def _tail(work: DeviceWork, steps: list[Step]) -> TailRow:
    chosen = np.flatnonzero(work.kind == COMMUNICATION)
    start, end = work.start[chosen], work.end[chosen]
    exposed = end - start - covered(work.busy(COMPUTE), start, end)
    sum_ns = last_ns = most_ns = 0
    longest = None
    for step in steps:
        inside = np.flatnonzero((start >= step.start_ns) & (start < step.window_end_ns))
        if len(inside):
            sum_ns += int(exposed[inside].sum())
            last = inside[end[inside].argmax()]
            last_ns += int(exposed[last])
            if exposed[last] > most_ns:
                most_ns, longest = int(exposed[last]), int(work.row[chosen[last]])
    return TailRow(work.rank, work.device, sum_ns, last_ns, longest)
