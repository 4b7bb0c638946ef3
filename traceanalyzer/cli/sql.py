"""The tables of a trace in DuckDB: Arrow memory as it is, no copies, and no way out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

from traceanalyzer.cli.table import Output, print_csv, print_json, print_text, remark_on_rest
from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.model.schema import BY_NAME
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceanalyzer.model.table import Table
    from traceanalyzer.model.trace import Trace

# A statement may come from a colleague or a web page: it sees the registered tables and nothing else.
_SEALED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": False,
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "python_enable_replacements": False,
}
_SHARED = ("id", "name", "rank", "ts", "dur", "pid", "tid", "device", "stream")
_ECHOES = ("collectives", "flows")  # arguments of, and arrows between, rows that other tables hold
_BATCH = 4096
_NUMERIC = ("INT", "FLOAT", "DOUBLE", "DECIMAL")  # parts of the names of DuckDB's number types


def connect(trace: Trace) -> duckdb.DuckDBPyConnection:
    """A connection that sees the trace's tables and the view `events`."""
    connection = duckdb.connect(":memory:", config=_SEALED)
    for name, table in trace.tables.items():
        connection.register(name, table)
    connection.execute(f"CREATE VIEW events AS {_events()}")
    connection.execute("SET lock_configuration = true")
    return connection


def _events() -> str:
    timed = [t for t in BY_NAME.values() if t.name not in _ECHOES and "ts" in {c.name for c in t.columns}]
    return " UNION ALL ".join(_shared_columns(table) for table in timed)


def _shared_columns(table: Table) -> str:
    own = {column.name for column in table.columns}
    columns = (name if name in own else f"NULL::BIGINT AS {name}" for name in _SHARED)
    return f"SELECT '{table.name}' AS table_name, {', '.join(columns)} FROM {table.name}"


def show(connection: duckdb.DuckDBPyConnection, statements: str, output: Output) -> None:
    """Run one statement, or several with semicolons between them, and print the result of each.

    Raises:
        TraceAnalyzerError: in DuckDB's words when one cannot run.
    """
    try:
        for statement in connection.extract_statements(statements):
            _show(connection.execute(statement), output)
    except duckdb.Error as error:
        raise TraceAnalyzerError(f"SQL: {str(error).split(chr(10) + chr(10) + 'LINE')[0]}") from None


def _show(result: duckdb.DuckDBPyConnection, output: Output) -> None:
    columns = [(str(name), str(type_)) for name, type_, *_ in result.description or ()]
    if output.form == "text":
        _show_text(result, columns, output.top)
        return
    names = [name for name, _ in columns]
    rows = _first(_rows(result), output.top)
    if output.form == "csv":
        print_csv(names, rows)
    else:
        print_json({"columns": names, "rows": [dict(zip(names, row, strict=True)) for row in rows]})


def _rows(result: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while batch := result.fetchmany(_BATCH):
        yield from batch


def _first(rows: Iterator[tuple[Any, ...]], count: int | None) -> Iterator[tuple[Any, ...]]:
    return rows if count is None else (row for _, row in zip(range(count), rows, strict=False))


def _show_text(result: duckdb.DuckDBPyConnection, columns: list[tuple[str, str]], top: int | None) -> None:
    from traceanalyzer.reporters import names

    rows = _rows(result)
    cells = [["NULL" if v is None else names.visible(str(v)) for v in row] for row in _first(rows, top)]
    if columns:
        numeric = [
            any(part in type_.upper() for part in _NUMERIC) and "[" not in type_ for _, type_ in columns
        ]
        print_text([names.visible(name) for name, _ in columns], numeric, cells)
    remark_on_rest(sum(1 for _ in rows))


def tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Print the tables, how many rows each has and what a row is."""
    cells = []
    for name in (*BY_NAME, "events"):
        counted = connection.execute(f"SELECT count(*) FROM {name}").fetchone()
        meaning = BY_NAME[name].rows if name in BY_NAME else "the shared columns of all that happened"
        cells.append([name, f"{counted[0]:,}" if counted else "", meaning])
    print_text(["table", "rows", "a row is"], [False, True, False], cells)


def schema(name: str | None) -> None:
    """Print the columns of one table, or of all, with type, unit and meaning.

    Raises:
        TraceAnalyzerError: when there is no such table.
    """
    if name is not None and name not in BY_NAME:
        raise TraceAnalyzerError(
            say("no table {name!r}. Tables: {names}.", name=name, names=", ".join(BY_NAME))
        )
    chosen = [BY_NAME[name]] if name else list(BY_NAME.values())
    cells = [[t.name, c.name, c.type, c.unit, c.meaning] for t in chosen for c in t.columns]
    print_text(["table", "column", "type", "unit", "meaning"], [False] * 5, cells)
