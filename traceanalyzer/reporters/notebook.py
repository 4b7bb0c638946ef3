"""How results look in a notebook: a few lines of HTML without scripts, styled in place, with SVG bars."""

from __future__ import annotations

from functools import singledispatch
from pathlib import PurePath
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from traceanalyzer.languages import of_locale, speaking
from traceanalyzer.model.trace import Capability, Trace, how_to_capture
from traceanalyzer.reporters import comparison, devices, tables
from traceanalyzer.reporters.facts import ReportFacts
from traceanalyzer.reporters.html import charts, environment
from traceanalyzer.rules.analysis import Analysis
from traceanalyzer.rules.comparison_results import Comparison
from traceanalyzer.rules.findings import Finding
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Mapping

COLOURS: Mapping[str, str] = MappingProxyType(
    {"compute": "#3f80c6", "communication": "#9068be", "copy": "#c9761d", "idle": "#aab2bb"}
)
"""Of the parts; they can be told apart on light and on dark paper."""
_FINDINGS, _ROWS = 5, 8


@singledispatch
def html(shown: object) -> str:
    """The HTML of an analysis, a comparison, a finding or a trace; everything from files is escaped."""
    raise TypeError(f"{type(shown).__name__} has no look of its own")


@html.register
def _(shown: Analysis) -> str:
    facts = ReportFacts.of(shown)
    chosen = devices.shown(facts.devices)
    kernels = (
        tables.sheet(tables.KERNELS, facts.kernels.rows, _ROWS)
        if facts.kernels and facts.kernels.rows
        else None
    )
    return _render(
        "analysis",
        facts=facts,
        bars=[
            (say("rank {rank}, GPU {device}", rank=d.rank, device=d.device), charts.stack(d.whole))
            for d in (one.device for one in chosen)
        ],
        more_devices=len(facts.devices) - len(chosen),
        findings=facts.findings[:_FINDINGS],
        more=max(0, len(facts.findings) - _FINDINGS),
        sheets=[kernels] if kernels else [],
    )


@html.register
def _(shown: Comparison) -> str:
    sheets = comparison.sheets(shown, _ROWS)
    wanted = (comparison.PARTS_LAYOUT, comparison.IDLE_LAYOUT, comparison.LAYOUTS["kernels"])
    return _render(
        "comparison",
        sentence=comparison.headline(shown),
        notes=shown.notes,
        sheets=[s for s in sheets if s.layout in wanted],
    )


@html.register
def _(shown: Finding) -> str:
    return _render("finding", finding=shown)


@html.register
def _(shown: Trace) -> str:
    missing = [c for c in Capability if c not in shown.capabilities]
    needs = how_to_capture(shown.sources)
    return _render(
        "trace",
        sources=[(PurePath(s.path).name, s) for s in shown.sources],
        rows=[(name, table.num_rows) for name, table in shown.tables.items() if table.num_rows],
        can=[c.value for c in Capability if c in shown.capabilities],
        missing=[(c.value, needs[c]) for c in missing],
        simulated=shown.simulated,
    )


def _render(kind: str, **values: Any) -> str:
    template = environment.get().get_template("notebook.html.j2")
    with speaking(of_locale()):
        return template.render(
            kind=kind,
            colours=COLOURS,
            text_of=tables.text,
            caption=tables.caption,
            value_of=tables.value,
            **values,
        )
