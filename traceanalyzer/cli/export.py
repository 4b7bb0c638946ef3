"""`trace-analyze export`: the tables as Parquet files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import load, reads_inputs
from traceanalyzer.errors import TraceAnalyzerError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.ingest.options import LoadOptions


@click.command(short_help="Write the tables as Parquet files.")
@reads_inputs
@click.option("-o", "--output", metavar="DIR", required=True, help="Folder for the files; made when missing.")
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
def command(inputs: Sequence[str], options: LoadOptions, output: str, force: bool) -> None:
    """Write every table as DIR/TABLE.parquet, with the columns that link rows to each other."""
    import pyarrow.parquet as pq

    from traceanalyzer.model.schema import BY_NAME

    folder = Path(output)
    taken = [name for name in BY_NAME if (folder / f"{name}.parquet").exists()]
    if taken and not force:
        raise TraceAnalyzerError(
            f"{folder / taken[0]}.parquet: exists. Name another folder with -o, or overwrite with --force."
        )
    trace = load(inputs, options)
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in trace.tables.items():
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
    click.echo(f"Wrote {len(trace.tables)} tables to {output}", err=True)
