"""Where a device idles, as evidence: the longest gaps by place, and the lines at which most of it is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.rules.base import ORDINARY
from traceanalyzer.rules.findings import Evidence
from traceanalyzer.rules.wording import count, duration
from traceanalyzer.text import join, say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceanalyzer.analyzers.results import IdleGap
    from traceanalyzer.rules.base import Facts

TOP_PLACES, TOP_LINES = 5, 3


def places(gaps: list[IdleGap]) -> list[Evidence]:
    """The largest gaps, one line per place: the same line of code appears once, with its sum."""
    by_place: dict[tuple[str | None, str | None, str | None], list[IdleGap]] = {}
    for gap in gaps:
        by_place.setdefault((gap.python, gap.host_call, gap.module), []).append(gap)
    ranked = sorted(by_place.items(), key=lambda item: -sum(g.duration_ns for g in item[1]))
    return [_place(where, found) for where, found in ranked[:TOP_PLACES]]


def _place(where: tuple[str | None, str | None, str | None], gaps: list[IdleGap]) -> Evidence:
    python, host_call, module = where
    parts = [
        say(
            "{gaps}, {time}",
            gaps=count(len(gaps), "gap"),
            time=duration(sum(g.duration_ns for g in gaps)),
        ),
        say("in {place}", place=host_call) if host_call else None,
        say("at {line}", line=python) if python else None,
        say("in {place}", place=module) if module else None,
        say("before {work}", work=_short(gaps[0].next_work)) if gaps[0].next_work else None,
    ]
    text = join(" ", [part for part in parts if part is not None])
    first = gaps[0]
    return Evidence(
        text,
        table="idle_gaps",
        start_ns=first.start_ns,
        duration_ns=first.duration_ns,
        rank=first.rank,
        device=first.device,
        python=python,
    )


def _short(name: str) -> str:
    return name if len(name) <= 80 else name[:79] + "…"


def lines(facts: Facts) -> Iterator[Evidence]:
    """The lines at which most of it is lost, without the long pauses: the longest gaps alone need not be there."""
    time: dict[str, int] = {}
    gaps: dict[str, int] = {}
    for line in facts.breakdown.idle_lines:
        if line.python and line.cause in ORDINARY:
            time[line.python] = time.get(line.python, 0) + line.total_ns
            gaps[line.python] = gaps.get(line.python, 0) + line.gaps
    for pause in facts.pauses():
        if pause.python in time:
            time[pause.python] -= pause.duration_ns
            gaps[pause.python] -= 1
    for python in sorted(time, key=lambda line: (-time[line], line))[:TOP_LINES]:
        if time[python] > 0 and gaps[python] > 0:
            lost = say("{gaps}, {time}", gaps=count(gaps[python], "gap"), time=duration(time[python]))
            text = join(" ", [lost, say("at {line}", line=python)])
            yield Evidence(text, sheet="idle-lines", python=python)
