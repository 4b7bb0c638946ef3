"""The verdict on a trace without device work: what the host spends its time on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules.findings import Verdict
from traceanalyzer.rules.wording import percent
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from traceanalyzer.analyzers.host_time import HostTime
    from traceanalyzer.rules.base import Facts

_STALLED = {
    "dataloader": say("; on the host, the next batch is waited for during {share} of the {span}"),
    "gc": say("; on the host, Python collects garbage during {share} of the {span}"),
    "host_communication": say("; on the host, other ranks are waited for during {share} of the {span}"),
    "compile": say("; on the host, code is compiled or loaded during {share} of the {span}"),
}


def host_verdict(facts: Facts) -> Verdict:
    """That no device work was recorded, and what the host did most."""
    ops, ranges = facts.results.get("ops"), facts.results.get("ranges")
    if not (
        facts.capabilities or (ops and ops.by_name) or (ranges and (ranges.annotations or ranges.frames))
    ):
        return Verdict("unknown", say("The trace shows nothing that can be analysed"), "low")
    host = _host(facts)
    if any(note.kind == "partial" for source in facts.sources for note in source.notes):
        says = say("What could be read of the trace holds no GPU work{host}", host=host)
        return Verdict("unknown", says, "low")
    return Verdict("unknown", say("The trace holds no GPU work{host}", host=host), "low")


def _host(facts: Facts) -> Text | str:
    """A stall that takes more than any operator does, else time without any, else the operator that takes most."""
    ops = facts.results.get("ops")
    top = max(ops.by_name, key=lambda row: row.self_ns, default=None) if ops is not None else None
    wall_ns = facts.steps.total_ns
    span = say("trace") if facts.steps.kind == "window" else say("step")
    spent: HostTime = facts.results["host_time"]
    stall = max((spent.of(kind) for kind in _STALLED), key=lambda row: row.total_ns)
    if stall.share > max(top.self_ns / wall_ns if top and wall_ns else 0.0, thresholds.IDLE_SHARE):
        return _STALLED[stall.kind].filled(share=percent(stall.share), span=span)
    outside = spent.of("outside_ops").share
    if outside >= thresholds.DOMINANT_SHARE:
        return say(
            "; the host is in Python, or waits, outside of operators during {share} of the {span}",
            share=percent(outside),
            span=span,
        )
    if top is None:
        return ""
    share = say(", {share} of the {span}", share=percent(top.self_ns / wall_ns), span=span) if wall_ns else ""
    return say("; of all operators {name} takes most of the host's time{share}", name=top.name, share=share)
