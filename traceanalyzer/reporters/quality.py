"""What a reader must know before trusting the figures: what could not be read, and what was not recorded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceanalyzer.model.trace import Capability, how_to_capture
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from traceanalyzer.reporters.facts import ReportFacts

MISSING: Mapping[Capability, tuple[Text, Text]] = {
    Capability.DEVICE_WORK: (say("work on an accelerator"), say("only the host can be looked at")),
    Capability.LAUNCHES: (say("launches"), say("idle time cannot be explained")),
    Capability.STEPS: (say("steps"), say("the whole trace counts as one, its edges included")),
    Capability.SHAPES: (say("input shapes"), say("ops cannot be told apart by shape")),
    Capability.STACKS: (say("Python stacks"), say("causes cannot be traced to a line")),
    Capability.MODULES: (say("the module tree"), say("time cannot be told apart by module")),
    Capability.MEMORY: (say("memory events"), say("nothing is known of the peak")),
    Capability.SYNC_EVENTS: (say("synchronisation events"), say("waits between streams do not show")),
    Capability.COLLECTIVE_ARGUMENTS: (
        say("process groups and arguments of collectives"),
        say("which ranks take part in which, and what they send how fast, is unknown"),
    ),
    Capability.DEVICE_PROPERTIES: (say("the accelerator's properties"), say("it cannot be rated")),
}
"""In a word or two, and what cannot be told without."""


@dataclass(frozen=True, slots=True)
class Quality:
    """Something that limits what the trace can tell, and what to do about it."""

    level: str  # partial | repaired | missing | info
    message: str
    remedy: str
    what: str = ""  # that is missing, in a word or two
    so: str = ""  # what it keeps from being told


def quality_of(facts: ReportFacts) -> tuple[Quality, ...]:
    """All of it, the worst first."""
    trace = facts.analysis.trace
    notes = (
        Quality(note.kind, note.message, note.remedy) for source in trace.sources for note in source.notes
    )
    warnings = (Quality("partial", text, "") for text in facts.analysis.warnings)
    unique = dict.fromkeys(
        [*notes, *warnings, *_lacks(facts), *facts.of_groups, *facts.of_ranks, *facts.of_threads]
    )
    order = {"partial": 0, "repaired": 1, "missing": 2}
    return tuple(sorted(unique, key=lambda q: order.get(q.level, 3)))


def lacks_of_groups(facts: ReportFacts) -> tuple[Quality, ...]:
    """What is not known of communication kernels because their process groups were not recorded."""
    rows = facts.collectives.of_nccl if facts.collectives else ()
    unknown = [r for r in rows if r.group is None]
    if not unknown:
        return ()
    lack = _lack(facts, Capability.COLLECTIVE_ARGUMENTS)
    if len(unknown) == len(rows):
        return (lack,)
    message = say(
        "Of {count} of {kernels} communication {kernels:kernel|kernels} no process group was recorded; which ranks "
        "take part in them is unknown",
        count=f"{sum(r.count for r in unknown):,}",
        kernels=f"{sum(r.count for r in rows):,}",
    )
    all_send = all("sendrecv" in r.name.lower() for r in unknown)
    batched = say("PyTorch records it with dist.isend and dist.irecv, not with dist.batch_isend_irecv")
    return (Quality("info", message, batched if all_send else lack.remedy),)


def _lacks(facts: ReportFacts) -> Iterator[Quality]:
    """What was not recorded and would be missed."""
    if facts.measured_only:
        what, so = say("the program around the kernels"), say("when they run is not known")
        yield Quality("missing", _not_recorded(what, so), say("give its trace as well"), what, so)
        return
    for capability in MISSING:
        if capability not in facts.analysis.trace.capabilities and _matters(facts, capability):
            yield _lack(facts, capability)


def _lack(facts: ReportFacts, capability: Capability) -> Quality:
    what, so = MISSING[capability]
    remedy = how_to_capture(facts.analysis.trace.sources)[capability]
    return Quality("missing", _not_recorded(what, so), remedy, what, so)


def _not_recorded(what: Text, so: Text) -> Text:
    return say("Not recorded: {what}; {so}", what=what, so=so)


def _matters(facts: ReportFacts, capability: Capability) -> bool:
    """Without device work, or without communication, some gaps are no gap; nobody expects kernels of a snapshot."""
    if facts.memory_only:
        return False
    if capability in (Capability.LAUNCHES, Capability.SYNC_EVENTS, Capability.DEVICE_PROPERTIES):
        return Capability.DEVICE_WORK in facts.analysis.trace.capabilities
    if capability is Capability.COLLECTIVE_ARGUMENTS:
        return bool(facts.collectives and facts.collectives.rows)
    return True
