"""What a change of the program does to the dependency graph.

A change names the host time, the calls and the work that go away, the work that becomes faster and the waits that
are lifted. Changes can be united, so that two of them that remove the same time remove it once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.replay.graph import NEVER
from traceanalyzer.analyzers.replay.waits import Edges
from traceanalyzer.model.intervals import Intervals, covered, empty, join

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.replay.graph import Graph

    Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Change:
    """What goes away or becomes faster.

    `host` is host time per crew that is not spent any more; `calls` and `works` go away; `cheap` calls cost only
    what a launch costs, and wait for nothing; `free` calls wait for nothing; `factor` multiplies the duration of
    work; `events` are waits between streams that are lifted. `instant` calls cost nothing but still do what they do;
    `merged` work follows what is ahead on its stream without a break, as parts of one kernel.
    """

    host: Mapping[int, Intervals]
    calls: Flags
    works: Flags
    cheap: Flags
    free: Flags
    instant: Flags
    merged: Flags
    factor: NDArray[np.float64]
    events: Flags


def nothing(graph: Graph) -> Change:
    """The change that changes nothing."""
    calls, works = len(graph.calls.row), len(graph.works.row)
    none, no_work = np.zeros(calls, np.bool_), np.zeros(works, np.bool_)
    events = np.zeros(len(graph.events.target), np.bool_)
    return Change({}, none, no_work, none, none, none, no_work, np.ones(works), events)


def united(changes: Iterable[Change]) -> Change:
    """All of the changes made together; of two speeds for the same work the higher one counts."""
    return reduce(_both, changes)


def _both(a: Change, b: Change) -> Change:
    crews = a.host.keys() | b.host.keys()
    return Change(
        {crew: join(a.host.get(crew, empty()), b.host.get(crew, empty())) for crew in crews},
        a.calls | b.calls,
        a.works | b.works,
        a.cheap | b.cheap,
        a.free | b.free,
        a.instant | b.instant,
        a.merged | b.merged,
        np.minimum(a.factor, b.factor),
        a.events | b.events,
    )


def apply(graph: Graph, change: Change) -> Graph:
    """The graph with the change made."""
    calls, works = graph.calls, graph.works
    gap = graph.gap.copy()
    cost = graph.cost.copy()
    for crew, gone in change.host.items():
        mine = np.flatnonzero(calls.crew == crew)
        gap[mine] -= covered(gone, calls.end[graph.before[0, mine]], calls.start[mine])
    launching = np.zeros(len(cost), np.bool_)
    launching[works.call[works.launched]] = True
    plain = cost[launching & ~calls.copies]
    launch_cost = int(np.median(plain)) if len(plain) else 0
    cost = np.where(change.cheap, np.minimum(cost, launch_cost), cost)
    cost[change.calls | change.instant] = 0

    dropped = change.works | (change.calls[works.call] & works.launched)
    duration = np.round(graph.duration * change.factor).astype(np.int64)
    duration[dropped] = 0
    lifted = change.calls | change.cheap | change.free
    keep_wait = ~lifted[graph.host_waits.target]
    keep_event = ~change.events
    waits, events = graph.host_waits, graph.events
    event_lag = np.where(dropped[events.target], 0, events.lag)
    # a blocking copy was staged by its call; launched like any other, it starts as soon as any other
    staged = change.cheap[works.call] & works.launched & ~dropped
    ordinary = works.launched & ~calls.copies[works.call]
    latency = int(np.median(graph.launch_lag[ordinary])) if ordinary.any() else 0
    launch_lag = np.where(staged, np.minimum(graph.launch_lag, latency), graph.launch_lag)
    has_previous = graph.previous >= 0
    return replace(
        graph,
        gap=gap,
        cost=cost,
        duration=duration,
        launch_lag=np.where(dropped & has_previous, NEVER, launch_lag),
        order_lag=np.where((dropped | change.merged) & has_previous, 0, graph.order_lag),
        host_waits=Edges(*(column[keep_wait] for column in waits)),
        events=Edges(events.target[keep_event], events.source[keep_event], event_lag[keep_event]),
        meeting=np.where(dropped, -1, graph.meeting),
        computing=np.where(dropped, 0, np.floor(graph.computing * change.factor)).astype(np.int64),
    )
