"""The templates' environment: everything escaped, unknown names are errors, one filter per kind of value."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from traceanalyzer.reporters import names, units
from traceanalyzer.reporters.facts import PARTS, cause_text
from traceanalyzer.reporters.html import cells, charts, plotly

if TYPE_CHECKING:
    from traceanalyzer.rules.findings import Evidence

LINE_LIMIT = 400  # characters of a sentence: rules write shorter ones, hostile names longer ones
SHEET_OF_TABLE = {
    "kernels": "kernels", "ops": "ops", "copies": "copies", "collectives": "collectives",
    "api_calls": "api-calls", "allocations": "holders",
}  # fmt: skip


@cache
def get() -> Environment:
    """The environment, made once."""
    environment = Environment(
        loader=FileSystemLoader(str(files("traceanalyzer.reporters").joinpath("templates"))),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "duration": units.duration,
        "size": units.size,
        "count": units.count,
        "share": units.share,
        "saving": units.saving,
        "name": names.cut,
        "kernel": names.kernel,
        "full": names.full,
        "prose": names.prose,
        "rich": cells.rich,
        "inline": lambda text: cells.inline(names.cut(text, LINE_LIMIT)),
        "cause": cause_text,
        "json_text": _json_text,
    }
    environment.globals |= {
        "figure": cells.figure,
        "cells": cells.rows,
        "evidence_link": _evidence_link,
        "plotly_styles": plotly.style_ids,
        "PARTS": PARTS,
        "CHART": (charts.CHART_WIDTH, charts.CHART_HEIGHT),
    }
    return environment


def _json_text(text: str) -> Markup:
    """JSON as the text of a script element: nothing in it can end the element."""
    return Markup(text.replace("<", "\\u003c"))


def _evidence_link(evidence: Evidence) -> str | None:
    """The anchor of the table that holds the row."""
    return SHEET_OF_TABLE.get(evidence.table or "")
