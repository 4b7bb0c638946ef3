"""`--help` in the language that was asked for: click lays out English, this what takes two columns a character."""

from __future__ import annotations

import re
from inspect import cleandoc
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.table import width_of
from traceanalyzer.languages import HELP, current, room
from traceanalyzer.text import Text, say, translated

if TYPE_CHECKING:
    from collections.abc import Iterable

_VERBATIM = "\b\n"  # how a paragraph begins that click leaves as it is
_WIDE = "\u2e80-\u9fff\uff00-\uffef"
_OPENING, _CLOSING = (
    "\uff08\u300c\u201c\u300a",
    "\uff0c\u3002\uff1b\uff1a\u3001\uff01\uff1f\uff09\u300d\u201d\u300b,.;:)",
)
_UNIT = re.compile(  # what no line end may split: a wide character or a word, with its punctuation
    rf"\s+|[{_OPENING}]*(?:[{_WIDE}]|[^\s{_WIDE}{_OPENING}]+)[{_CLOSING}]*|[{_OPENING}]+"
)
_EXTRA = re.compile(r"^(?P<help>.*?)(?:  \[(?P<extra>[^\[\]]*)\])?$", re.DOTALL)
_DEFAULT = "default: "


def told(text: str) -> str:
    """A sentence of the help in the language spoken now; only that room of the catalogue is opened."""
    known = room(current(), HELP)
    return str(translated(text, known)) if isinstance(text, Text) else known.get(flat(text), text)


def flat(text: str) -> str:
    """A paragraph without its line ends: the key of the catalogue."""
    return " ".join(text.split())


def paragraphs(text: str) -> list[str]:
    """Those of a help text that are sentences."""
    return [flat(part) for part in cleandoc(text).split("\n\n") if not part.startswith(_VERBATIM)]


def wrapped(text: str, width: int) -> list[str]:
    """Lines of at most so many columns of a terminal, broken between words or wide characters."""
    lines = [""]
    for unit in _UNIT.findall(flat(text)):
        if lines[-1] and width_of((lines[-1] + unit).rstrip()) > width:
            lines.append("")
        lines[-1] = (lines[-1] + unit) if lines[-1] else unit.lstrip()
    return [line.rstrip() for line in lines]


class SpokenFormatter(click.HelpFormatter):
    """click's own in English."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """`Usage: PROG ARGS`."""
        if current() != "en":
            prefix = told(say("Usage:"))
        super().write_usage(prog, args, prefix)

    def write_heading(self, heading: str) -> None:
        """`Options:`."""
        self.write(" " * self.current_indent + told(f"{heading}:") + "\n")

    def write_text(self, text: str) -> None:
        """Paragraphs, each translated and wrapped."""
        if current() == "en":
            super().write_text(text)
            return
        width = max(self.width - self.current_indent, 11)
        blocks = [
            part.removeprefix(_VERBATIM).splitlines()
            if part.startswith(_VERBATIM)
            else wrapped(told(part), width)
            for part in cleandoc(text).split("\n\n")
        ]
        self.write("\n\n".join("\n".join(" " * self.current_indent + line for line in b) for b in blocks))
        self.write("\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Terms and what they mean, such as options."""
        rows = [*rows]
        if current() == "en" or not rows:
            super().write_dl(rows, col_max, col_spacing)
            return
        column = min(max(len(term) for term, _ in rows), col_max) + col_spacing
        for term, text in rows:
            lines = wrapped(_with_extra(text), max(self.width - column - 2, 10))
            if len(term) > column - col_spacing:
                lines.insert(0, "")
            for line, first in zip(lines, (term, *[""] * len(lines)), strict=False):
                self.write(f"{'':>{self.current_indent}}{first:<{column}}{line}".rstrip() + "\n")


def _with_extra(text: str) -> str:
    """What click writes of an option: its help, and in brackets its default and its range."""
    found = _EXTRA.match(text)
    assert found is not None, "every part of it may be missing"
    said, extra = told(found["help"]), found["extra"]
    if not extra:
        return said
    parts = [
        told(say("default: {value}", value=part.removeprefix(_DEFAULT)))
        if part.startswith(_DEFAULT)
        else part
        for part in extra.split("; ")
    ]
    return f"{said}  [{'; '.join(map(told, parts))}]"


class SpokenContext(click.Context):
    """Formats help with `SpokenFormatter`."""

    formatter_class = SpokenFormatter
