"""The cure of a straggler: the rank that the others wait for most works like the median of them.

Between two collectives its host and its device each take as long as the median of the other ranks between the same
two. What it takes longer goes away where it lies: call by call and kernel by kernel where the others made as many
there, else evenly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.replay.changes import Change, nothing
from traceanalyzer.analyzers.work import COMMUNICATION
from traceanalyzer.errors import UsageError
from traceanalyzer.model.intervals import union
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.replay.fixes import Bounds
    from traceanalyzer.analyzers.replay.graph import Graph

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]
    Pieces = tuple[Ints, Ints]  # how long each piece of work takes, and between which collectives it lies


def like_the_others(graphs: Sequence[Graph]) -> tuple[Bounds, ...]:
    """Per graph the change that makes the straggler a rank like the others: at least half of it, at most all of it.

    Raises:
        UsageError: no rank holds the others up, or none of the others ran as many collectives to compare it with.
    """
    found = straggler(graphs)
    if found is None:
        raise UsageError(say("no rank makes the others wait in the replayed steps"))
    slow = graphs[found]
    meetings = (slow.meeting >= 0).sum()
    others = [g for g in graphs if g is not slow and (g.meeting >= 0).sum() == meetings]
    if not others:
        raise UsageError(say("no other rank ran as many collectives as rank {rank}", rank=slow.rank))
    host = _excess(_host(slow), [_host(g) for g in others])
    device = _excess(_device(slow), [_device(g) for g in others])
    changed = [(nothing(g), nothing(g)) for g in graphs]
    changed[found] = (_without(slow, host, device, thresholds.SAVING_LOW), _without(slow, host, device, 1.0))
    return tuple(changed)


def straggler(graphs: Sequence[Graph]) -> int | None:
    """The number of the graph whose rank, coming last to collectives, made the others wait most; None if none did."""
    rows = [np.flatnonzero(g.meeting >= 0) for g in graphs]
    graph = np.repeat(np.arange(len(graphs)), [len(r) for r in rows])
    meeting = np.concatenate([g.meeting[r] for g, r in zip(graphs, rows, strict=True)])
    waited = np.concatenate(
        [(g.works.end - g.works.start - g.duration)[r] for g, r in zip(graphs, rows, strict=True)]
    )
    if not waited.any():
        return None
    order = np.lexsort((graph, waited, meeting))
    first = order[np.flatnonzero(np.diff(meeting[order], prepend=-1))]  # the last to come waited least
    caused = np.zeros(len(graphs), np.int64)
    np.add.at(caused, graph[first], np.bincount(meeting, waited).astype(np.int64))
    return int(caused.argmax())


def _host(graph: Graph) -> Pieces:
    """The host's work before and in each call, waiting left out."""
    launched = graph.works.call[graph.meeting >= 0]
    return graph.gap + graph.cost, np.searchsorted(launched, np.arange(len(graph.gap)))


def _device(graph: Graph) -> Pieces:
    """Work of the device that is no communication."""
    own = np.where(graph.works.kind == COMMUNICATION, 0, graph.duration)
    return own, np.searchsorted(graph.works.call[graph.meeting >= 0], graph.works.call)


def _excess(slow: Pieces, others: Sequence[Pieces]) -> Floats:
    """How much longer each piece takes than with the others, shape (pieces,).

    The sum over a stretch between two collectives is what the stretch takes longer than in the median of the others.
    """
    taken, stretch = slow
    stretches = int(stretch.max(initial=0)) + 1
    sums = np.median([np.bincount(s, t, stretches)[:stretches] for t, s in others], axis=0)
    longer = np.maximum(np.bincount(stretch, taken, stretches) - sums, 0)
    places = [_same_place(stretch, s) for _, s in others]
    alike = np.median([np.append(t, 0)[p] for (t, _), p in zip(others, places, strict=True)], axis=0)
    comparable = np.min(places, axis=0, initial=0) >= 0
    weight = np.where(comparable, np.maximum(taken - alike, 0), taken)
    whole = np.bincount(stretch, weight, stretches)
    share = np.divide(longer, whole, out=np.zeros(stretches), where=whole > 0)
    result: Floats = weight * np.minimum(share, 1)[stretch]
    return result


def _same_place(stretch: Ints, other: Ints) -> Ints:
    """For each piece the other rank's in the same place; -1 where its stretch has another number of pieces."""
    begin, end = (np.searchsorted(stretch, stretch, side=side) for side in ("left", "right"))
    first, last = (np.searchsorted(other, stretch, side=side) for side in ("left", "right"))
    return np.where(end - begin == last - first, first + np.arange(len(stretch)) - begin, -1)


def _without(graph: Graph, host: Floats, device: Floats, part: float) -> Change:
    """The graph's change when so much of these excesses goes away."""
    calls = graph.calls
    gone = np.minimum(np.round(host * part).astype(np.int64), graph.gap)
    free_from = calls.end[graph.before[0]]
    spans = {
        crew: union(free_from[calls.crew == crew], (free_from + gone)[calls.crew == crew])
        for crew in np.unique(calls.crew).tolist()
    }
    return replace(nothing(graph), host=spans, factor=1 - part * device / np.maximum(graph.duration, 1))
