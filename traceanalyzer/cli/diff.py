"""`trace-analyze diff`: what changed between two runs, or two moments of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.holders import BY
from traceanalyzer.cli.inputs import load, reads_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.ingest.options import LoadOptions


@click.command(short_help="What changed between two runs.")
@reads_inputs
@click.option(
    "--by",
    type=click.Choice(BY),
    default="line",
    show_default=True,
    help="Memory snapshots: group who holds memory by this.",
)
@click.option(
    "--at",
    type=click.Choice(["end", "peak"]),
    default="end",
    show_default=True,
    help="Memory snapshots: compare what is held at this moment of each.",
)
@click.option("--top", type=click.IntRange(min=1), default=15, show_default=True, help="Show so many rows.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: everything, in bytes and ns.")
def command(inputs: Sequence[str], options: LoadOptions, by: str, at: str, top: int, as_json: bool) -> None:
    """Compare two inputs, BEFORE and AFTER: two memory snapshots tell what grew."""
    from traceanalyzer.cli.diff_snapshots import show
    from traceanalyzer.errors import TraceAnalyzerError
    from traceanalyzer.model.trace import Capability

    if len(inputs) != 2:
        raise click.UsageError(f"diff compares two inputs, BEFORE and AFTER; {len(inputs)} were given.")
    before, after = (load([one], options) for one in inputs)
    if all(Capability.MEMORY_SNAPSHOT in trace.capabilities for trace in (before, after)):
        show(before, after, at=at, by=by, top=top, as_json=as_json)
        return
    raise TraceAnalyzerError("diff compares two memory snapshots (torch.cuda.memory._dump_snapshot).")
