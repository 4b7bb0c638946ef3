"""`trace-analyze memory`: peak memory and who held it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.cli.table import Output, print_json, print_rows, prints_table
from traceanalyzer.languages import spoken
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.analyzers.results import MemoryTimeline
    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions


@click.command(short_help="Peak memory and who held it.")
@prints_table(default_top=20)
@analysis_options
@reads_inputs
def command(inputs: Sequence[str], options: LoadOptions, wanted: Wanted, output: Output) -> None:
    """Peak memory of each device, and who allocated what was live then.

    JSON holds the timeline as well; CSV the holders only.
    """
    from traceanalyzer.model.trace import Capability, how_to_capture
    from traceanalyzer.reporters.tables import HOLDERS

    analysis = analyze(inputs, options, wanted)
    memory = analysis.results.get("memory")
    timelines: Sequence[MemoryTimeline] = memory.timelines if memory else ()
    remedy = how_to_capture(analysis.trace.sources)[Capability.MEMORY]
    remark = say("No memory events were recorded: {remedy}.", remedy=remedy)
    if output.form == "json":
        print_json({"memory": [asdict(timeline) for timeline in timelines]})
    elif output.form == "csv" or not timelines:
        rows = [
            {"rank": t.rank, "device_type": t.device_type, "device": t.device, **asdict(holder)}
            for t in timelines
            for holder in t.live_at_peak
        ]
        print_rows("memory", HOLDERS, rows, output, if_none=remark)
    else:
        for timeline in timelines:
            click.echo(spoken(_headline(timeline)))
            print_rows(
                "memory",
                HOLDERS,
                timeline.live_at_peak,
                output,
                if_none=say("Nothing allocated in the trace was live at the peak."),
            )


def _headline(timeline: MemoryTimeline) -> Text:
    from traceanalyzer.reporters import units

    index = f" {timeline.device}" if timeline.device >= 0 else ""  # the host has none
    return say(
        "rank {rank}, {device}: peak {allocated} allocated, {reserved} reserved; {accounted} of the peak was "
        "allocated in the trace",
        rank=timeline.rank,
        device=f"{timeline.device_type}{index}",
        allocated=units.size(timeline.peak_allocated_bytes),
        reserved=units.size(timeline.peak_reserved_bytes),
        accounted=units.size(timeline.accounted_bytes),
    )
