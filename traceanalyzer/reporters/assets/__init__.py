"""The style and scripts of the page, in the order in which they are loaded."""

from __future__ import annotations

from importlib.resources import files

STYLE = "report.css"
SCRIPTS = (
    "words.js", "units.js", "packed.js", "tables.js", "timeline_data.js", "timeline_tiles.js", "timeline_paint.js",
    "timeline_sums.js", "timeline_range.js", "timeline_marks.js", "timeline_memory.js", "timeline.js", "icicle.js",
    "figures.js", "page.js",
)  # fmt: skip
TABLE_SCRIPTS = ("words.js", "units.js", "tables.js", "page.js")  # of a page that holds tables alone


def text(name: str) -> str:
    """The text of `STYLE` or one of `SCRIPTS`."""
    return files(__name__).joinpath(name).read_text("utf-8")
