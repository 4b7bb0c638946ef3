"""`trace-analyze export`: the tables for other tools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import load_rows, reads_inputs
from traceanalyzer.cli.language import speaks
from traceanalyzer.cli.table import printable
from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.model.trace import Trace


@click.command(short_help="Write the tables for other tools.")
@click.option("-o", "--output", metavar="DIR", required=True, help="Folder for the files; made when missing.")
@click.option(
    "--to",
    "form",
    type=click.Choice(["parquet", "csv", "nsys-stats", "perfetto"]),
    default="parquet",
    show_default=True,
    help="parquet, csv: every table, with the links. nsys-stats: the tables of nsys stats. "
    "perfetto: trace.json for ui.perfetto.dev.",
)
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@speaks
@reads_inputs
def command(inputs: Sequence[str], options: LoadOptions, output: str, form: str, force: bool) -> None:
    """Write the trace into DIR, from any format that can be read."""
    files = _FORMS[form]
    folder = Path(output)
    taken = [name for name in _names(form) if (folder / name).exists()]
    if taken and not force:
        raise TraceAnalyzerError(
            say(
                "{place}: exists. Name another folder with -o, or overwrite with --force.",
                place=folder / taken[0],
            )
        )
    trace = load_rows(inputs, options)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        count = files(trace, folder)
    except OSError as error:
        raise _incomplete(folder, error) from None
    if count == 1:
        wrote = say("Wrote 1 file to {folder}", folder=output)
    else:
        wrote = say("Wrote {count} {count:table|tables} to {folder}", count=count, folder=output)
    click.echo(printable(wrote), err=True)


def _incomplete(folder: Path, error: OSError) -> TraceAnalyzerError:
    problem = os.strerror(error.errno) if error.errno else str(error)
    return TraceAnalyzerError(
        say("{place}: {problem}. What is there is incomplete.", place=folder, problem=problem)
    )


def _names(form: str) -> list[str]:
    """The files that a form consists of."""
    if form == "perfetto":
        return ["trace.json"]
    if form == "nsys-stats":
        from traceanalyzer.analyzers.nsys.stats import STATS

        return [f"{make.__name__}.csv" for make in STATS]
    from traceanalyzer.model.schema import BY_NAME

    return [f"{name}.{form}" for name in BY_NAME]


def _parquet(trace: Trace, folder: Path) -> int:
    import pyarrow.parquet as pq

    from traceanalyzer.model.parquet import storable

    for name, table in trace.tables.items():
        pq.write_table(storable(table), folder / f"{name}.parquet", compression="zstd")
    return len(trace.tables)


def _csv(trace: Trace, folder: Path) -> int:
    import pyarrow.csv

    for name, table in trace.tables.items():
        pyarrow.csv.write_csv(_flat(table), folder / f"{name}.csv")
    return len(trace.tables)


def _flat(table: pa.Table) -> pa.Table:
    """Text in place of dictionaries, and three columns in place of a grid."""
    import numpy as np
    import pyarrow as pa

    from traceanalyzer.model.columns import present, triples

    columns = {}
    for field in table.schema:
        if pa.types.is_dictionary(field.type):
            columns[field.name] = table[field.name].cast(field.type.value_type)
        elif pa.types.is_fixed_size_list(field.type):
            for axis, values in zip("xyz", triples(table, field.name).T, strict=True):
                mask = ~present(table, field.name)
                columns[f"{field.name}_{axis}"] = pa.array(np.ascontiguousarray(values), mask=mask)
        else:
            columns[field.name] = table[field.name]
    return pa.table(columns)


def _nsys_stats(trace: Trace, folder: Path) -> int:
    from traceanalyzer.analyzers.nsys.printed import write_csv
    from traceanalyzer.analyzers.nsys.stats import STATS

    for make in STATS:
        with (folder / f"{make.__name__}.csv").open("wb") as file:
            write_csv(make(trace), file)
    return len(STATS)


def _perfetto(trace: Trace, folder: Path) -> int:
    from traceanalyzer.cli.perfetto import write_chrome

    with (folder / "trace.json").open("wb") as file:
        write_chrome(trace, file)
    return 1


_FORMS: dict[str, Callable[[Trace, Path], int]] = {
    "parquet": _parquet,
    "csv": _csv,
    "nsys-stats": _nsys_stats,
    "perfetto": _perfetto,
}
