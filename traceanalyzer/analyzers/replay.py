"""Runs the dependency graph: every node begins as early as its edges allow; the chain that decides is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.work import COMMUNICATION, COMPUTE, COPY
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.replay_graph import Graph

    Ints = NDArray[np.int64]

HOST, LAUNCH, SYNC, STREAM = "host", "launch", "synchronisation", "stream"
PATH_KINDS: Mapping[str, Text] = {
    "compute": say("kernels that compute"),
    "communication": say("communication kernels"),
    "copy": say("copies and memsets"),
    HOST: say("work of the host"),
    LAUNCH: say("from a launch call to the start of its work"),
    STREAM: say("between work: order on the stream, events"),
    SYNC: say("from the end of work to the return of the call that waited"),
}
_WORK_KINDS = {COMPUTE: "compute", COMMUNICATION: "communication", COPY: "copy"}


@dataclass(frozen=True)
class Replayed:
    """One run of the graph.

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
            return self.total_ns // graph.steps
        device_ns, host_ns = end - self.work_end[graph.backlog], self.call_end[-1] - graph.begin_ns
        return max(device_ns, host_ns) // graph.steps

    def path_per_step(self) -> dict[str, int]:
        """The critical path's parts as parts of the mean step, ns."""
        share = self.step_ns / max(self.total_ns, 1)
        return {kind: int(ns * share) for kind, ns in self.critical_path().items()}

    def critical_path(self) -> dict[str, int]:
        """Time on the longest chain by the keys of `PATH_KINDS`, ns; the values sum to `total_ns` exactly."""
        path = dict.fromkeys(PATH_KINDS, 0)
        graph = self.graph
        source_of_wait, source_of_event = graph.host_waits.source, graph.events.source
        previous, call_of = graph.previous, graph.works.call
        last = int(np.argmax(self.work_end)) if self.work_end else -1
        on_device = last >= 0 and self.work_end[last] > self.call_end[-1]
        node = last if on_device else len(self.call_end) - 1
        while True:
            if on_device:
                begun, how = self.work_start[node], self.work_from[node]
                path[_WORK_KINDS[int(graph.works.kind[node])]] += self.work_end[node] - begun
                if how != -1:
                    node = int(previous[node] if how == -2 else source_of_event[how])
                    path[STREAM] += begun - self.work_end[node]
                    continue
                node = int(call_of[node])
                path[LAUNCH] += begun - self.submitted[node]
            elif (wait := self.end_from[node]) >= 0:
                work = int(source_of_wait[wait])
                path[SYNC] += self.call_end[node] - self.work_end[work]
                node, on_device = work, True
                continue
            else:
                path[HOST] += self.call_end[node] - self.submitted[node]
            if self.submitted[node] > self.call_start[node]:  # the launch queue was full
                node, on_device = int(graph.slot[node]), True
                continue
            if node == 0:
                return path
            before = int(graph.before[self.call_from[node], node])
            path[HOST] += self.call_start[node] - self.call_end[before]
            node, on_device = before, False


def replay(graph: Graph) -> Replayed:
    """Run the graph once: one pass over calls and their work, in the order of launches."""
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
    call_start, submitted, call_end = [0] * calls, [0] * calls, [graph.begin_ns] * calls
    work_start, work_end = [0] * works, [0] * works
    call_from, end_from, work_from = [0] * calls, [-1] * calls, [-1] * works
    for call in range(calls):
        at = call_end[before[call]] + gap[call]
        other = call_end[thread[call]]
        if other > at:
            at, call_from[call] = other, 1
        call_start[call] = at
        if slot[call] >= 0 and work_end[slot[call]] > at:
            at = work_end[slot[call]]
        submitted[call] = at
        for work in range(first_work[call], first_work[call + 1]):
            begin, how = at + launch_lag[work], -1
            if previous[work] >= 0 and (ready := work_end[previous[work]] + order_lag[work]) > begin:
                begin, how = ready, -2
            for edge in range(first_event[work], first_event[work + 1]):
                ready = work_end[event_source[edge]] + event_lag[edge]
                if ready > begin:
                    begin, how = ready, edge
            work_start[work], work_from[work] = begin, how
            work_end[work] = begin + duration[work]
        end = at + cost[call]
        for edge in range(first_wait[call], first_wait[call + 1]):
            ready = work_end[wait_source[edge]] + wait_lag[edge]
            if ready > end:
                end, end_from[call] = ready, edge
        call_end[call] = end
    return Replayed(
        graph, call_start, submitted, call_end, work_start, work_end, call_from, end_from, work_from
    )


def _offsets(target: Ints, count: int) -> list[int]:
    offsets: list[int] = np.searchsorted(target, np.arange(count + 1)).tolist()
    return offsets
