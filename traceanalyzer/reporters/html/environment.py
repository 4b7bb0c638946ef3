"""The templates' environment: everything escaped, unknown names are errors, one filter per kind of value."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from traceanalyzer.reporters import names, timeline, units
from traceanalyzer.reporters.facts import PARTS, cause_text
from traceanalyzer.reporters.html import cells, charts, plotly, proofs

LINE_LIMIT = 400  # characters of a sentence: rules write shorter ones, hostile names longer ones


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
        "located": lambda text, links: cells.located(names.cut(text, LINE_LIMIT), links),
        "cause": cause_text,
        "searched": lambda name: names.cut(name, timeline.NAME_LIMIT),
        "json_text": _json_text,
    }
    environment.globals |= {
        "figure": cells.figure,
        "link": cells.link,
        "cells": cells.rows,
        "anchor_of": proofs.anchor_of,
        "plotly_styles": plotly.style_ids,
        "PARTS": PARTS,
        "CHART": (charts.CHART_WIDTH, charts.CHART_HEIGHT),
    }
    return environment


def _json_text(text: str) -> Markup:
    """JSON as the text of a script element: nothing in it can end the element."""
    return Markup(text.replace("<", "\\u003c"))
