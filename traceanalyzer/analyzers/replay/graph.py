"""What had to wait for what: the dependency graph of one rank over a stretch of steps.

Nodes are API calls that launch or wait, and device work. Edges: thread order (the host's work between two calls is
the weight), the hand-over between threads that take turns, launch to work, stream order, event waits, the end of
work to the call that waited for it, and the limited launch queue. Every edge that decided a start when the trace
was recorded keeps exactly the delay that was measured; one that did not gets the typical delay of its kind, at most
what was measured. The nodes are numbered so that edges point forward only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.replay.rows import Calls, Works, select
from traceanalyzer.analyzers.replay.waits import Edges, event_edges, host_waits, previous_on_stream
from traceanalyzer.analyzers.thresholds import EMPTY_QUEUE_DELAY_NS, LAUNCH_QUEUE, SLOW_CALL_NS, US
from traceanalyzer.analyzers.work import COMPUTE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.host import HostActivity
    from traceanalyzer.analyzers.results import Step
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

LAUNCH_LATENCY_NS = 5 * US  # of an idle device, at most; where the queue is never empty it cannot be measured
NEVER = -(1 << 60)  # the delay of an edge that holds nothing up


@dataclass(frozen=True)
class Graph:
    """Calls, works and the delays between them, ns.

    `before` has shape (2, calls): the call that ended last before a call within its crew, and on its own thread;
    `gap` is the host's work since the former. `cost` is what a call takes without waiting. `slot` is the work whose
    end makes room in the launch queue, -1 for none. `previous` is the work ahead on the stream. `inferred` counts
    event waits that no row of the trace proves. `backlog` is the last work of earlier steps that the device still had
    to do when the host began the stretch; -1 for none. `meeting` is the number of the collective that a work runs
    together with other ranks, -1 for none: its `duration` is the transfer alone. `computing` is what each work adds to
    the time in which its device computes, beyond what ran beside it.
    """

    rank: int
    calls: Calls
    works: Works
    first_step: int
    steps: int
    total_steps: int
    backlog: int
    begin_ns: int
    measured_ns: int  # of the whole stretch
    before: Ints
    gap: Ints
    cost: Ints
    slot: Ints
    host_waits: Edges  # work → call
    duration: Ints
    launch_lag: Ints  # from the call's start (or its place in the queue) to the work's start
    previous: Ints
    order_lag: Ints
    events: Edges  # work → work
    inferred: int
    meeting: Ints
    computing: Ints

    @property
    def computing_ns(self) -> int:
        """How long the busiest device computes, if kernels overlap no more than they were seen to."""
        device = self.works.device
        return max((int(self.computing[device == one].sum()) for one in np.unique(device)), default=0)


def build(trace: Trace, host: HostActivity, own: Sequence[Step], first: int, last: int) -> Graph:
    """The graph of one rank, of which these are the steps: of the stretch from the `first` to the `last` of them."""
    rank = own[first].rank
    begin, host_end, end = own[first].host_start_ns, own[last].host_end_ns, own[last].end_ns
    calls, works = select(trace, host, rank, begin, host_end, end)
    end = max(host_end, int(works.end.max(initial=host_end)))
    before, gap = _thread_order(calls)
    previous = previous_on_stream(works)
    slot = _slots(calls, works)
    freed = np.append(works.end, 0)[slot]  # there may be no work at all
    submitted = np.where(slot >= 0, np.maximum(calls.start, freed), calls.start)[works.call]
    events, inferred = event_edges(trace, calls, works, previous, rank)
    launch_lag, order_lag, event_lag = _lags(works, submitted, previous, events)
    waits, cost = host_waits(trace, calls, works)
    backlog = _backlog(works, own[first])
    queued = (slot >= 0) & (freed > calls.start)
    cost = np.where(queued, np.minimum(cost, np.maximum(calls.end - freed, 0)), cost)
    return Graph(
        rank,
        calls,
        works,
        own[first].index,
        last - first + 1,
        len(own),
        backlog,
        begin,
        end - begin,
        before,
        gap,
        cost,
        slot,
        waits,
        works.end - works.start,
        launch_lag,
        previous,
        order_lag,
        Edges(events.target, events.source, event_lag),
        inferred,
        np.full(len(works.row), -1, np.int64),
        _computing(works, begin if backlog < 0 else int(works.end[backlog])),
    )


def explained(graph: Graph) -> Graph:
    """The graph with every delay that decided a start cut to what launching, streams and waking up can take.

    With the delays as measured the replay of the unchanged graph is exact whatever the graph lacks. Run with these,
    it falls short by the delays that no edge explains: that is the test of the graph.
    """
    works = graph.works
    # staging on the host is part of a blocking copy's launch; where a launch lies before the window, nothing is known
    exempt = graph.calls.copies[works.call] | (works.call == 0)
    allowed = graph.cost[works.call] + EMPTY_QUEUE_DELAY_NS
    return replace(
        graph,
        launch_lag=np.where(exempt, graph.launch_lag, np.minimum(graph.launch_lag, allowed)),
        order_lag=np.minimum(graph.order_lag, EMPTY_QUEUE_DELAY_NS),
        events=graph.events._replace(lag=np.minimum(graph.events.lag, EMPTY_QUEUE_DELAY_NS)),
        host_waits=graph.host_waits._replace(lag=np.minimum(graph.host_waits.lag, SLOW_CALL_NS)),
    )


def _backlog(works: Works, first: Step) -> int:
    """The work with whose end the window of the first step begins; -1 when it begins with the host's range."""
    rows = np.flatnonzero(works.end == first.start_ns)
    return int(rows[-1]) if len(rows) and first.start_ns > first.host_start_ns else -1


def _computing(works: Works, begin_ns: int) -> Ints:
    """What each kernel adds to the time in which its device computes, in the order of their starts; ns."""
    adds = np.zeros(len(works.row), np.int64)
    for device in np.unique(works.device):
        rows = np.flatnonzero((works.device == device) & (works.kind == COMPUTE))
        rows = rows[np.argsort(works.start[rows], kind="stable")]
        reached = np.maximum.accumulate(np.append(begin_ns, works.end[rows]))
        idle = np.maximum(works.start[rows] - reached[:-1], 0)
        adds[rows] = np.diff(reached) - idle
    return adds


def _thread_order(calls: Calls) -> tuple[Ints, Ints]:
    """Which calls end before each call within its crew and on its thread, and the host's work in between.

    Between two turns of one thread the others work: that its own calls keep their order is all that it adds.
    """
    before = np.stack([_ended_before(calls, group) for group in (calls.crew, calls.thread)])
    return before, calls.start - calls.end[before[0]]


def _ended_before(calls: Calls, group: Ints) -> Ints:
    """The call of the same group that ended last before each call began; 0 (the beginning) where there is none."""
    result = np.zeros(len(group), np.int64)
    for number in np.unique(group):
        rows = np.flatnonzero(group == number)
        by_end = rows[np.argsort(calls.end[rows], kind="stable")]
        found = np.searchsorted(calls.end[by_end], calls.start[rows], side="right") - 1
        # a call without duration has ended when it begins: not before itself, nor before one of the same instant
        while (later := (found >= 0) & (by_end[np.maximum(found, 0)] >= rows)).any():
            found = found - later
        result[rows] = np.where(found >= 0, by_end[np.maximum(found, 0)], 0)
    return result


def _slots(calls: Calls, works: Works) -> Ints:
    """The work whose end lets a call launch when the queue is full; edges that the trace contradicts are left out."""
    slot = np.full(len(calls.row), -1, np.int64)
    for device in np.unique(works.device):
        rows = np.flatnonzero((works.device == device) & works.launched)
        call, first = np.unique(works.call[rows], return_index=True)
        full = first >= LAUNCH_QUEUE
        blocker = rows[first[full] - LAUNCH_QUEUE]
        call = call[full]
        possible = works.end[blocker] <= calls.end[call]
        slot[call[possible]] = blocker[possible]
    return slot


def _lags(works: Works, submitted: Ints, previous: Ints, events: Edges) -> tuple[Ints, Ints, Ints]:
    """Delays of launches, of stream order and of event waits, so that every start comes out as measured."""
    launch = np.where(works.launched | (previous < 0), works.start - submitted, np.iinfo(np.int64).max // 4)
    order = np.where(previous >= 0, works.start - works.end[previous], np.iinfo(np.int64).max // 4)
    event = works.start[events.target] - works.end[events.source]
    nearest_event = np.full(len(launch), np.iinfo(np.int64).max // 4)
    np.minimum.at(nearest_event, events.target, event)
    fastest = np.percentile(launch[works.launched], 5) if works.launched.any() else 0
    fastest = min(max(int(fastest), 0), LAUNCH_LATENCY_NS)
    # what decided: the anchor that, with the shortest delay of its kind, comes last
    least = np.stack((launch - fastest, order - US, nearest_event - 3 * US))
    decided = np.argmin(least, axis=0)

    def settled(lag: Ints, is_it: NDArray[np.bool_], by_launched: NDArray[np.bool_]) -> Ints:
        # of work without a launch all that is known is that it began: its delay is no measure for others
        sure = is_it & by_launched
        typical = int(np.median(lag[sure])) if sure.any() else US
        return np.where(is_it, lag, np.minimum(lag, max(typical, 0)))

    no_launch = ~works.launched & (previous >= 0)
    launch_lag = np.where(no_launch, NEVER, settled(launch, decided == 0, works.launched))
    order_lag = np.where(previous < 0, NEVER, settled(order, decided == 1, works.launched))
    by_event = (decided[events.target] == 2) & (event == nearest_event[events.target])
    event_lag = settled(event, by_event, works.launched[events.target])
    return launch_lag, order_lag, event_lag
