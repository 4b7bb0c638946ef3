"""`trace-analyze diff`: what changed between two runs, or two moments of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.holders import BY
from traceanalyzer.cli.inputs import analysis_options, load, reads_inputs
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions


def _share(_context: click.Context, _parameter: click.Parameter, given: str | None) -> float | None:
    """`5%` as 0.05; a number without the sign is per cent as well."""
    if given is None:
        return None
    try:
        share = float(given.strip().removesuffix("%")) / 100
    except ValueError:
        share = -1.0
    if not 0 <= share < float("inf"):
        raise click.BadParameter(say("{given!r} is not a share such as 5%", given=given))
    return share


@click.command(short_help="What changed between two runs.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(),
    help="Write a page (.html), .md, .json, .csv or .txt there.",
)
@click.option("--force", is_flag=True, help="Overwrite a file that exists.")
@click.option(
    "--output-format",
    type=click.Choice(["text", "json", "csv", "markdown", "html", "github", "junit"]),
    help="Default: what the name after -o asks for, else text.",
)
@click.option(
    "--json", "as_json", is_flag=True, help="Short for --output-format json: ns, bytes, null for unknown."
)
@click.option("--csv", "as_csv", is_flag=True, help="Short for --output-format csv: all rows of all tables.")
@click.option(
    "--top", type=click.IntRange(min=1), help="Show so many rows of a table. Default: 15, in a page 50."
)
@click.option(
    "--fail-on-slower",
    metavar="SHARE",
    callback=_share,
    help="Leave with exit code 1 when the step is slower by more than this, such as 5%, and by more than noise.",
)
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
@analysis_options
@reads_inputs
def command(  # noqa: PLR0913, PLR0917 - one parameter per option
    inputs: Sequence[str],
    options: LoadOptions,
    wanted: Wanted,
    output: str | None,
    force: bool,
    output_format: str | None,
    as_json: bool,
    as_csv: bool,
    top: int | None,
    fail_on_slower: float | None,
    by: str,
    at: str,
) -> int:
    """Compare two inputs, BEFORE and AFTER.

    Two traces tell what made the step slower or faster, per step and beside the spread over steps; two memory
    snapshots tell what grew.
    """
    from traceanalyzer.cli import diff_snapshots, diff_traces
    from traceanalyzer.model.trace import Capability

    if len(inputs) != 2:
        raise click.UsageError(
            say("diff compares two inputs, BEFORE and AFTER; {count} were given.", count=len(inputs))
        )
    asked = [f for f in (output_format, "json" if as_json else None, "csv" if as_csv else None) if f]
    if len(asked) > 1:
        raise click.UsageError(say("--output-format, --json and --csv exclude each other."))
    form = asked[0] if asked else None
    form = form or diff_traces.form_of(output)
    top = top or (50 if form == "html" else 15)
    place = diff_traces.Place(output, form, top)
    diff_traces.check(place, inputs, force=force)
    before, after = (load([one], options, wanted.mapping) for one in inputs)
    snapshots = [Capability.MEMORY_SNAPSHOT in trace.capabilities for trace in (before, after)]
    if all(snapshots):
        if output or place.form not in ("text", "json") or fail_on_slower is not None:
            raise click.UsageError(say("of two memory snapshots, diff prints text or --json."))
        diff_snapshots.show(before, after, at=at, by=by, top=top, as_json=place.form == "json")
        return 0
    if any(snapshots):
        raise click.UsageError(say("one input is a memory snapshot and the other is a trace."))
    return diff_traces.show(before, after, wanted, place, fail_on_slower)
