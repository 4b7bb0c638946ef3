"""The style and scripts of the page, in the order in which they are loaded."""

from __future__ import annotations

from importlib.resources import files

STYLE = "report.css"
SCRIPTS = ("tables.js", "timeline.js", "icicle.js", "figures.js", "page.js")
TABLE_SCRIPTS = ("tables.js", "page.js")  # of a page that holds tables alone


def text(name: str) -> str:
    """The text of `STYLE` or one of `SCRIPTS`."""
    return files(__name__).joinpath(name).read_text("utf-8")
