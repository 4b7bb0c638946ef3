"""`trace-analyze steps`: where each step went."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.cli.table import Output, print_rows, prints_table
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceanalyzer.analyzers.results import Partition, Step
    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.rules.analysis import Analysis

_PARTS = ("compute_ns", "exposed_communication_ns", "exposed_copy_ns", "idle_ns")


@click.command(short_help="Where each step went.")
@prints_table(default_top=None)
@analysis_options
@reads_inputs
def command(inputs: Sequence[str], options: LoadOptions, wanted: Wanted, output: Output) -> None:
    """Where each step went on each device: compute, exposed communication, exposed copies, idle."""
    from traceanalyzer.model.trace import Capability, how_to_capture
    from traceanalyzer.reporters.tables import STEPS, Column

    analysis = analyze(inputs, options, wanted)
    rows = list(_rows(analysis))
    remark = say("No steps: {remedy}.", remedy=how_to_capture(analysis.trace.sources)[Capability.STEPS])
    layout = STEPS
    if len({(row["rank"], row["device"]) for row in rows}) > 1:
        lane = (
            Column("rank", say("Rank"), "count", brief=True),
            Column("device", say("Device"), "count", brief=True),
        )
        layout = replace(STEPS, columns=(*lane, *STEPS.columns))
    print_rows("steps", layout, rows, output, if_none=remark)


def _rows(analysis: Analysis) -> Iterator[dict[str, Any]]:
    """One row per step and device; without a device, one per step with its duration alone."""
    steps, breakdown = analysis.results.get("steps"), analysis.results.get("breakdown")
    if steps is None:
        return
    for rank in dict.fromkeys(step.rank for step in steps.steps):
        of_rank = [step for step in steps.steps if step.rank == rank]
        devices = [d for d in (breakdown.devices if breakdown else ()) if d.rank == rank]
        for device in devices:
            for step, partition in zip(of_rank, device.steps, strict=True):
                yield _row(step, device.device, partition)
        if not devices:
            for step in of_rank:
                yield _row(step, None, None)


def _row(step: Step, device: int | None, partition: Partition | None) -> dict[str, Any]:
    parts = asdict(partition) if partition else {"wall_ns": step.duration_ns, **dict.fromkeys(_PARTS)}
    return {
        "rank": step.rank,
        "device": device,
        "index": step.index,
        "name": step.name,
        "host_start_ns": step.host_start_ns,
        "start_ns": step.start_ns,
        **parts,
    }
