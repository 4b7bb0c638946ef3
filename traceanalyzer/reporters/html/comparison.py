"""Two runs compared as a section of the report, and as a page of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from traceanalyzer.analyzers.results import Partition
from traceanalyzer.reporters import assets, comparison, tables
from traceanalyzer.reporters.facts import ReportFacts
from traceanalyzer.reporters.html import charts, environment, policy
from traceanalyzer.text import Text, say
from traceanalyzer.version import __version__

if TYPE_CHECKING:
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.comparison_results import Comparison

BARS = {"diff-copies": "copy", "diff-collectives": "communication", "diff-idle": "idle", "diff-host-ops": "host",
        "diff-api-calls": "host"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs; `width` is its step as per cent of the longer one."""

    label: Text
    title: str  # of the file, or what tells it from another one of that name
    facts: ReportFacts
    steps: int
    step_ns: int | None
    segments: tuple[charts.Segment, ...]
    width: float


@dataclass(frozen=True, slots=True)
class View:
    """What the template shows: the sentence, the two bars, the first tables open and the rest of them."""

    headline: Text
    sides: tuple[Side, Side]
    notes: tuple[Text, ...]
    parts: tables.Sheet | None
    sheets: tuple[tables.Sheet, ...]
    categories: dict[str, str]


def view(found: Comparison, top: int, titles: tuple[str, str] | None = None) -> View:
    """The comparison for the template; `titles` are of BEFORE and AFTER, where file names do not tell them apart."""
    before, after = titles or (ReportFacts.of(found.before).title, ReportFacts.of(found.after).title)
    sheets = {sheet.layout.id: sheet for sheet in comparison.sheets(found, top)}
    return View(
        comparison.headline(found),
        (
            _side(say("Before"), before, found.before, found, "before_ns"),
            _side(say("After"), after, found.after, found, "after_ns"),
        ),
        found.notes,
        sheets.pop(comparison.PARTS_LAYOUT.id, None),
        tuple(sheets.values()),
        BARS,
    )


def _side(label: Text, title: str, analysis: Analysis, found: Comparison, when: str) -> Side:
    ns = [getattr(part, when) or 0 for part in found.parts]
    step = getattr(found.step, when) if found.step else None
    longest = max(found.step.before_ns or 0, found.step.after_ns or 0) if found.step else 0
    return Side(
        label,
        title,
        ReportFacts.of(analysis),
        len(analysis["steps"].steps),
        step,
        charts.stack(Partition(sum(ns), *ns)) if ns else (),
        round(step * 100 / longest, 2) if step and longest else 0.0,
    )


def page(found: Comparison, *, top: int = 50) -> str:
    """One self-contained file."""
    style, script = assets.text(assets.STYLE), "\n".join(map(assets.text, assets.TABLE_SCRIPTS))
    return _render(found, top, None, style=Markup(style), script=Markup(script), served=False,
                   policy=policy.inline(style, [script.encode()], with_plotly=False))  # fmt: skip


def serve(found: Comparison, *, titles: tuple[str, str] | None = None, top: int = 50) -> str:
    """The same page for a host whose policy forbids inline scripts."""
    return _render(
        found, top, titles, scripts=assets.TABLE_SCRIPTS, served=True, policy=policy.served(with_plotly=False)
    )


def _render(found: Comparison, top: int, titles: tuple[str, str] | None, **delivery: object) -> str:
    template = environment.get().get_template("diff_page.html.j2")
    return template.render(diff=view(found, top, titles), version=__version__, **delivery)
