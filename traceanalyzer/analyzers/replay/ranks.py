"""A replay ready for questions: of all ranks together where collectives join them, else of the first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.host import HostActivity
from traceanalyzer.analyzers.replay.changes import apply, nothing, united
from traceanalyzer.analyzers.replay.fixes import Fixes
from traceanalyzer.analyzers.replay.graph import build, explained
from traceanalyzer.analyzers.replay.meetings import Meetings, meet
from traceanalyzer.analyzers.replay.rows import step_sizes, stretch
from traceanalyzer.analyzers.replay.straggler import like_the_others
from traceanalyzer.analyzers.replay.together import Replayed, replay
from traceanalyzer.errors import UsageError
from traceanalyzer.model.by_rank import by_rank
from traceanalyzer.model.columns import ints
from traceanalyzer.model.trace import Capability, remedies
from traceanalyzer.text import join, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.replay.changes import Change
    from traceanalyzer.analyzers.replay.fixes import Bounds
    from traceanalyzer.analyzers.replay.graph import Graph
    from traceanalyzer.analyzers.results import Step, Steps
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]
    Cure = tuple[Bounds, ...]  # one change per rank, at least and at most

_NEEDS = (Capability.DEVICE_WORK, Capability.LAUNCHES)
OF_ALL_RANKS: Mapping[str, Callable[[Sequence[Graph]], Cure]] = {"COMM003": like_the_others}
"""The cures that only a replay of several ranks knows, by the code of the rule."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The mean step after a change: at best and at worst, ns. `path` is the critical path at best, ns per step."""

    change: str
    step_ns: tuple[int, int]
    path: Mapping[str, int]

    def saving_ns(self, before_ns: int) -> tuple[int, int]:
        """At least and at most, ns per step; never negative."""
        return max(0, before_ns - self.step_ns[1]), max(0, before_ns - self.step_ns[0])


@dataclass(frozen=True)
class Replay:
    """One rank or several, ready for questions: the run as recorded, and the run with explained delays only."""

    fixes: tuple[Fixes, ...]
    meetings: Meetings
    unchanged: Replayed
    explained: Replayed

    @classmethod
    def of(
        cls, trace: Trace, steps: Steps, ranks: Sequence[int], most_nodes: int = thresholds.REPLAY_NODES
    ) -> Replay:
        """Build and run the graphs of these ranks; of the first one alone where no collective joins them.

        Of a trace with more calls and device work than `most_nodes`, a stretch of steps in the middle is replayed.
        """
        traces, own = _traces(trace, ranks), _recorded_by_all(steps, ranks)
        hosts = [HostActivity.of(one) for one in traces]
        parts = _stretches(list(map(step_sizes, traces, own)), most_nodes)
        graphs = tuple(
            build(one, host, mine, *part)
            for one, host, mine, part in zip(traces, hosts, own, parts, strict=True)
        )
        graphs, meetings = meet(trace, graphs)
        if len(ranks) > 1 and not meetings.members:
            return cls.of(trace, steps, ranks[:1], most_nodes)
        fixes = tuple(map(Fixes, traces, hosts, graphs))
        known = tuple(map(explained, graphs))
        return cls(fixes, meetings, replay(graphs, meetings.members), replay(known, meetings.members))

    @property
    def graphs(self) -> tuple[Graph, ...]:
        """The recorded steps, per rank."""
        return tuple(fixes.graph for fixes in self.fixes)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that are replayed."""
        return tuple(graph.rank for graph in self.graphs)

    @property
    def trusted(self) -> bool:
        """Whether the unchanged replay comes close enough to what was measured, on every rank."""
        return abs(self.error_share) <= thresholds.REPLAY_ERROR_SHARE

    @property
    def error_share(self) -> float:
        """How far the replay of the unchanged trace is off, as a share of the measured time: of the worst rank."""
        errors = [
            course.total_ns / graph.measured_ns - 1 if graph.measured_ns else 0.0
            for course, graph in zip(self.explained.courses, self.graphs, strict=True)
        ]
        return max(errors, key=abs)

    @property
    def step_ns(self) -> int:
        """The mean step as measured, of the slowest rank."""
        return self.unchanged.step_ns

    def of_rule(self, code: str, remaining: Mapping[str, tuple[float, float]]) -> Cure:
        """What following a rule's advice changes, on every rank.

        Args:
            code: of the rule.
            remaining: what its finding does to kernels: the shares of their time that remain, at least and at most.

        Raises:
            UsageError: what the rule advises cannot be replayed.
        """
        if code in OF_ALL_RANKS and self.meetings.members:
            return OF_ALL_RANKS[code]([self.meetings.collectives_of(graph) for graph in self.graphs])
        if remaining:
            return self.everywhere(partial(Fixes.shortened, remaining=remaining))
        if code in OF_ALL_RANKS:
            raise UsageError(
                say(
                    "{code} needs a replay of several ranks: give the traces of all ranks together", code=code
                )
            )
        return self.everywhere(partial(Fixes.of_rule, code=code))

    def everywhere(self, make: Callable[[Fixes], Bounds]) -> Cure:
        """A change on every rank that has something to change.

        Raises:
            UsageError: no rank has.
        """
        found: list[Bounds] = []
        refused: list[UsageError] = []
        for fixes in self.fixes:
            try:
                found.append(make(fixes))
            except UsageError as error:
                refused.append(error)
                found.append((nothing(fixes.graph), nothing(fixes.graph)))
        if len(refused) == len(self.fixes):
            raise refused[0]
        return tuple(found)

    def only_on(self, rank: int, cure: Cure) -> Cure:
        """The part of a cure that concerns one rank."""
        return tuple(
            bounds if graph.rank == rank else (nothing(graph), nothing(graph))
            for graph, bounds in zip(self.graphs, cure, strict=True)
        )

    def outcome(self, label: str, cure: Cure) -> Outcome:
        """The step after a change, given what it changes at least and at most."""
        best = self._after([most for _, most in cure])
        certain = all(least is most for least, most in cure)
        worst = best if certain else self._after([least for least, _ in cure])
        low, high = sorted((best.step_ns, worst.step_ns))
        return Outcome(label, (low, high), best.path_per_step())

    def together(self, label: str, cures: Iterable[Cure]) -> Outcome:
        """The step after all of the changes."""
        per_rank = zip(*cures, strict=True)
        return self.outcome(
            label, tuple((united(least for least, _ in b), united(most for _, most in b)) for b in per_rank)
        )

    def _after(self, changes: Sequence[Change]) -> Replayed:
        graphs = [apply(graph, change) for graph, change in zip(self.graphs, changes, strict=True)]
        return replay(graphs, self.meetings.members)


def replayable(trace: Trace, steps: Steps) -> tuple[int, ...]:
    """The ranks with steps, device work and calls of the driver.

    Raises:
        UsageError: there is none, or the trace does not show what a replay needs.
    """
    missing = [c for c in _NEEDS if c not in trace.capabilities]
    if missing:
        raise UsageError(
            say("nothing to replay: {remedies}", remedies=join("; ", list(remedies(missing, trace.sources))))
        )
    calling = set(np.unique(ints(trace.api_calls, "rank")).tolist())
    ranks = sorted({s.rank for s in steps.steps} & _ranks(trace) & calling)
    if not ranks:
        raise UsageError(say("no rank to replay; with device work there is {ranks}", ranks=say("none")))
    return tuple(ranks)


def replay_size(trace: Trace, steps: Steps, ranks: Sequence[int], most_nodes: int) -> int:
    """Calls and device work of these ranks in the steps that `Replay.of` would replay."""
    own = _recorded_by_all(steps, ranks)
    sizes = [step_sizes(one, mine) for one, mine in zip(_traces(trace, ranks), own, strict=True)]
    parts = zip(sizes, _stretches(sizes, most_nodes), strict=True)
    return sum(int(size[first : last + 1].sum()) for size, (first, last) in parts)


def _ranks(trace: Trace) -> set[int]:
    return {r for table in (trace.kernels, trace.copies) for r in np.unique(ints(table, "rank")).tolist()}


def _traces(trace: Trace, ranks: Sequence[int]) -> list[Trace]:
    return by_rank(trace, ranks) if len(_ranks(trace)) > 1 else [trace]


def _recorded_by_all(steps: Steps, ranks: Sequence[int]) -> list[list[Step]]:
    """The steps of each rank in one recording; of several those whose names all of them have, if there are any.

    It is the recording of the first rank with most such steps: nothing is known of the time between two recordings.
    """
    own = [[s for s in steps.steps if s.rank == rank] for rank in ranks]
    again = any(len({s.name for s in one}) < len(one) for one in own)  # each recording began to count anew

    def key(step: Step) -> tuple[str, int]:
        return step.name, step.recording if again else 0

    common = set.intersection(*({key(s) for s in one} for one in own))
    shared = [[s for s in one if key(s) in common] for one in own] if common else own
    first = _one_recording(shared[0])
    chosen = {key(s) for s in first} if common else set()
    return [first, *(_one_recording([s for s in one if key(s) in chosen] or one) for one in shared[1:])]


def _one_recording(steps: Sequence[Step]) -> list[Step]:
    """Those of the recording with most of these steps."""
    (recording, _), *_ = Counter(s.recording for s in steps).most_common(1)
    return [s for s in steps if s.recording == recording]


def _stretches(sizes: Sequence[Ints], most_nodes: int) -> list[tuple[int, int]]:
    """First and last step to replay per rank: the same for all where they have as many, small enough together."""
    if len({len(size) for size in sizes}) == 1:
        return [stretch(np.sum(sizes, axis=0), most_nodes)] * len(sizes)
    return [stretch(size, most_nodes // len(sizes)) for size in sizes]
