"""What `trace-analyze diff` says of two traces, and its gate."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analyze_trace, check_place
from traceanalyzer.cli.table import print_layout, printable, remark_on_rest
from traceanalyzer.languages import spoken
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.model.trace import Trace
    from traceanalyzer.rules.comparison_results import Comparison

_FORMS = {".html": "html", ".htm": "html", ".json": "json", ".md": "markdown", ".csv": "csv", ".xml": "junit"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the comparison goes (None: stdout), in which form, with how many rows a table."""

    output: str | None
    form: str
    top: int


def form_of(output: str | None) -> str:
    """What a file's name asks for; text on stdout."""
    if output in (None, "-"):
        return "text"
    return _FORMS.get(Path(output or "").suffix.lower(), "text")


def check(place: Place, inputs: Sequence[str], *, force: bool) -> None:
    """Refuse before the work, not after it."""
    if place.output is not None:
        check_place(place.output, inputs, force)


def show(before: Trace, after: Trace, wanted: Wanted, place: Place, limit: float | None) -> int:
    """Print or write the comparison; 1 when the step is slower than the limit allows."""
    from traceanalyzer.rules.comparison import compare

    found = compare(*(analyze_trace(trace, wanted) for trace in (before, after)))
    if place.form == "text" and place.output in (None, "-"):
        _print(found, place.top)
    else:
        _write(found, place, limit)
    return _gate(found, limit)


def _write(found: Comparison, place: Place, limit: float | None) -> None:
    from traceanalyzer.reporters import comparison
    from traceanalyzer.whole_file import write_whole

    whole = comparison.render(found, place.form, top=place.top, limit=limit)
    if place.output in (None, "-"):
        sys.stdout.write(whole)
        return
    write_whole(Path(str(place.output)), whole.encode())
    click.echo(printable(say("Wrote {name}", name=place.output)), err=True)


def _print(found: Comparison, top: int) -> None:
    from traceanalyzer.reporters import comparison

    for line, sheet in comparison.text_lines(found, top):
        if sheet is None:
            click.echo(spoken(line))
            continue
        click.echo()
        click.secho(spoken(line), bold=True, underline=True)
        print_layout(sheet.columns, sheet.rows)
        remark_on_rest(sheet.total - len(sheet.rows))


def _gate(found: Comparison, limit: float | None) -> int:
    from traceanalyzer.reporters.comparison import gate

    if limit is None:
        return 0
    passed, why = gate(found, limit)
    click.echo(spoken(why), err=True)
    return 0 if passed else 1
