"""What a step would take after a change: the replay as recorded, each change alone, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.changes import apply, united
from traceanalyzer.analyzers.host import HostActivity
from traceanalyzer.analyzers.replay import Replayed, replay
from traceanalyzer.analyzers.replay_fixes import RULES, Fixes
from traceanalyzer.analyzers.replay_graph import Graph, build, explained
from traceanalyzer.analyzers.work import COMMUNICATION, device_work
from traceanalyzer.errors import UsageError
from traceanalyzer.model.trace import HOW_TO_CAPTURE, Capability
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traceanalyzer.analyzers.changes import Change
    from traceanalyzer.analyzers.results import Steps
    from traceanalyzer.model.trace import Trace

_NEEDS = (Capability.DEVICE_WORK, Capability.LAUNCHES)


@dataclass(frozen=True, slots=True)
class Outcome:
    """The mean step after a change: at best and at worst, ns. `path` is the critical path at best, ns per step."""

    change: str
    step_ns: tuple[int, int]
    path: Mapping[str, int]

    def saving_ns(self, before_ns: int) -> tuple[int, int]:
        """At least and at most, ns per step; never negative."""
        return max(0, before_ns - self.step_ns[1]), max(0, before_ns - self.step_ns[0])


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A replay of one rank and what changes would do; times are ns of the mean step.

    `replayed_ns` is the unchanged trace replayed with no delay longer than what launches, streams and waits take.
    `changes` is empty and `together` None when the replay as recorded misses the measured step by more than
    `thresholds.REPLAY_ERROR_SHARE`: then `distrust` says so. `path` maps the keys of `replay.PATH_KINDS` to ns.
    """

    rank: int
    first_step: int
    steps: int
    total_steps: int
    measured_ns: int
    replayed_ns: int
    path: Mapping[str, int]
    changes: tuple[Outcome, ...] = ()
    together: Outcome | None = None
    distrust: str | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def error_share(self) -> float:
        """How far the replay of the unchanged trace is off, as a share of the measured step."""
        return self.replayed_ns / self.measured_ns - 1


@dataclass(frozen=True)
class Replay:
    """One rank, ready for questions: the run as recorded, and how long it takes with explained delays only."""

    fixes: Fixes
    unchanged: Replayed
    explained: Replayed

    @classmethod
    def of(
        cls,
        trace: Trace,
        steps: Steps,
        rank: int | None = None,
        most_nodes: int = thresholds.REPLAY_NODES,
    ) -> Replay:
        """Build and run the graph of a rank; of the first one that has device work when none is named.

        Of a trace with more calls and device work than `most_nodes`, a stretch of steps in the middle is replayed.

        Raises:
            UsageError: the trace does not show what a replay needs, or has no such rank.
        """
        missing = [c for c in _NEEDS if c not in trace.capabilities]
        if missing:
            raise UsageError(
                say(
                    "nothing to replay: {remedies}", remedies=join("; ", [HOW_TO_CAPTURE[c] for c in missing])
                )
            )
        ranks = sorted({s.rank for s in steps.steps} & {d.rank for d in device_work(trace)})
        if not ranks or (rank is not None and rank not in ranks):
            shown = ", ".join(map(str, ranks)) or say("none")
            if rank is None:
                raise UsageError(say("no rank to replay; with device work there is {ranks}", ranks=shown))
            raise UsageError(
                say("no rank {rank} to replay; with device work there is {ranks}", rank=rank, ranks=shown)
            )
        host = HostActivity.of(trace)
        graph = build(trace, host, steps, ranks[0] if rank is None else rank, most_nodes)
        return cls(Fixes(trace, host, graph), replay(graph), replay(explained(graph)))

    @property
    def trusted(self) -> bool:
        """Whether the unchanged replay comes close enough to what was measured."""
        return abs(self.error_share) <= thresholds.REPLAY_ERROR_SHARE

    @property
    def error_share(self) -> float:
        """How far the replay of the unchanged trace is off, as a share of the measured time."""
        measured_ns = self.fixes.graph.measured_ns
        return self.explained.total_ns / measured_ns - 1 if measured_ns else 0.0

    @property
    def step_ns(self) -> int:
        """The mean step as measured."""
        return self.unchanged.step_ns

    def outcome(self, label: str, least: Change, most: Change) -> Outcome:
        """The step after a change, given what it changes at least and at most."""
        graph = self.fixes.graph
        best = replay(apply(graph, most))
        worst = best if least is most else replay(apply(graph, least))
        low, high = sorted((best.step_ns, worst.step_ns))
        return Outcome(label, (low, high), best.path_per_step())


def what_if(
    trace: Trace,
    steps: Steps,
    remove: Sequence[str],
    speedup: Sequence[tuple[str, float]],
    rank: int | None = None,
) -> WhatIf:
    """Replay a rank as recorded, with each change, and with all of them.

    Args:
        trace: a linked trace.
        steps: its steps.
        remove: codes of rules, or names (globs) of ops, ranges and API calls to do without.
        speedup: names (globs) of ops or kernels, and how many times as fast they become.
        rank: which rank; the first when None. Other ranks are taken to do what they did.

    Raises:
        UsageError: the trace cannot be replayed, or a change fits nothing in it.
    """
    whole = Replay.of(trace, steps, rank)
    fixes, graph = whole.fixes, whole.fixes.graph
    asked = [(say("remove {name}", name=name), *_removal(fixes, name)) for name in remove]
    asked += [
        (say("speed up {name} {factor:g}x", name=name, factor=factor), *fixes.faster(name, factor))
        for name, factor in speedup
    ]
    changes: tuple[Outcome, ...] = ()
    together, distrust = None, None
    if not whole.trusted:
        distrust = say(
            "The replay of the unchanged trace misses the measured step by more than {limit}: what changes would save "
            "cannot be told from it.",
            limit=f"{thresholds.REPLAY_ERROR_SHARE:.0%}",
        )
    elif asked:
        changes = tuple(whole.outcome(*change) for change in asked)
        together = whole.outcome(
            say("all together"), united(a[1] for a in asked), united(a[2] for a in asked)
        )
    return WhatIf(
        graph.rank,
        graph.first_step,
        graph.steps,
        graph.total_steps,
        whole.step_ns,
        whole.explained.step_ns,
        whole.unchanged.path_per_step(),
        changes,
        together,
        distrust,
        tuple(_notes(graph)),
    )


def _removal(fixes: Fixes, name: str) -> tuple[Change, Change]:
    if name.upper() in RULES:
        return fixes.of_rule(name.upper())
    return fixes.without(name)


def _notes(graph: Graph) -> list[Text]:
    notes = []
    if graph.steps < graph.total_steps:
        notes.append(
            say(
                "Replayed are steps {first} to {last} of {all}: at most {most} calls and device work.",
                first=graph.first_step,
                last=graph.first_step + graph.steps - 1,
                all=graph.total_steps,
                most=f"{thresholds.REPLAY_NODES:,}",
            )
        )
    if graph.inferred:
        notes.append(
            say(
                "{count} waits between streams are inferred from timing; {remedy} to have them recorded.",
                count=graph.inferred,
                remedy=HOW_TO_CAPTURE[Capability.SYNC_EVENTS],
            )
        )
    if (graph.works.kind == COMMUNICATION).any():
        notes.append(
            say("Communication keeps its recorded duration: other ranks are taken to do what they did.")
        )
    return notes
