"""The collectives and messages at which ranks wait for each other in a replay: none goes on before all have come.

What does not match, has a partner whose trace is not there, or ended on one rank before it began on another, as a
message that was sent ahead, stays as each rank has it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.collective_runs import collective_runs
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.thresholds import RANKS_APART_NS
from traceanalyzer.analyzers.work import COMMUNICATION
from traceanalyzer.model.columns import ints

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.collective_runs import CollectiveRuns
    from traceanalyzer.analyzers.replay.graph import Graph
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Meetings:
    """The collectives that graphs run together, and the messages from one to another.

    `members` holds for each of their numbers which graphs take part; all graphs come to them in this order. `sent` are
    the numbers of messages. `kernels` counts their kernels, `apart` the communication kernels that stay as each rank
    has them, `untold` those of them of which the trace does not tell between which ranks they send. `assumed` says
    that it does not tell which ranks take part in some collectives: all that are there are taken to.
    """

    members: tuple[tuple[int, ...], ...] = ()
    sent: frozenset[int] = frozenset()
    kernels: int = 0
    apart: int = 0
    untold: int = 0
    assumed: bool = False

    def collectives_of(self, graph: Graph) -> Graph:
        """The graph that waits for others only in collectives of them all."""
        return replace(graph, meeting=np.where(np.isin(graph.meeting, list(self.sent)), -1, graph.meeting))


def meet(trace: Trace, graphs: Sequence[Graph]) -> tuple[tuple[Graph, ...], Meetings]:
    """The graphs with the numbers of the collectives that they run together, whose works take the transfer alone.

    Args:
        trace: of all ranks.
        graphs: one per rank, in the order of ranks; their rows count from the rank's first.
    """
    runs = collective_runs(trace)
    graph_of, work = _works(trace, graphs, runs.row)
    untold = runs.pairs & ~runs.told & (work >= 0)
    here = (runs.call >= 0) & (work >= 0) & ~untold & (runs.size > 1)
    here[here] = np.bincount(runs.call[here], minlength=1)[runs.call[here]] == runs.size[here]
    start = ints(trace.kernels, "ts")[runs.row]
    end = start + np.maximum(ints(trace.kernels, "dur", 0), 0)[runs.row]
    here[here] = _at_the_same_time(runs.of(here), start[here], end[here])
    call = np.unique(runs.call[here], return_inverse=True)[1]
    numbers, members = _in_order(graph_of[here], work[here], call)
    here[here] = numbers >= 0
    number = numbers[numbers >= 0]
    transfer = np.full(len(members), np.iinfo(np.int64).max)
    np.minimum.at(transfer, number, (end - start)[here])
    joined = []
    of_graph = np.searchsorted(graph_of[here], np.arange(len(graphs) + 1)).tolist()
    for graph, (low, high) in zip(graphs, pairwise(of_graph), strict=True):
        own = work[here][low:high]
        meeting, duration = graph.meeting.copy(), graph.duration.copy()
        meeting[own], duration[own] = number[low:high], transfer[number[low:high]]
        joined.append(replace(graph, meeting=meeting, duration=duration))
    every = sum(int((graph.works.kind == COMMUNICATION).sum()) for graph in graphs)
    return tuple(joined), Meetings(
        members,
        frozenset(number[runs.told[here]].tolist()),
        len(number),
        every - len(number),
        int(untold.sum()),
        bool(runs.assumed[here].any()),
    )


def _works(trace: Trace, graphs: Sequence[Graph], rows: Ints) -> tuple[Ints, Ints]:
    """For each of the kernels its graph and its work there, -1 outside of the replayed steps; shape (kernels,)."""
    graph_of = np.full(trace.kernels.num_rows, -1, np.int64)
    work = graph_of.copy()
    first = np.searchsorted(ints(trace.kernels, "rank"), [graph.rank for graph in graphs])
    for i, graph in enumerate(graphs):
        own = np.flatnonzero(graph.works.kind == COMMUNICATION)
        graph_of[first[i] + graph.works.row[own]] = i
        work[first[i] + graph.works.row[own]] = own
    return graph_of[rows], work[rows]


def _at_the_same_time(runs: CollectiveRuns, start: Ints, end: Ints) -> Flags:
    """Which kernels are of a call that ended nowhere before it had begun everywhere, on one clock.

    The clocks of two ranks differ by what the ends of their collectives differ by, in the middle of all of a family.
    """
    call = runs.call
    calls = int(call.max(initial=-1)) + 1
    sums, count = np.zeros(calls, np.int64), np.bincount(call, minlength=calls)
    np.add.at(sums, call, end)
    ahead = end - (sums // np.maximum(count, 1))[call]
    clock = np.zeros(len(end), np.int64)
    for rows in group_rows(runs.family, runs.rank):
        clock[rows] = int(np.median(ahead[rows]))
    last, first = np.full(calls, np.iinfo(np.int64).min), np.full(calls, np.iinfo(np.int64).max)
    np.maximum.at(last, call, start - clock)
    np.minimum.at(first, call, end - clock)
    result: Flags = (last <= first + RANKS_APART_NS)[call]
    return result


def _in_order(graph: Ints, work: Ints, call: Ints) -> tuple[Ints, tuple[tuple[int, ...], ...]]:
    """A number for each kernel's call such that every graph comes to its calls in the order of their numbers.

    Where graphs come to calls in orders that contradict each other, calls are left out (-1) until none does. The
    second part holds the graphs that take part, per number.
    """
    order = np.lexsort((work, graph))
    edges = np.searchsorted(graph[order], np.arange(int(graph.max(initial=-1)) + 2))
    ahead = [deque(call[order[low:high]].tolist()) for low, high in pairwise(edges.tolist())]
    size = np.bincount(call).tolist()
    come: list[list[int]] = [[] for _ in size]
    number, left_out = np.full(len(size), -1, np.int64), np.zeros(len(size), np.bool_)
    members: list[tuple[int, ...]] = []
    moving = deque(range(len(ahead)))
    while True:
        while moving:
            way = ahead[mover := moving.popleft()]
            while way and left_out[way[0]]:
                way.popleft()
            if not way:
                continue
            come[way[0]].append(mover)
            if len(come[way[0]]) == size[way[0]]:
                present = come[way[0]]
                number[way[0]] = len(members)
                members.append(tuple(sorted(present)))
                moving.extend(present)
                for one in present:
                    ahead[one].popleft()
        stuck = next((way[0] for way in ahead if way), None)
        if stuck is None:
            return number[call], tuple(members)
        left_out[stuck] = True
        moving.extend(come[stuck])
