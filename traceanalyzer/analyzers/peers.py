"""Ranks beside each other: who waits for whom in collectives, and what the last collective of a step costs.

A communication kernel runs until the slowest rank has joined it. Of the executions of one collective on several ranks
the shortest belongs to the rank that came last; what the others take longer is time that they waited for it. That
needs no clock that the ranks share, only that each rank runs the same collectives in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.communication import communication_kernels
from traceanalyzer.analyzers.work import COMMUNICATION, COMPUTE, device_work
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import covered, total

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.results import Step
    from traceanalyzer.analyzers.work import DeviceWork
    from traceanalyzer.model.trace import Capability, Trace


@dataclass(frozen=True, slots=True)
class PeerRow:
    """One rank.

    `matched_ns` is its time in collectives that all ranks ran, `wait_ns` the part of it beyond that of the last rank
    to join, `caused_ns` what the mean other rank waited for it; `last` is how many collectives it was the last to join.
    """

    rank: int
    compute_ns: int
    matched_ns: int
    wait_ns: int
    caused_ns: int
    last: int
    longest: int | None = None  # row of `kernels`: where it waited, or made others wait, longest


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
    """`rows` is empty unless two ranks and more ran the same collectives; `matched` counts those."""

    rows: tuple[PeerRow, ...]
    matched: int
    kernels: tuple[str, ...]  # names of those collectives' kernels
    tails: tuple[TailRow, ...]


class PeersAnalyzer:
    """Matches the n-th execution of each communication kernel across ranks."""

    name: ClassVar[str] = "peers"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Peers:
        """Ranks over the whole trace, tails within the steps."""
        works = device_work(trace)
        steps = results["steps"].steps
        tails = tuple(_tail(w, [s for s in steps if s.rank == w.rank]) for w in works)
        matched = _matched(trace)
        if matched is None:
            return Peers((), 0, (), tails)
        ranks, took, kernel, names = matched
        waited = took - took.min(axis=0)
        last = took.argmin(axis=0)
        others = max(len(ranks) - 1, 1)
        rows = tuple(
            PeerRow(
                rank,
                sum(total(w.busy(COMPUTE)) for w in works if w.rank == rank),
                int(took[i].sum()),
                int(waited[i].sum()),
                int(waited[:, last == i].sum()) // others,
                int((last == i).sum()),
                int(kernel[i, np.where(last == i, waited.max(axis=0), waited[i]).argmax()]),
            )
            for i, rank in enumerate(ranks)
        )
        return Peers(rows, took.shape[1], names, tails)


def _matched(
    trace: Trace,
) -> tuple[list[int], NDArray[np.int64], NDArray[np.int64], tuple[str, ...]] | None:
    """Ranks, how long each took for the same collectives, their rows, both of shape (ranks, collectives), and names."""
    kernels = np.flatnonzero(communication_kernels(trace))
    rank = ints(trace.kernels, "rank")[kernels]
    ranks = np.unique(rank).tolist()
    if len(ranks) < 2:
        return None
    codes, names = texts(trace.kernels, "name")
    duration = np.maximum(ints(trace.kernels, "dur", 0), 0)
    columns, matched = [], []
    for code in np.unique(codes[kernels]).tolist():
        per_rank = [kernels[(rank == r) & (codes[kernels] == code)] for r in ranks]
        if (
            len({len(rows) for rows in per_rank}) == 1
        ):  # else a rank runs it in another group, or was recorded for longer
            columns.append(np.stack(per_rank))
            matched.append(names[code])
    if not columns:
        return None
    rows = np.concatenate(columns, axis=1)
    return ranks, duration[rows], rows, tuple(sorted(matched))


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
