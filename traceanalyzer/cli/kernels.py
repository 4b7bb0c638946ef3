"""`trace-analyze kernels`: device kernels by time."""

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


@click.command(short_help="Device kernels by time.")
@prints_table(default_top=20)
@analysis_options
@reads_inputs
def command(inputs: Sequence[str], options: LoadOptions, wanted: Wanted, output: Output) -> None:
    """Device kernels by total time: how often, how long, who launches them."""
    from traceanalyzer.model.trace import Capability, how_to_capture
    from traceanalyzer.reporters.tables import KERNELS

    analysis = analyze(inputs, options, wanted)
    remedy = how_to_capture(analysis.trace.sources)[Capability.DEVICE_WORK]
    kernels = analysis.results.get("kernels")
    print_rows(
        "kernels",
        KERNELS,
        kernels.rows if kernels else (),
        output,
        if_none=say("No kernels were recorded: {remedy}.", remedy=remedy),
    )
