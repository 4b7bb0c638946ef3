"""`trace-analyze oom`: why memory ran out, who held it, what to change."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.cli.table import print_json, print_text, remark_on_rest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceanalyzer.analyzers.snapshot_results import DeviceSnapshot, Moment, Oom, StackHolder
    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.rules.analysis import Analysis

UNKNOWN = "–"

_NO_LINE = {True: "no stack: before the window, or not recorded", False: "no Python on the stack"}


@click.command(short_help="Why memory ran out, who held it, what to change.")
@reads_inputs
@analysis_options
@click.option(
    "--by",
    type=click.Choice(["line", "module", "stack", "category"]),
    default="line",
    show_default=True,
    help="Group who holds memory by this.",
)
@click.option(
    "--at",
    type=click.Choice(["oom", "peak", "end"]),
    help="Show who holds memory at this moment. Default: oom where there was one, else peak.",
)
@click.option(
    "--top", type=click.IntRange(min=1), default=15, show_default=True, help="Show so many holders."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: everything, in bytes and ns.")
def command(
    inputs: Sequence[str],
    options: LoadOptions,
    wanted: Wanted,
    by: str,
    at: str | None,
    top: int,
    as_json: bool,
) -> None:
    """Read memory snapshots and the texts of out-of-memory errors, and tell why memory ran out.

    INPUT is any mix of snapshots (torch.cuda.memory._dump_snapshot), logs and traces, of one or more ranks.
    Without an error in them, it tells who holds memory at the peak, what grows and what lies unused.
    """
    analysis = analyze(inputs, options, wanted)
    if as_json:
        print_json({key: asdict(analysis[key]) for key in ("oom", "snapshot")})
        return
    for line in _lines(analysis):
        click.echo(_printable(line))
    for title, moment in _moments(analysis, at):
        click.echo()
        click.secho(_printable(title), bold=True)
        _print_holders(moment, by, top)


def _lines(analysis: Analysis) -> Iterator[str]:
    ooms, devices = analysis["oom"].rows, analysis["snapshot"].devices
    for oom in ooms:
        yield from _post_mortem(oom)
        yield ""
    if not ooms:
        yield "No out-of-memory error is in this input."
    for device in devices:
        yield from _device(device)
    for finding in analysis.findings:
        if finding.code.startswith("MEM") and finding.code != "MEM001":
            yield f"{finding.title}: {finding.claim} {finding.fix}"


def _post_mortem(oom: Oom) -> Iterator[str]:
    from traceanalyzer.model.sizes import size

    place = f"line {oom.line}" if oom.line is not None else f"entry {oom.entry}"
    device = "" if oom.device is None else f", device {oom.device}"
    yield f"rank {oom.rank}{device}, {place}: {oom.headline}"
    if oom.annotation is not None:
        yield f"  within      {oom.annotation}"
    if oom.segment_bytes is not None:
        free = UNKNOWN if oom.device_free_bytes is None else size(oom.device_free_bytes)
        yield f"  driver      asked for a segment of {size(oom.segment_bytes)}; {free} were free on the device"
    if oom.free is not None:
        parts = (
            ("free in reserved", oom.free.total_bytes),
            ("largest block", oom.free.largest_bytes),
            ("on other streams", oom.free.other_streams_largest_bytes),
            ("in other pools", oom.free.other_pools_largest_bytes),
            ("empty_cache() would give back", oom.free.whole_segments_bytes),
        )
        yield "  would it fit  " + "; ".join(f"{n} {UNKNOWN if b is None else size(b)}" for n, b in parts)
    for number, cause in enumerate(oom.causes, 1):
        yield f"  cause {number}     {cause.name.replace('_', ' ')} ({cause.confidence}): {cause.evidence}"
    for change in oom.changes:
        frees = "" if change.frees_bytes is None else f" — frees up to {size(change.frees_bytes)}"
        yield f"  change      {change.what}{frees}{f' (when: {change.condition})' if change.condition else ''}"


def _device(device: DeviceSnapshot) -> Iterator[str]:
    from traceanalyzer.model.sizes import size

    window = "from the start" if device.complete else "part of the run"
    yield (
        f"rank {device.rank}, device {device.device}: {device.entries:,} entries ({window}); peak "
        f"{size(device.peak.active_bytes)} active, {size(device.peak_reserved_bytes)} reserved; at the end "
        f"{size(device.end.active_bytes)} active, {size(device.end.reserved_bytes)} reserved, of it "
        f"{size(device.free_at_end.split_bytes or 0)} free in segments with other blocks"
    )


def _moments(analysis: Analysis, at: str | None) -> Iterator[tuple[str, Moment]]:
    """The moments asked for, with a title each."""
    ooms = [o for o in analysis["oom"].rows if o.moment is not None]
    if at == "oom" or (at is None and ooms):
        for oom in ooms:
            yield f"Who holds memory at the error, rank {oom.rank}, device {oom.device}", oom.moment
        return
    for device in analysis["snapshot"].devices:
        moment = device.end if at == "end" else device.peak
        yield f"Who holds memory at the {moment.name}, rank {device.rank}, device {device.device}", moment


def _print_holders(moment: Moment, by: str, top: int) -> None:
    from traceanalyzer.model.sizes import size

    groups: dict[tuple[str, str], list[StackHolder]] = {}
    for holder in moment.holders:
        groups.setdefault(_key(holder, by), []).append(holder)
    rows = sorted(groups.items(), key=lambda item: (-sum(h.bytes for h in item[1]), item[0]))
    cells = [
        [
            size(sum(h.bytes for h in holders)),
            f"{sum(h.bytes for h in holders) / max(1, moment.active_bytes):.1%}",
            f"{sum(h.count for h in holders):,}",
            _printable(key[0]),
            _printable(key[1]),
        ]
        for key, holders in rows[:top]
    ]
    if cells:
        last = "Told by" if by == "category" else "Category"
        print_text(
            ["Bytes", "Share", "Blocks", by.capitalize(), last], [True, True, True, False, False], cells
        )
        remark_on_rest(len(rows) - top)


def _key(holder: StackHolder, by: str) -> tuple[str, str]:
    """What a row is called, and what stands beside it."""
    line = f"{holder.python} {holder.function}" if holder.python else _NO_LINE[holder.stack is None]
    match by:
        case "category":
            return holder.category, holder.inferred_from
        case "module":
            return holder.module or UNKNOWN, holder.category
        case "stack":
            return f"{UNKNOWN if holder.stack is None else holder.stack} {line}", holder.category
        case _:
            return line, holder.category


def _printable(text: str) -> str:
    """Names come from files: none of them steers the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)
