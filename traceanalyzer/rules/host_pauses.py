"""The rule about long stretches outside of operators, where no device work was recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.idle import HostPauses
from traceanalyzer.rules.wording import count, duration
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceanalyzer.analyzers.host_pauses import HostPause
    from traceanalyzer.analyzers.host_time import HostTime
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts

SHOWN = 3


class Pauses:
    """The program is in no operator for a millisecond and more.

    Preparing a batch, decoding, copying to lists, logging, writing files, sleeping: Python between two operators takes
    microseconds. Counted are stretches of the steps that last a millisecond and in which the thread that runs them does
    nothing that has a name of its own. Where stacks were recorded, the line is told, else the range around it.
    """

    code: ClassVar[str] = "HOST006"
    title: ClassVar[Text] = say("The program pauses outside of operators")
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when the pauses take enough of the steps."""
        spent: HostTime = facts.results["host_time"]
        share = spent.pause_ns / max(facts.steps.total_ns, 1)
        if share < thresholds.CAUSE_SHARE:
            return
        time = share * facts.steps.median_ns
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "In no operator for a millisecond and more at a time: {share}, {longest} at the longest.",
                share=facts.of_step(share),
                longest=duration(spent.pauses[0].duration_ns),
            ),
            evidence=tuple(_places(spent.pauses)),
            fix=HostPauses.fix,
            confidence=facts.confidence,
            saving_ns=(int(time * thresholds.SAVING_LOW), int(time)),
        )


def _places(pauses: Sequence[HostPause]) -> Iterable[Evidence]:
    """The places at which most time passes, with the longest pause of each."""
    by_place: dict[tuple[str | None, str | None], list[HostPause]] = {}
    for pause in pauses:
        by_place.setdefault((pause.within, pause.python), []).append(pause)
    for (within, python), found in sorted(by_place.items(), key=lambda item: -_together(item[1]))[:SHOWN]:
        parts = [
            say("{pauses}, {time}", pauses=count(len(found), "pause"), time=duration(_together(found))),
            say("in {place}", place=within) if within else None,
            say("at {line}", line=python) if python else None,
        ]
        yield Evidence(
            join(" ", [part for part in parts if part is not None]),
            start_ns=found[0].start_ns,
            duration_ns=found[0].duration_ns,
            rank=found[0].rank,
            python=python,
        )


def _together(pauses: Sequence[HostPause]) -> int:
    return sum(pause.duration_ns for pause in pauses)


RULES = (Pauses(),)
