"""`trace-analyze oom`: why memory ran out, who held it, what to change."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.cli.table import print_json, print_text, printable, remark_on_rest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceanalyzer.analyzers.snapshot_results import DeviceSnapshot, Moment, Oom, StackHolder
    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.rules.analysis import Analysis

UNKNOWN = "–"


@click.command(short_help="Why memory ran out, who held it, what to change.")
@reads_inputs
@analysis_options
@click.option(
    "--by",
    type=click.Choice(["line", "module", "stack", "category", "annotation", "compile", "pool", "stream"]),
    default="line",
    show_default=True,
    help="Group who holds memory by this.",
)
@click.option(
    "--at",
    metavar="oom|peak|end|TIME",
    callback=lambda _context, _option, value: _moment_of(value),
    help="Show who holds memory at this moment; a time from the start such as 12.5ms. Default: oom where there was "
    "one, else peak.",
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
    at: str | int | None,
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
        click.echo(printable(line))
    for title, moment in _moments(analysis, at):
        click.echo()
        click.secho(printable(title), bold=True)
        _print_holders(moment.holders, moment.active_bytes, by, top)


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


def _moment_of(value: str | None) -> str | int | None:
    """One of the names, or ns from the start of the trace."""
    if value is None or value in ("oom", "peak", "end"):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(ns|us|µs|ms|s)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is none of oom, peak, end, and no time such as 12.5ms.")
    return round(float(found[1]) * {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}[found[2]])


def _moments(analysis: Analysis, at: str | int | None) -> Iterator[tuple[str, Moment]]:
    """The moments asked for, with a title each."""
    if isinstance(at, int):
        yield from _moments_at(analysis, at)
        return
    ooms = [o for o in analysis["oom"].rows if o.moment is not None]
    if at == "oom" or (at is None and ooms):
        for oom in ooms:
            yield f"Who holds memory at the error, rank {oom.rank}, device {oom.device}", oom.moment
        return
    for device in analysis["snapshot"].devices:
        moment = device.end if at == "end" else device.peak
        yield f"Who holds memory at the {moment.name}, rank {device.rank}, device {device.device}", moment


def _moments_at(analysis: Analysis, at_ns: int) -> Iterator[tuple[str, Moment]]:
    from traceanalyzer.analyzers.snapshot_state import device_states
    from traceanalyzer.reporters.units import duration

    for state in device_states(analysis.trace):
        where = f"rank {state.rank}, device {state.device}"
        entry = state.entry_at(at_ns)
        if entry is None:
            click.echo(
                f"{where}: nothing was recorded until {duration(at_ns)}, or entries carry no time", err=True
            )
        else:
            yield f"Who holds memory at {duration(at_ns)}, {where}", state.moment("time", entry)


def _print_holders(holders: Sequence[StackHolder], active_bytes: int, by: str, top: int) -> None:
    from traceanalyzer.analyzers.snapshot_groups import grouped
    from traceanalyzer.model.sizes import size

    rows = grouped(holders, by)
    cells = [
        [
            size(row.bytes),
            f"{row.bytes / max(1, active_bytes):.1%}",
            f"{row.count:,}",
            printable(row.key),
            printable(row.beside),
        ]
        for row in rows[:top]
    ]
    if cells:
        last = "Told by" if by == "category" else "Category"
        print_text(
            ["Bytes", "Share", "Blocks", by.capitalize(), last], [True, True, True, False, False], cells
        )
        remark_on_rest(len(rows) - top)
