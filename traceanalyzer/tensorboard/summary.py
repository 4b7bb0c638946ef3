"""One analysis as a row beside others, in the words of the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceanalyzer.languages import spoken
from traceanalyzer.reporters import names, units
from traceanalyzer.reporters.facts import ReportFacts
from traceanalyzer.reporters.html import charts

if TYPE_CHECKING:
    from traceanalyzer.rules.analysis import Analysis


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the wall time of all devices."""

    key: str
    label: str
    percent: str
    width: float  # per cent


@dataclass(frozen=True, slots=True)
class Summary:
    """What the overview shows of a trace; texts as printed."""

    verdict: str
    simulated: bool
    has_steps: bool
    step: str
    busy: str
    device: str
    parts: tuple[Part, ...]
    finding: str  # empty when no rule found anything
    not_assessed: int  # rules that could not look
    saving: str


def summarize(analysis: Analysis) -> Summary:
    """The row of an analysis."""
    facts = ReportFacts.of(analysis)
    first = next((f for f in facts.findings if f.severity != "info"), None)
    return Summary(
        verdict=names.cut(analysis.verdict.headline, 300),
        simulated=facts.simulated,
        has_steps=facts.has_steps,
        step=units.duration(facts.step_ns),
        busy=units.share(facts.busy_share),
        device=names.cut(facts.device_text, 80),
        parts=_parts(facts),
        finding=names.cut(first.title, 200) if first else "",
        not_assessed=len(analysis.not_assessed),
        saving=spoken(units.saving(first.saving_ns)) if first and first.saving_ns else "",
    )


def _parts(facts: ReportFacts) -> tuple[Part, ...]:
    """The parts of the device with the longest wall time: ranks of one job look alike."""
    if not facts.devices:
        return ()
    longest = max(facts.devices, key=lambda d: d.whole.wall_ns)
    return tuple(
        Part(s.key, spoken(s.label), s.percent, s.width) for s in charts.stack(longest.whole) if s.ns
    )
