"""`trace-analyze ops`: operators by device and host time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.cli.table import Output, print_rows, prints_table
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions


@click.command(short_help="Operators by device and host time.")
@click.option("--by-shape", is_flag=True, help="One row for each op and each set of input shapes.")
@prints_table(default_top=20)
@analysis_options
@reads_inputs
def command(
    inputs: Sequence[str], options: LoadOptions, wanted: Wanted, output: Output, by_shape: bool
) -> None:
    """Operators by time: on the device, on the host, with and without the ops inside them."""
    from traceanalyzer.model.trace import Capability, how_to_capture
    from traceanalyzer.reporters.facts import ReportFacts
    from traceanalyzer.reporters.tables import OPS, OPS_BY_SHAPE

    analysis = analyze(inputs, options, wanted)
    ops, unknown = analysis.results.get("ops"), ReportFacts.of(analysis).unknown_columns
    if by_shape:
        remark = say(
            "No shapes were recorded: {remedy}.",
            remedy=how_to_capture(analysis.trace.sources)[Capability.SHAPES],
        )
        print_rows("ops", OPS_BY_SHAPE, ops.by_shape if ops else (), output, if_none=remark, unknown=unknown)
    else:
        remark = say("No operators were recorded: profile with ProfilerActivity.CPU.")
        print_rows("ops", OPS, ops.by_name if ops else (), output, if_none=remark, unknown=unknown)
