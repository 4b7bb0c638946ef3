"""The prompt of `trace-analyze query`: statements end with a semicolon, commands begin with a dot."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli import sql
from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.languages import spoken
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import duckdb

    from traceanalyzer.cli.table import Output

HELP = (
    (".tables", say("the tables and how many rows each has")),
    (".schema [TABLE]", say("columns with type, unit and meaning")),
    (".quit", say("leave (so does Ctrl-D)")),
    ("SELECT …;", say("SQL, over as many lines as needed")),
)


def converse(connection: duckdb.DuckDBPyConnection, output: Output) -> None:
    """Answer until the end of input or `.quit`; an error is shown and the prompt comes back."""
    with suppress(ImportError):  # line editing, where there is any; no history is read or written
        import readline  # noqa: F401
    click.echo(spoken(say("SQL over the trace. .tables lists what there is, .help the commands.")), err=True)
    for statement in statements(_typed()):
        try:
            if not answer(connection, statement, output):
                return
        except TraceAnalyzerError as error:
            click.echo(spoken(error.message), err=True)


def answer(connection: duckdb.DuckDBPyConnection, statement: str, output: Output) -> bool:
    """Answer SQL or carry out a dot command; False when it was the last one."""
    if statement.startswith("."):
        return _obey(statement, connection)
    sql.show(connection, statement, output)
    return True


def statements(lines: Iterable[str | None]) -> Iterator[str]:
    """Statements out of lines: up to a line that ends with a semicolon, or to the end; None starts afresh."""
    pending: list[str] = []
    for line in lines:
        if line is None:
            pending = []
            continue
        text = line.strip()
        if not text:
            continue
        if text.startswith(".") and not pending:
            yield text
            continue
        pending.append(text)
        if text.endswith(";"):
            yield "\n".join(pending)
            pending = []
    if pending:
        yield "\n".join(pending)


def _typed() -> Iterator[str | None]:
    """Lines from the terminal. Ctrl-C gives up the statement, Ctrl-D ends."""
    while True:
        try:
            yield input("sql> ")
        except KeyboardInterrupt:
            click.echo(err=True)
            yield None
        except EOFError:
            click.echo(err=True)
            return


def _obey(line: str, connection: duckdb.DuckDBPyConnection) -> bool:
    """Carry out a dot command; False when it was the last one."""
    name, *arguments = line.rstrip(";").split()
    match name:
        case ".quit" | ".exit":
            return False
        case ".tables":
            sql.tables(connection)
        case ".schema":
            sql.schema(arguments[0] if arguments else None)
        case _:
            click.echo("\n".join(f"{name:<17}{spoken(what)}" for name, what in HELP))
    return True
