"""What a step would take after a change: the replay as recorded, each change alone, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.replay.fixes import RULES, Fixes
from traceanalyzer.analyzers.replay.ranks import OF_ALL_RANKS, Replay, replayable
from traceanalyzer.analyzers.work import COMMUNICATION
from traceanalyzer.errors import UsageError
from traceanalyzer.model.trace import HOW_TO_CAPTURE, Capability
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from traceanalyzer.analyzers.replay.ranks import Cure, Outcome
    from traceanalyzer.analyzers.results import Steps
    from traceanalyzer.model.trace import Trace

NO_ADVICE: Mapping[str, Mapping[str, tuple[float, float]]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A replay and what changes would do; times are ns of the mean step, of the slowest rank.

    `ranks` are replayed together, `rank` is the first of them; changes are made on all, or on `changed` alone.
    `replayed_ns` is the unchanged trace replayed with no delay longer than what launches, streams and waits take.
    `changes` is empty and `together` None when the replay as recorded misses the measured step by more than
    `thresholds.REPLAY_ERROR_SHARE`: then `distrust` says so. `path` maps the keys of `replay.PATH_KINDS` to ns.
    """

    rank: int
    ranks: tuple[int, ...]
    changed: int | None
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


def what_if(
    trace: Trace,
    steps: Steps,
    remove: Sequence[str],
    speedup: Sequence[tuple[str, float]],
    rank: int | None = None,
    advised: Mapping[str, Mapping[str, tuple[float, float]]] = NO_ADVICE,
) -> WhatIf:
    """Replay a run as recorded, with each change, and with all of them.

    Args:
        trace: a linked trace.
        steps: its steps.
        remove: codes of rules, or names (globs) of ops, ranges and API calls to do without.
        speedup: names (globs) of ops or kernels, and how many times as fast they become.
        rank: make the changes on this rank alone. Without matched collectives it is all that is replayed, the first
            when None: other ranks are taken to do what they did.
        advised: what the findings of this trace do to kernels, by code: the shares of each kernel's time that remain
            at the least and at the most.

    Raises:
        UsageError: the trace cannot be replayed, or a change fits nothing in it.
    """
    whole = _replay(trace, steps, rank)
    asked = _asked(whole, remove, speedup, advised)
    changed = rank if whole.meetings.members else None
    if changed is not None:
        asked = [(label, whole.only_on(changed, cure)) for label, cure in asked]
    told = asked if whole.trusted else []
    graph = whole.graphs[0]
    return WhatIf(
        graph.rank,
        whole.ranks,
        changed,
        graph.first_step,
        graph.steps,
        graph.total_steps,
        whole.step_ns,
        whole.explained.step_ns,
        whole.unchanged.path_per_step(),
        tuple(whole.outcome(*change) for change in told),
        whole.together(say("all together"), [cure for _, cure in told]) if told else None,
        None if whole.trusted else _distrust(),
        tuple(_notes(whole, changed)),
    )


def _distrust() -> Text:
    return say(
        "The replay of the unchanged trace misses the measured step by more than {limit}: what changes would save "
        "cannot be told from it.",
        limit=f"{thresholds.REPLAY_ERROR_SHARE:.0%}",
    )


def _replay(trace: Trace, steps: Steps, rank: int | None) -> Replay:
    ranks = replayable(trace, steps)
    if rank is not None and rank not in ranks:
        shown = ", ".join(map(str, ranks))
        raise UsageError(
            say("no rank {rank} to replay; with device work there is {ranks}", rank=rank, ranks=shown)
        )
    whole = Replay.of(trace, steps, ranks)
    return whole if rank is None or rank in whole.ranks else Replay.of(trace, steps, (rank,))


def _asked(
    whole: Replay,
    remove: Sequence[str],
    speedup: Sequence[tuple[str, float]],
    advised: Mapping[str, Mapping[str, tuple[float, float]]],
) -> list[tuple[Text, Cure]]:
    asked = [(say("remove {name}", name=name), _removal(whole, name, advised)) for name in remove]
    for name, factor in speedup:
        label = say("speed up {name} {factor:g}x", name=name, factor=factor)
        asked.append((label, whole.everywhere(partial(Fixes.faster, name=name, factor=factor))))
    return asked


def _removal(whole: Replay, name: str, advised: Mapping[str, Mapping[str, tuple[float, float]]]) -> Cure:
    code = name.upper()
    if code in RULES or code in OF_ALL_RANKS or code in advised:
        return whole.of_rule(code, advised.get(code, {}))
    return whole.everywhere(partial(Fixes.without, name=name))


def _notes(whole: Replay, changed: int | None) -> Iterator[Text]:
    graph = whole.graphs[0]
    if changed is not None:
        yield say("Changes are made on rank {rank} alone.", rank=changed)
    if graph.steps < graph.total_steps:
        yield say(
            "Replayed are steps {first} to {last} of {all}: at most {most} calls and device work.",
            first=graph.first_step,
            last=graph.first_step + graph.steps - 1,
            all=graph.total_steps,
            most=f"{thresholds.REPLAY_NODES:,}",
        )
    inferred = sum(graph.inferred for graph in whole.graphs)
    if inferred:
        yield say(
            "{count} {count:wait|waits} between streams {count:is|are} inferred from timing; {remedy} to have them "
            "recorded.",
            count=inferred,
            remedy=HOW_TO_CAPTURE[Capability.SYNC_EVENTS],
        )
    yield from _communication(whole)


def _communication(whole: Replay) -> Iterator[Text]:
    """What is known of other ranks, and what is not."""
    meetings = whole.meetings
    collectives = len(meetings.members) - len(meetings.sent)
    if not meetings.members and (whole.graphs[0].works.kind == COMMUNICATION).any():
        yield say("Communication keeps its recorded duration: other ranks are taken to do what they did.")
    if collectives:
        yield say(
            "{count} {count:collective begins when the last of its|collectives begin when the last of their} ranks has "
            "come, and {count:ends|end} for all of them.",
            count=f"{collectives:,}",
        )
    if meetings.sent:
        yield say(
            "{count} {count:message goes|messages go} from one rank to another when both have come to it.",
            count=f"{len(meetings.sent):,}",
        )
    if meetings.assumed:
        yield say(
            "Which ranks take part was not recorded: all that are given are taken to; {remedy} to have it recorded.",
            remedy=HOW_TO_CAPTURE[Capability.COLLECTIVE_ARGUMENTS],
        )
    if meetings.members and meetings.apart > meetings.untold:
        yield say(
            "{count} communication {count:kernel keeps its|kernels keep their} recorded duration: not matched across "
            "ranks, as where the trace of a partner is missing.",
            count=f"{meetings.apart - meetings.untold:,}",
        )
    if meetings.untold:
        yield say(
            "Between which ranks {count} communication {count:kernel sends or receives|kernels send or receive} is not "
            "known: {count:it keeps its|they keep their} recorded duration. A current PyTorch records it (Src Rank, "
            "Dst Rank) with dist.isend and dist.irecv, not with dist.batch_isend_irecv.",
            count=f"{meetings.untold:,}",
        )
