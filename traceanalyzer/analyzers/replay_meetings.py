"""Which communication kernels of several ranks are one collective: none of these ranks goes on before all have come.

The arguments that the profiler recorded tell it: the process group and the sequence number in it, else the n-th of its
kind. Where no arguments were recorded it is the n-th kernel of that name on every rank. What does not match, has a
partner whose trace is not there, or ended on one rank before it began on another stays as each rank has it.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.communication import communication_kernels
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.thresholds import RANKS_APART_NS
from traceanalyzer.analyzers.work import COMMUNICATION
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.replay_graph import Graph
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

# Pairs of ranks at a time, and a sender need not wait: no collective.
POINT_TO_POINT = re.compile(r"send|recv", re.IGNORECASE)


@dataclass(frozen=True)
class Meetings:
    """The collectives that graphs run together.

    `members` holds for each of their numbers which graphs take part; all graphs come to them in this order. `kernels`
    counts their kernels, `apart` the communication kernels that stay as each rank has them. `assumed` says that the
    trace does not tell which ranks take part in some of them: all that are there are taken to.
    """

    members: tuple[tuple[int, ...], ...] = ()
    kernels: int = 0
    apart: int = 0
    assumed: bool = False


@dataclass(frozen=True)
class _Kernels:
    """Communication kernels in the order of ranks and starts, arrays of shape (kernels,).

    Those of one `family` do the same in the same process group; those of one `call` are one collective, -1 where
    partners are missing. `size` counts the ranks that take part.
    """

    row: Ints
    family: Ints
    call: Ints
    size: Ints
    assumed: Flags


def meet(trace: Trace, graphs: Sequence[Graph]) -> tuple[tuple[Graph, ...], Meetings]:
    """The graphs with the numbers of the collectives that they run together, whose works take the transfer alone.

    Args:
        trace: of all ranks.
        graphs: one per rank, in the order of ranks; their rows count from the rank's first.
    """
    kernels = _matched(trace)
    graph_of, work = _works(trace, graphs, kernels.row)
    start = ints(trace.kernels, "ts")[kernels.row]
    end = start + np.maximum(ints(trace.kernels, "dur", 0), 0)[kernels.row]
    here = np.flatnonzero((kernels.call >= 0) & (work >= 0))
    complete = np.bincount(kernels.call[here], minlength=1)[kernels.call[here]] == kernels.size[here]
    here = here[complete]
    here = here[
        _at_the_same_time(kernels.family[here], graph_of[here], kernels.call[here], start[here], end[here])
    ]
    call = np.unique(kernels.call[here], return_inverse=True)[1]
    number, members = _in_order(graph_of[here], work[here], call)
    here, number = here[number >= 0], number[number >= 0]
    transfer = np.full(len(members), np.iinfo(np.int64).max)
    np.minimum.at(transfer, number, (end - start)[here])
    joined = []
    of_graph = np.searchsorted(graph_of[here], np.arange(len(graphs) + 1)).tolist()
    for graph, (low, high) in zip(graphs, pairwise(of_graph), strict=True):
        meeting, duration = graph.meeting.copy(), graph.duration.copy()
        meeting[work[here[low:high]]] = number[low:high]
        duration[work[here[low:high]]] = transfer[number[low:high]]
        joined.append(replace(graph, meeting=meeting, duration=duration))
    every = sum(int((graph.works.kind == COMMUNICATION).sum()) for graph in graphs)
    assumed = bool(kernels.assumed[here].any())
    return tuple(joined), Meetings(members, len(here), every - len(here), assumed)


def _matched(trace: Trace) -> _Kernels:
    """The kernels of collectives, with what belongs together over the whole trace."""
    row = np.flatnonzero(communication_kernels(trace))
    table = trace.collectives
    linked = ints(table, "kernel")
    of_kernel = np.full(trace.kernels.num_rows, -1, np.int64)
    of_kernel[linked[linked >= 0]] = np.flatnonzero(linked >= 0)
    collective, collectives = texts(table, "collective")
    name, names = texts(trace.kernels, "name")
    pairwise = _named(name, names)[row]
    described = of_kernel[row] >= 0
    pairwise[described] = _named(collective, collectives)[of_kernel[row[described]]]
    row = row[~pairwise]
    arguments = of_kernel[row]

    def recorded(column: NDArray[np.integer]) -> Ints:
        return np.append(column, -1).astype(np.int64)[arguments]

    groups = [recorded(texts(table, column)[0]) for column in ("group", "group_ranks")]
    size = recorded(ints(table, "group_size"))
    unnamed = np.where(arguments < 0, name[row], -1)
    family = codes_of(unnamed, recorded(collective), *groups, size)
    rank = ints(trace.kernels, "rank")[row]
    kind = np.unique(codes_of(family, recorded(ints(table, "seq"))), return_inverse=True)[1]
    assumed = size < 1
    size = np.where(assumed, len(np.unique(ints(trace.kernels, "rank"))), size)
    whole = _everywhere_as_often(kind, rank) & (size > 1)
    call = np.unique(codes_of(kind, _turn(codes_of(kind, rank))), return_inverse=True)[1]
    return _Kernels(row, family, np.where(whole, call, -1), size, assumed)


def _named(codes: NDArray[np.int32], names: Sequence[str]) -> Flags:
    result: Flags = np.array([POINT_TO_POINT.search(n) is not None for n in names] + [False])[codes]
    return result


def _turn(code: Ints) -> Ints:
    """How many rows before each one have its code."""
    order = np.argsort(code, kind="stable")
    first = np.flatnonzero(np.diff(code[order], prepend=-1))
    turn = np.empty(len(code), np.int64)
    turn[order] = np.arange(len(code)) - np.repeat(first, np.diff(np.append(first, len(code))))
    return turn


def _everywhere_as_often(kind: Ints, rank: Ints) -> Flags:
    """Whether all ranks that ran a kind ran it as often."""
    if not len(kind):
        return np.empty(0, np.bool_)
    _, first, runs = np.unique(codes_of(kind, rank), return_index=True, return_counts=True)
    kinds = int(kind.max()) + 1
    least, most = np.full(kinds, len(kind) + 1), np.zeros(kinds, np.int64)
    np.minimum.at(least, kind[first], runs)
    np.maximum.at(most, kind[first], runs)
    result: Flags = (least == most)[kind]
    return result


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


def _at_the_same_time(family: Ints, graph: Ints, call: Ints, start: Ints, end: Ints) -> Flags:
    """Which kernels are of a call that ended nowhere before it had begun everywhere, on one clock.

    The clocks of two ranks differ by what the ends of their collectives differ by, in the middle of all of a family.
    """
    calls = int(call.max(initial=-1)) + 1
    sums, count = np.zeros(calls, np.int64), np.bincount(call, minlength=calls)
    np.add.at(sums, call, end)
    ahead = end - (sums // np.maximum(count, 1))[call]
    clock = np.zeros(len(end), np.int64)
    for rows in group_rows(family, graph):
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
