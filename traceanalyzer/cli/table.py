"""Printing tables: aligned text for people, CSV and JSON for programs.

Text shows the brief columns with readable units; CSV and JSON hold every field of the rows as it was measured
(ns, bytes, null for unknown) under the names of the JSON report.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import wraps
from itertools import chain
from typing import TYPE_CHECKING, Any
from unicodedata import east_asian_width

import click

from traceanalyzer.languages import spoken
from traceanalyzer.text import say

if TYPE_CHECKING:
    from traceanalyzer.reporters.tables import Column, Layout

SCHEMA_VERSION = 1
_LINE_OF_CODE = re.compile(r"/[^/]+:\d+\b")
_NARROWEST = 16  # a text column is not cut below this, whatever the terminal's width


@dataclass(frozen=True, slots=True)
class Output:
    """How a table is wanted; `top` limits the rows of all three forms, None shows all."""

    form: str  # text | csv | json
    top: int | None


def prints_table(default_top: int | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command --json, --csv and --top; it gets `output`. CSV and JSON are whole without --top."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def with_output(*, as_json: bool, as_csv: bool, top: int | None, **rest: Any) -> Any:
            if as_json and as_csv:
                raise click.UsageError(say("--json and --csv exclude each other."))
            form = "json" if as_json else "csv" if as_csv else "text"
            return command(output=Output(form, top or (default_top if form == "text" else None)), **rest)

        shown = f"Default: {default_top} as text, all as CSV and JSON." if default_top else "Default: all."
        top = click.option("--top", type=click.IntRange(min=1), help=f"Show so many rows. {shown}")
        as_csv = click.option(
            "--csv", "as_csv", is_flag=True, help="Print CSV: ns, bytes, empty for unknown."
        )
        as_json = click.option(
            "--json", "as_json", is_flag=True, help="Print JSON: ns, bytes, null for unknown."
        )
        return as_json(as_csv(top(with_output)))

    return decorate


def print_rows(
    key: str,
    layout: Layout,
    rows: Sequence[Any],
    output: Output,
    *,
    if_none: str,
    unknown: frozenset[str] = frozenset(),
) -> None:
    """Print rows of one kind.

    Args:
        key: what they are called in JSON.
        layout: the columns that text shows.
        rows: dataclasses or mappings, all of one kind.
        output: the form and the number of rows.
        if_none: remark on stderr when there are no rows: what was not recorded, and how to.
        unknown: fields that nothing measured; they are shown as unknown, whatever they hold.
    """
    if not rows:
        click.echo(spoken(if_none), err=True)
    shown = [_without(as_mapping(row), unknown) for row in rows[: output.top]]
    match output.form:
        case "json":
            print_json({key: shown})
        case "csv":
            columns = list(shown[0]) if shown else [column.key for column in layout.columns]
            print_csv(columns, (row.values() for row in shown))
        case _ if shown:
            print_layout(layout.columns, shown)
            remark_on_rest(len(rows) - len(shown))


def _without(row: Mapping[str, Any], unknown: frozenset[str]) -> Mapping[str, Any]:
    return {key: None if key in unknown else value for key, value in row.items()} if unknown else row


def print_layout(columns: Iterable[Column], rows: Sequence[Any]) -> None:
    """The brief columns of rows, with readable units."""
    from traceanalyzer.reporters.tables import text, value

    columns = [column for column in columns if column.brief]
    cells = [[text(value(row, column), column.kind) for column in columns] for row in rows]
    print_text([spoken(column.title) for column in columns], [column.numeric for column in columns], cells)


def printable(text: str) -> str:
    """A sentence or a name; names come from files: none of them steers the terminal."""
    return "".join(c if c.isprintable() else "?" for c in spoken(text))


def remark_on_rest(rest: int) -> None:
    """Say on stderr how many rows were left out."""
    if rest > 0:
        click.echo(spoken(say("… {count} more; --top N shows more", count=f"{rest:,}")), err=True)


def print_text(titles: Sequence[str], numeric: Sequence[bool], cells: Sequence[Sequence[str]]) -> None:
    """Aligned columns under a header, numbers to the right; whole, but on a terminal no wider than it is.

    Numbers are never cut: names are, and where that is not enough the last columns are left out, which stderr says.
    """
    widths = [max(map(width_of, column)) for column in zip(titles, *cells, strict=True)]
    shown = len(widths)
    if sys.stdout.isatty():
        available = shutil.get_terminal_size().columns
        shown = _columns_that_fit(widths, numeric, available)
        widths = _fitting(widths[:shown], numeric[:shown], available)
    click.secho(_line(titles[:shown], widths, numeric[:shown]), bold=True)
    for row in cells:
        click.echo(_line(row[:shown], widths, numeric[:shown]))
    if titles[shown:]:
        click.echo(
            spoken(say("No room for {columns}: widen the terminal", columns=", ".join(titles[shown:]))),
            err=True,
        )


def _columns_that_fit(widths: Sequence[int], numeric: Sequence[bool], available: int) -> int:
    """How many of the columns, of which names may be cut, a terminal has room for; two at the least."""
    least = [w if is_number else min(w, _NARROWEST) for w, is_number in zip(widths, numeric, strict=True)]
    shown = len(least)
    while shown > 2 and sum(least[:shown]) + 2 * (shown - 1) > available:
        shown -= 1
    return shown


def width_of(text: str) -> int:
    """Columns of a terminal: Chinese characters take two."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(c) in "WF" else 1 for c in text)


def filled(text: str, width: int) -> str:
    """The text and spaces, so many columns of a terminal in all."""
    return text + " " * (width - width_of(text))


def _fitting(widths: list[int], numeric: Sequence[bool], available: int) -> list[int]:
    """Take what is too wide from the widest text columns."""
    widths = list(widths)
    excess = sum(widths) + 2 * (len(widths) - 1) - available
    texts = [i for i, is_number in enumerate(numeric) if not is_number]
    while excess > 0 and texts:
        widest = max(texts, key=lambda i: widths[i])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _line(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = (
        " " * (width - width_of(cell)) + cell if is_number else filled(_cut(cell, width), width)
        for cell, width, is_number in zip(cells, widths, numeric, strict=True)
    )
    return "  ".join(parts).rstrip()


def _cut(text: str, width: int) -> str:
    """Both ends of a name tell it from others, so the middle goes; of a line of code the folders go."""
    if width_of(text) <= width:
        return text
    if _LINE_OF_CODE.search(text):
        return f"…{_beginning(text[::-1], width - 1)[::-1]}"
    tail = width // 4
    return f"{_beginning(text, width - tail - 1)}…{_beginning(text[::-1], tail)[::-1]}"


def _beginning(text: str, width: int) -> str:
    """As much of the text as so many columns hold."""
    while width_of(text) > width:
        text = text[: max(width, 0)] if len(text) > width else text[:-1]
    return text


def print_csv(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Comma-separated values, unknown as empty, lists and maps as JSON."""
    for row in chain((columns,), rows):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([_csv_cell(cell) for cell in row])
        _write(line.getvalue())


def _csv_cell(cell: Any) -> Any:
    return json.dumps(plain(cell), ensure_ascii=False) if isinstance(cell, list | tuple | dict) else cell


def print_json(content: Mapping[str, Any]) -> None:
    """One object with the schema's version first."""
    whole = plain({"schema_version": SCHEMA_VERSION, **content})
    _write(json.dumps(whole, indent=2, ensure_ascii=False) + "\n")


def _write(text: str) -> None:
    """Data as it is, byte for byte; on a terminal, with what could steer it spelled out."""
    if sys.stdout.isatty():
        from traceanalyzer.reporters.names import visible

        text = "\n".join(map(visible, text.split("\n")))
    sys.stdout.write(text)


def plain(value: Any) -> Any:
    """The value as JSON can hold it: not a number becomes null, what JSON has no form for becomes text."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case None | bool() | int() | float() | str():
            return value
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _:
            return str(value)


def as_mapping(row: Any) -> Mapping[str, Any]:
    """A row's fields by name."""
    return row if isinstance(row, Mapping) else asdict(row)
