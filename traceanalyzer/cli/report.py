"""`trace-analyze report`: the page, the JSON, and a summary on the terminal."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, check_place, reads_inputs, stem
from traceanalyzer.cli.sources import source_options
from traceanalyzer.cli.summary import print_summary
from traceanalyzer.cli.table import printable
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.source_links import SourceLinks

_SUFFIXES = {"html": ".report.html", "json": ".report.json", "markdown": ".report.md", "text": ".report.txt"}


@click.command(short_help="Say what limits a run and write the report page.")
@click.option("-o", "--output", metavar="FILE", type=click.Path(), help="Where the report goes; - is stdout.")
@click.option(
    "--json",
    "json_output",
    metavar="FILE|-",
    help="Write the JSON report as well. With - it goes to stdout, and a page is written only with -o.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(list(_SUFFIXES)),
    help="Default: what the name after -o asks for, else html.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Rows of each table in the report.",
)
@click.option(
    "--baseline",
    metavar="BEFORE",
    type=click.Path(),
    help="An earlier run: the report shows what changed since.",
)
@source_options
@click.option("--force", is_flag=True, help="Overwrite files that exist.")
@analysis_options
@reads_inputs
def command(  # noqa: PLR0913, PLR0917 - one parameter per option
    inputs: Sequence[str],
    options: LoadOptions,
    wanted: Wanted,
    output: str | None,
    json_output: str | None,
    format_: str | None,
    top: int,
    baseline: str | None,
    sources: SourceLinks | None,
    force: bool,
) -> None:
    """Say what limits a run, and write the report page.

    The page goes to NAME.report.html in the current directory, after the name of the first input. It is one
    file that needs no network. A summary is printed.
    """
    from traceanalyzer.pipeline import format_of
    from traceanalyzer.reporters import render
    from traceanalyzer.whole_file import write_whole

    if output is None and json_output != "-":
        output = stem(inputs) + _SUFFIXES[format_ or "html"]
    outputs = [
        (name, form)
        for name, form in ((output, format_ or format_of(Path(output or ""))), (json_output, "json"))
        if name is not None
    ]
    if len({name for name, _ in outputs}) < len(outputs):
        raise click.UsageError(say("-o and --json name the same place."))
    for name, _ in outputs:
        check_place(name, inputs, force)
    analysis = replace(analyze(inputs, options, wanted), source_links=sources)
    if baseline is not None:
        analysis = replace(analysis, baseline=analyze([baseline], options, wanted))
    to_stdout = [form for name, form in outputs if name == "-"]
    try:
        for form in to_stdout:
            sys.stdout.write(render(analysis, form, top=top))
        if not to_stdout:
            print_summary(analysis)
    finally:  # the page is wanted also by who pipes the summary into head
        for name, form in outputs:
            if name != "-":
                write_whole(Path(name), render(analysis, form, top=top).encode())
                click.echo(printable(say("Wrote {name}", name=name)), err=True)
