"""The verdict on a run of which only memory was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.model.sizes import size
from traceanalyzer.rules.findings import Verdict
from traceanalyzer.rules.memory_growth import cache_grows, leaves
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.text import say

if TYPE_CHECKING:
    from traceanalyzer.rules.base import Facts


def memory_verdict(facts: Facts) -> Verdict | None:
    """The verdict when memory is all that was recorded; None when it is not."""
    if facts.ooms:
        first = facts.ooms[0]
        return Verdict(
            "unknown",
            say("{headline}.", headline=first.headline),
            first.causes[0].confidence if first.causes else "low",
        )
    if not facts.memory_only:
        return None
    devices = facts.snapshot.devices
    if not devices:
        return Verdict("unknown", say("No out-of-memory error was found in the text."), "low")
    worst = max(devices, key=lambda d: d.peak.active_bytes)
    if not worst.peak_reserved_bytes:
        return Verdict(
            "unknown", say("How much memory was in use is not known: no segment is listed."), "low"
        )
    top = next(iter(worst.peak.by_category.items()), None)
    held: str = ""
    if top is not None and 2 * worst.peak.unseen_bytes > worst.peak.active_bytes:
        held = say(", {size} of it allocated before the window", size=size(worst.peak.unseen_bytes))
    elif top is not None:
        held = say(", {size} of it {use}", size=size(top[1]), use=word(top[0]))
    of_cache = bool(worst.growth) and worst.growth[0].category == "kv_cache"
    grows = cache_grows(worst) if of_cache else leaves(worst)
    left: str = "" if grows is None else say("; {what}", what=grows[0])
    headline = say(
        "Memory peaks at {active} of {reserved} reserved{held}{left}",
        active=size(worst.peak.active_bytes),
        reserved=size(worst.peak_reserved_bytes),
        held=held,
        left=left,
    )
    return Verdict("unknown", headline, "medium")
