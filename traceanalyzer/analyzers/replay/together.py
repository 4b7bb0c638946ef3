"""Runs the graphs of all ranks: a collective begins when the last of its ranks has come, and ends for all of them.

Ranks need no common clock for that: a collective ends for all at the same time, so that the measured ends of its
kernels tell which time of one rank is which of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceanalyzer.analyzers.replay.course import follow
from traceanalyzer.analyzers.work import COMMUNICATION, COMPUTE, COPY
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traceanalyzer.analyzers.replay.course import Arrival, Course
    from traceanalyzer.analyzers.replay.graph import Graph

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
    """One run of the graphs of one or several ranks.

    `last` holds for each collective of several ranks who came last: the number of its course, the work there, and how
    long the transfer took for all, ns.
    """

    courses: tuple[Course, ...]
    last: Mapping[int, tuple[int, int, int]]

    @property
    def slowest(self) -> int:
        """The number of the course with the longest step."""
        steps = [course.step_ns for course in self.courses]
        return steps.index(max(steps))

    @property
    def step_ns(self) -> int:
        """The mean step of the slowest rank."""
        return self.courses[self.slowest].step_ns

    def path_per_step(self) -> dict[str, int]:
        """The critical path's parts as parts of the mean step, ns."""
        path = self.critical_path()
        share = self.step_ns / max(sum(path.values()), 1)
        return {kind: int(ns * share) for kind, ns in path.items()}

    def critical_path(self) -> dict[str, int]:
        """Time on the longest chain to the end of the slowest rank by the keys of `PATH_KINDS`, ns.

        Of one rank the values sum to `total_ns` exactly. Where a collective waited for another rank, the path goes on
        there: waiting for others is no part of it.
        """
        path = dict.fromkeys(PATH_KINDS, 0)
        course = self.courses[self.slowest]
        last = max(range(len(course.work_end)), key=course.work_end.__getitem__, default=-1)
        on_device = last >= 0 and course.work_end[last] > course.call_end[-1]
        node = last if on_device else len(course.call_end) - 1
        while True:
            if on_device:
                course, node = self._through(course, node, path)
            graph = course.graph
            if on_device:
                begun, how = course.work_start[node], course.work_from[node]
                if how != -1:
                    node = int(graph.previous[node] if how == -2 else graph.events.source[how])
                    path[STREAM] += begun - course.work_end[node]
                    continue
                kind = _WORK_KINDS[int(graph.works.kind[node])]
                node = int(graph.works.call[node])
                late_ns = begun - course.submitted[node]
                # What ran already when the steps began counts from there on.
                path[LAUNCH if late_ns >= 0 else kind] += late_ns
            elif (wait := course.end_from[node]) >= 0:
                work = int(graph.host_waits.source[wait])
                path[SYNC] += course.call_end[node] - course.work_end[work]
                node, on_device = work, True
                continue
            else:
                path[HOST] += course.call_end[node] - course.submitted[node]
            if course.submitted[node] > course.call_start[node]:  # the launch queue was full
                node, on_device = int(graph.slot[node]), True
                continue
            if node == 0:
                return path
            before = int(graph.before[course.call_from[node], node])
            path[HOST] += course.call_start[node] - course.call_end[before]
            node, on_device = before, False

    def _through(self, course: Course, work: int, path: dict[str, int]) -> tuple[Course, int]:
        """Add what a work took to the path; the rank and the work at whose start the path goes on."""
        meeting = int(course.graph.meeting[work])
        if meeting < 0:
            kind = _WORK_KINDS[int(course.graph.works.kind[work])]
            path[kind] += course.work_end[work] - course.work_start[work]
            return course, work
        number, there, transfer_ns = self.last[meeting]
        path["communication"] += transfer_ns
        return self.courses[number], there


def replay(graphs: Sequence[Graph], meetings: Sequence[Sequence[int]] = ()) -> Replayed:
    """Run the graphs once.

    Args:
        graphs: one per rank; their `meeting` numbers the collectives that several of them run together.
        meetings: for each of these numbers which graphs take part. All graphs come to them in the order of the
            numbers. A rank whose part has gone away is not waited for.
    """
    ranks = [_Rank(graph) for graph in graphs]
    last: dict[int, tuple[int, int, int]] = {}
    for number, members in enumerate(meetings):
        come = [
            (arrival.early_ns, arrival.transfer_ns, arrival.work, member)
            for member in members
            if (arrival := ranks[member].arrival) is not None and arrival.meeting == number
        ]
        if come:
            early_ns, _, work, member = max(come, key=lambda arrived: arrived[0])
            transfer_ns = max(arrived[1] for arrived in come)
            last[number] = member, work, transfer_ns
            for arrived in come:
                ranks[arrived[3]].go_on(early_ns + transfer_ns)
    return Replayed(tuple(rank.course for rank in ranks), last)


class _Rank:
    """A rank on its way: the collective at which it waits for others, or its course when it is through."""

    course: Course

    def __init__(self, graph: Graph) -> None:
        self._way = follow(graph)
        self.arrival: Arrival | None = None
        self.go_on(None)

    def go_on(self, late_ns: int | None) -> None:
        """To the next collective of several ranks, or to the end."""
        try:
            self.arrival = self._way.send(late_ns)
        except StopIteration as through:
            self.arrival, self.course = None, through.value
