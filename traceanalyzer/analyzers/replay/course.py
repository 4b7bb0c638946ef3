"""Runs the dependency graph of one rank: every node begins as early as its edges allow; what decided is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.replay.graph import Graph

    Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Course:
    """One run of the graph of one rank.

    `call_start`, `submitted` and `call_end` have shape (calls,), `work_end` (works,), ns on the trace's axis. The
    `*_from` arrays say what decided: for a call's start which row of `before`, for its end and for a work's start the
    number of the edge (-1: the call's own cost, or the launch; -2: the stream's order).
    """

    graph: Graph
    call_start: list[int]
    submitted: list[int]
    call_end: list[int]
    work_start: list[int]
    work_end: list[int]
    call_from: list[int]
    end_from: list[int]
    work_from: list[int]

    @property
    def total_ns(self) -> int:
        """From the beginning of the stretch to the end of its last work or of the host's part of the last step."""
        return max(self.call_end[-1], max(self.work_end, default=0)) - self.graph.begin_ns

    @property
    def step_ns(self) -> int:
        """The mean step: what the device or the host takes for it, whichever takes longer.

        Where the device begins behind the host, its part is counted from where the first step is its turn: that the
        host was ahead is no gain that lasts.
        """
        graph, end = self.graph, self.graph.begin_ns + self.total_ns
        if graph.backlog < 0:
            return max(self.total_ns, graph.computing_ns) // graph.steps
        device_ns, host_ns = end - self.work_end[graph.backlog], self.call_end[-1] - graph.begin_ns
        return max(device_ns, host_ns, graph.computing_ns) // graph.steps


class Arrival(NamedTuple):
    """A rank has come to a collective of several ranks: its work there begins `early_ns` after its measured end.

    That is less than 0 by the wait for others and the transfer. The transfer alone takes `transfer_ns`.
    """

    meeting: int
    work: int
    early_ns: int
    transfer_ns: int


def follow(graph: Graph) -> Generator[Arrival, Any, Course]:
    """Run the graph once: one pass over calls and their work, in the order of launches.

    Yields each arrival at a collective that several ranks run together, and is sent how long after its measured end
    it ends.
    """
    calls, works = len(graph.calls.row), len(graph.works.row)
    before, thread = graph.before.tolist()
    gap = graph.gap.tolist()
    cost, slot = graph.cost.tolist(), graph.slot.tolist()
    duration, launch_lag = graph.duration.tolist(), graph.launch_lag.tolist()
    previous, order_lag = graph.previous.tolist(), graph.order_lag.tolist()
    wait_source, wait_lag = graph.host_waits.source.tolist(), graph.host_waits.lag.tolist()
    event_source, event_lag = graph.events.source.tolist(), graph.events.lag.tolist()
    first_work = _offsets(graph.works.call, calls)
    first_wait, first_event = _offsets(graph.host_waits.target, calls), _offsets(graph.events.target, works)
    meeting, measured_end = graph.meeting.tolist(), graph.works.end
    call_start, submitted, call_end = [0] * calls, [0] * calls, [graph.begin_ns] * calls
    work_start, work_end = [0] * works, [0] * works
    call_from, end_from, work_from = [0] * calls, [-1] * calls, [-1] * works
    for call in range(calls):
        at = call_end[before[call]] + gap[call]
        other = call_end[thread[call]]
        if other > at:
            at, call_from[call] = other, 1
        call_start[call] = at
        submitted[call] = at = max(at, work_end[slot[call]]) if slot[call] >= 0 else at
        for work in range(first_work[call], first_work[call + 1]):
            begin, how = at + launch_lag[work], -1
            ready = work_end[previous[work]] + order_lag[work]  # the first on its stream has a lag of NEVER
            if ready > begin:
                begin, how = ready, -2
            for edge in range(first_event[work], first_event[work + 1]):
                ready = work_end[event_source[edge]] + event_lag[edge]
                if ready > begin:
                    begin, how = ready, edge
            work_start[work], work_from[work] = begin, how
            if meeting[work] < 0:
                work_end[work] = begin + duration[work]
            else:
                measured = int(measured_end[work])
                late_ns: int = yield Arrival(meeting[work], work, begin - measured, duration[work])
                work_end[work] = measured + late_ns
        end = at + cost[call]
        for edge in range(first_wait[call], first_wait[call + 1]):
            ready = work_end[wait_source[edge]] + wait_lag[edge]
            if ready > end:
                end, end_from[call] = ready, edge
        call_end[call] = end
    return Course(
        graph, call_start, submitted, call_end, work_start, work_end, call_from, end_from, work_from
    )


def _offsets(target: Ints, count: int) -> list[int]:
    offsets: list[int] = np.searchsorted(target, np.arange(count + 1)).tolist()
    return offsets
