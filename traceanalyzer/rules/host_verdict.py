"""The verdict on a trace without device work: what the host spends its time on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.trace import Capability, how_to_capture
from traceanalyzer.rules.findings import Verdict
from traceanalyzer.rules.wording import percent
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from traceanalyzer.analyzers.stalls import Stalls
    from traceanalyzer.rules.base import Facts

_STALLED = {
    "dataloader": say(" On the host, the next batch is waited for during {share} of the {span}."),
    "gc": say(" On the host, Python collects garbage during {share} of the {span}."),
    "compile": say(" On the host, code is compiled or loaded during {share} of the {span}."),
}


def host_verdict(facts: Facts) -> Verdict:
    """That no device work was recorded, what the host did most, and how to see a device."""
    ops, ranges = facts.results.get("ops"), facts.results.get("ranges")
    if not (
        facts.capabilities or (ops and ops.by_name) or (ranges and (ranges.annotations or ranges.frames))
    ):
        return Verdict("unknown", say("The trace shows nothing that can be analysed"), "low")
    host = _host(facts)
    if any(note.kind == "partial" for source in facts.sources for note in source.notes):
        says = say("What could be read of the trace holds no GPU work.{host}", host=host)
        return Verdict("unknown", says, "low")
    recorded = Capability.DEVICE_WORK in facts.capabilities
    remedy = (
        ""
        if recorded
        else say(" To see a GPU, {remedy}.", remedy=how_to_capture(facts.sources)[Capability.DEVICE_WORK])
    )
    says = say("The trace holds no GPU work.{host}{remedy}", host=host, remedy=remedy)
    return Verdict("unknown", says, "low")


def _host(facts: Facts) -> Text | str:
    """A stall that takes more than any operator does, else the operator that takes most."""
    ops = facts.results.get("ops")
    top = max(ops.by_name, key=lambda row: row.self_ns, default=None) if ops is not None else None
    wall_ns = sum(step.duration_ns for step in facts.steps.steps)
    span = say("trace") if facts.steps.kind == "window" else say("step")
    stalls: Stalls = facts.results["stalls"]
    kind = max(_STALLED, key=stalls.share)
    if stalls.share(kind) > max(top.self_ns / wall_ns if top and wall_ns else 0.0, thresholds.IDLE_SHARE):
        return _STALLED[kind].filled(share=percent(stalls.share(kind)), span=span)
    if top is None:
        return ""
    share = say(", {share} of the {span}", share=percent(top.self_ns / wall_ns), span=span) if wall_ns else ""
    return say(" Of all operators {name} takes most of the host's time{share}.", name=top.name, share=share)
