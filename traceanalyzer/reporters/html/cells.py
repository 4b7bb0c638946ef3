"""Table cells of the page: what is read, what sorts and goes into the CSV, and the exact value on hover."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from traceanalyzer.languages import spoken
from traceanalyzer.reporters import names, tables, units
from traceanalyzer.text import say

if TYPE_CHECKING:
    from traceanalyzer.source_links import SourceLinks

_NS, _BYTES = say("{count} ns"), say("{count} {count:byte|bytes}")
_EXACT = {"duration": _NS, "change": _NS, "bytes": _BYTES, "size_change": _BYTES}


@dataclass(frozen=True, slots=True)
class Cell:
    """`raw` sorts and is copied; `full` is set when `text` is shorter than the whole name."""

    text: str
    raw: str
    exact: str
    full: str | None
    known: bool
    bar: float | None  # per cent of the column's largest value
    href: str | None = None  # of the line of code that it names


@dataclass(frozen=True, slots=True)
class Row:
    """A row's cells; `depth` indents a tree, `category` colours the bars."""

    cells: tuple[tuple[tables.Column, Cell], ...]
    depth: int
    category: str


def _exact(value: float, kind: tables.Kind) -> str:
    """The value as it was measured, for the hover; empty where the cell shows it already."""
    unit = _EXACT.get(kind)
    return spoken(unit.filled(count=f"{value:,}")) if unit else ""


def rows(sheet: tables.Sheet, category: str, links: SourceLinks | None = None) -> list[Row]:
    """The rows of a sheet as cells. `category` colours bars unless a row has its own, `links` link lines of code."""
    columns = sheet.columns
    largest = {c.key: max((tables.value(r, c) or 0 for r in sheet.rows), default=0) for c in columns if c.bar}
    return [
        Row(
            tuple((c, cell(tables.value(r, c), c, largest.get(c.key), links)) for c in columns),
            min(getattr(r, "depth", 0), 12),
            getattr(r, "category", category),
        )
        for r in sheet.rows
    ]


def cell(
    value: Any, column: tables.Column, largest: float | None = None, links: SourceLinks | None = None
) -> Cell:
    """One value as its column's kind prints it."""
    text = tables.text(value, column.kind)
    if value is None:
        return Cell(text, "", spoken(say("not measured")), None, known=False, bar=None)
    if column.kind == "word":  # what is copied is the key, in every language
        return Cell(text, names.full(str(value)), "", None, known=True, bar=None)
    if not column.numeric:
        full = names.full(value if isinstance(value, str) else str(value))
        href = links.href(str(value)) if links and column.named else None
        return Cell(text, full, "", full if full != text else None, known=True, bar=None, href=href)
    exact = _exact(value, column.kind)
    bar = round(value * 100 / largest, 2) if largest else None
    return Cell(text, repr(value), exact, None, known=True, bar=bar)


_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_CODE = re.compile(r"`([^`\n]+)`")
_FIGURE = re.compile(r"\d[\d.,–]* (?:%|ns|µs|ms|s|B|[KMGT]iB)(?![\w])")


def rich(text: str) -> Markup:
    """Prose with `code` and fenced blocks, everything else escaped: the little Markdown that fixes use."""
    out, at = [], 0
    text = names.prose(text)
    for fence in _FENCE.finditer(text):
        out += [_paragraphs(text[at : fence.start()]), _block(fence.group(1).rstrip("\n"))]
        at = fence.end()
    out.append(_paragraphs(text[at:]))
    return Markup("").join(out)


def advice(fix: str) -> Markup:
    """What a fix says before its code, in one line; empty where it is code alone."""
    text = names.prose(fix)
    fence = _FENCE.search(text)
    return inline(" ".join(text[: fence.start() if fence else None].split()))


def inline(text: str) -> Markup:
    """One line of prose with `code`."""
    out, at = [], 0
    for code in _CODE.finditer(text):
        out += [escape(text[at : code.start()]), Markup("<code>{}</code>").format(code.group(1))]
        at = code.end()
    return Markup("").join([*out, escape(text[at:])])


def heading(text: str) -> Markup:
    """A line of prose in which no line ends between a number and its unit."""
    return Markup(_FIGURE.sub(r'<span class="whole">\g<0></span>', str(inline(text))))  # escaped already


def located(text: str, links: SourceLinks | None) -> Markup:
    """One line of prose whose lines of code lead to the reader's sources."""
    if links is None:
        return inline(text)
    pieces = (
        inline(piece) if href is None else link(href, inline(piece)) for piece, href in links.within(text)
    )
    return Markup("").join(pieces)


def link(href: str, text: str) -> Markup:
    """A link out of the page."""
    return Markup('<a class="source" href="{}" target="_blank" rel="noopener noreferrer">{}</a>').format(
        href, text
    )


def _block(code: str) -> Markup:
    return Markup('<div class="code"><pre><code>{}</code></pre></div>').format(code)


def _paragraphs(text: str) -> Markup:
    paragraphs = [p.strip("\n") for p in re.split(r"\n\s*\n", text) if p.strip()]
    return Markup("").join(
        _block(p) if all(line.startswith("    ") for line in p.split("\n")) else _lines(p) for p in paragraphs
    )


def _lines(paragraph: str) -> Markup:
    broken = Markup("<br>").join(inline(line.strip()) for line in paragraph.split("\n"))
    return Markup("<p>{}</p>").format(broken)


def figure(value: float | None, kind: tables.Kind) -> Markup:
    """A number in running text with the exact value on hover."""
    if value is None:
        return Markup('<span class="unknown" title="{}">{}</span>').format(
            spoken(say("not measured")), units.UNKNOWN
        )
    exact = _exact(value, kind)
    return Markup('<span class="figure" title="{}">{}</span>').format(exact, tables.text(value, kind))
