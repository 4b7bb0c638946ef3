"""From an analysis to something to read: a module per format with `render(analysis, *, top) -> str`."""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

from traceanalyzer.errors import UsageError
from traceanalyzer.languages import current, speaking
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.rules.analysis import Analysis

REPORTERS: Mapping[str, str] = MappingProxyType(
    {
        "html": "traceanalyzer.reporters.html",
        "json": "traceanalyzer.reporters.json_report",
        "markdown": "traceanalyzer.reporters.markdown",
        "text": "traceanalyzer.reporters.terminal",
    }
)
"""Format → the module that writes it, imported when it is asked for."""


def render(analysis: Analysis, format: str, *, top: int = 50, language: str | None = None) -> str:  # noqa: A002 - the name users know
    """The report as text in one of `REPORTERS`' formats.

    Args:
        analysis: what was found.
        format: html, json, markdown or text.
        top: rows per table (html, markdown, text); the JSON is always complete.
        language: en or zh, of all but the JSON; None for the one that is spoken already, which is English at first.

    Raises:
        UsageError: the format is none of these.
    """
    if format not in REPORTERS:
        raise UsageError(
            say("no report format {name!r}; there are {names}", name=format, names=", ".join(REPORTERS))
        )
    with speaking(language or current()):
        text: str = import_module(REPORTERS[format]).render(analysis, top=top)
    return text
