"""`trace-analyze modules`: the nn.Module tree with device time."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.cli.table import Output, print_rows, prints_table
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions


@click.command(short_help="The nn.Module tree with device time.")
@prints_table(default_top=40)
@analysis_options
@reads_inputs
def command(inputs: Sequence[str], options: LoadOptions, wanted: Wanted, output: Output) -> None:
    """The nn.Module tree: calls, host time and device time of each module."""
    from traceanalyzer.model.trace import Capability, how_to_capture
    from traceanalyzer.reporters.facts import ReportFacts
    from traceanalyzer.reporters.tables import MODULES

    analysis = analyze(inputs, options, wanted)
    modules, unknown = analysis.results.get("modules"), ReportFacts.of(analysis).unknown_columns
    rows = modules.rows if modules else ()
    if output.form == "text":  # depth shows as indentation; the path has it for programs
        rows = tuple(asdict(row) | {"name": "  " * row.depth + row.name} for row in rows)
    remark = say(
        "No modules were recorded: {remedy}.",
        remedy=how_to_capture(analysis.trace.sources)[Capability.MODULES],
    )
    print_rows("modules", MODULES, rows, output, if_none=remark, unknown=unknown)
