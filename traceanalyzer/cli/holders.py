"""Who holds memory, at which moment and grouped by what: the options for it, and the table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.cli.table import print_text, printable, remark_on_rest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from traceanalyzer.analyzers.snapshot_results import Moment, SegmentMap, StackHolder
    from traceanalyzer.rules.analysis import Analysis

BY = ("line", "module", "stack", "category", "annotation", "compile", "pool", "stream", "op")


@dataclass(frozen=True, slots=True)
class Shown:
    """`at` is oom, peak or end, or ns from the start of the trace; None for the error where there was one."""

    by: str
    at: str | int | None
    top: int
    segments: bool


def shows_holders(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --by, --at, --top and --segments; it gets `shown`."""

    @wraps(command)
    def with_shown(*, by: str, at: str | int | None, top: int, segments: bool, **rest: Any) -> Any:
        return command(shown=Shown(by, at, top, segments), **rest)

    decorators = (
        click.option(
            "--by",
            type=click.Choice(BY),
            default="line",
            show_default=True,
            help="Group who holds memory by this.",
        ),
        click.option(
            "--at",
            metavar="oom|peak|end|TIME",
            callback=lambda _context, _option, value: _moment_of(value),
            help="Show who holds memory at this moment; a time from the start such as 12.5ms. Default: oom where "
            "there was one, else peak.",
        ),
        click.option(
            "--top", type=click.IntRange(min=1), default=15, show_default=True, help="Show so many holders."
        ),
        click.option(
            "--segments",
            is_flag=True,
            help="Show the segments at that moment, too, those with most free memory first.",
        ),
    )
    decorated: Callable[..., Any] = with_shown
    for decorate in reversed(decorators):
        decorated = decorate(decorated)
    return decorated


def print_holders(analysis: Analysis, shown: Shown) -> None:
    """Print a table per moment that was asked for."""
    for where, moment, segments in _moments(analysis, shown.at):
        click.echo()
        click.secho(printable(f"Who holds memory {where}"), bold=True)
        _print_table(moment.holders, moment.active_bytes, shown.by, shown.top)
        if shown.segments:
            click.echo()
            click.secho(printable(f"Segments {where}"), bold=True)
            _print_segments(segments, shown.top)


def _moment_of(value: str | None) -> str | int | None:
    """One of the names, or ns from the start of the trace."""
    if value is None or value in ("oom", "peak", "end"):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(ns|us|µs|ms|s)", value)
    if found is None:
        raise click.BadParameter(f"{value!r} is none of oom, peak, end, and no time such as 12.5ms.")
    return round(float(found[1]) * {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}[found[2]])


def _moments(analysis: Analysis, at: str | int | None) -> Iterator[tuple[str, Moment, SegmentMap | None]]:
    """The moments asked for: when and where in words, who holds memory, and the segments."""
    if isinstance(at, int):
        yield from _moments_at(analysis, at)
        return
    ooms = [o for o in analysis["oom"].rows if o.moment is not None]
    if at == "oom" or (at is None and ooms):
        for oom in ooms:
            yield f"at the error, rank {oom.rank}, device {oom.device}", oom.moment, oom.map
        return
    for device in analysis["snapshot"].devices:
        moment, segments = (
            (device.end, device.map_at_end) if at == "end" else (device.peak, device.map_at_peak)
        )
        yield f"at the {moment.name}, rank {device.rank}, device {device.device}", moment, segments


def _moments_at(analysis: Analysis, at_ns: int) -> Iterator[tuple[str, Moment, SegmentMap | None]]:
    from traceanalyzer.analyzers.snapshot_map import segment_map
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
            yield f"at {duration(at_ns)}, {where}", state.moment("time", entry), segment_map(state, entry)


def _print_segments(segments: SegmentMap | None, top: int) -> None:
    from traceanalyzer.model.sizes import size

    if segments is None:
        click.echo("The entries do not tell: expandable segments changed after this moment.")
        return
    cells = [
        [
            f"{row.address:#x}",
            size(row.bytes),
            size(row.bytes - row.active_bytes),
            f"{row.blocks:,}",
            str(row.stream),
            printable(row.pool or "–"),
            ", ".join(dict.fromkeys(use for *_, use in row.runs)),
        ]
        for row in segments.rows[:top]
    ]
    if cells:
        titles = ["Address", "Bytes", "Free", "Blocks", "Stream", "Pool", "Holds"]
        print_text(titles, [False, True, True, True, True, False, False], cells)
        remark_on_rest(segments.count - len(cells))


def _print_table(holders: Sequence[StackHolder], active_bytes: int, by: str, top: int) -> None:
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
