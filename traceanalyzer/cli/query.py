"""`trace-analyze query`: SQL over everything that was recorded."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import load_rows, reads_inputs
from traceanalyzer.cli.language import speaks
from traceanalyzer.cli.table import Output, prints_table
from traceanalyzer.errors import UsageError
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.ingest.options import LoadOptions

_STATEMENT = re.compile(
    r"[\s(]*(select|with|from|describe|desc|show|summarize|explain|values|table|pivot|unpivot)\s",
    re.IGNORECASE,
)


@click.command(short_help="SQL over everything that was recorded.")
@prints_table(default_top=50)
@speaks
@reads_inputs
def command(inputs: Sequence[str], options: LoadOptions, output: Output) -> None:
    """Run SQL (DuckDB's) over the tables of a trace: INPUT... "SELECT ...".

    Every table of the model is there, and a view `events` of what they share. Without a statement there is a
    prompt; statements can also be piped in. SQL sees the trace only: it can neither read nor write files.

    \b
      trace-analyze query run.json \\
        "SELECT name, sum(dur) ns FROM kernels GROUP BY name ORDER BY ns DESC"
    """  # noqa: D301 - click's mark is the character
    from traceanalyzer.cli import prompt, sql

    files, statement = _split(inputs)
    if statement is None and "-" in files:
        raise click.UsageError(say("With the trace on stdin, give the statement as the last argument."))
    with sql.connect(load_rows(files, options)) as connection:
        if statement is not None:
            sql.show(connection, statement, output)
        elif sys.stdin.isatty():
            prompt.converse(connection, output)
        else:
            for piped in prompt.statements(sys.stdin):
                if not prompt.answer(connection, piped, output):
                    break


def _split(arguments: Sequence[str]) -> tuple[Sequence[str], str | None]:
    """The files, and the statement when the last argument is one."""
    *files, last = arguments
    if not _STATEMENT.match(last) or Path(last).exists():
        return arguments, None
    if not files:
        raise UsageError(say('no input. Say: trace-analyze query INPUT... "SELECT ..."'))
    return files, last
