"""Who holds memory, at which moment and grouped by what: the options for it, and the table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import wraps
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.cli.table import print_text, printable, remark_on_rest
from traceanalyzer.languages import spoken
from traceanalyzer.text import Text, join, said, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from traceanalyzer.analyzers.snapshot.results import Moment, SegmentMap, StackHolder
    from traceanalyzer.rules.analysis import Analysis

TITLES: Mapping[str, Text] = MappingProxyType(
    {
        "line": say("Line"),
        "module": say("Module"),
        "stack": say("Stack"),
        "category": say("Category"),
        "annotation": say("Annotation"),
        "compile": say("Compile"),
        "pool": say("Pool"),
        "stream": say("Stream"),
        "op": say("Op"),
    }
)
BY = tuple(TITLES)


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
        click.secho(printable(say("Who holds memory {where}", where=where)), bold=True)
        _print_table(moment.holders, moment.active_bytes, shown.by, shown.top)
        if shown.segments:
            click.echo()
            click.secho(printable(say("Segments {where}", where=where)), bold=True)
            _print_segments(segments, shown.top)


def _moment_of(value: str | None) -> str | int | None:
    """One of the names, or ns from the start of the trace."""
    if value is None or value in ("oom", "peak", "end"):
        return value
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?(ns|us|µs|ms|s)", value)
    if found is None:
        raise click.BadParameter(
            say("{value!r} is none of oom, peak, end, and no time such as 12.5ms.", value=value)
        )
    return round(float(found[1]) * {"ns": 1, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9}[found[2]])


def _moments(analysis: Analysis, at: str | int | None) -> Iterator[tuple[Text, Moment, SegmentMap | None]]:
    """The moments asked for: when and where in words, who holds memory, and the segments."""
    from traceanalyzer.rules.vocabulary import word

    if isinstance(at, int):
        yield from _moments_at(analysis, at)
        return
    ooms = [o for o in analysis["oom"].rows if o.moment is not None]
    if at == "oom" or (at is None and ooms):
        for oom in ooms:
            where = say("at the error, rank {rank}, device {device}", rank=oom.rank, device=oom.device)
            yield where, oom.moment, oom.map
        return
    for device in analysis["snapshot"].devices:
        moment, segments = (
            (device.end, device.map_at_end) if at == "end" else (device.peak, device.map_at_peak)
        )
        where = say("at the {moment}, rank {rank}, device {device}", moment=word(moment.name), rank=device.rank,
                    device=device.device)  # fmt: skip
        yield where, moment, segments


def _moments_at(analysis: Analysis, at_ns: int) -> Iterator[tuple[Text, Moment, SegmentMap | None]]:
    from traceanalyzer.analyzers.snapshot.map import segment_map
    from traceanalyzer.analyzers.snapshot.state import device_states
    from traceanalyzer.reporters.units import duration

    for state in device_states(analysis.trace):
        where = say("rank {rank}, device {device}", rank=state.rank, device=state.device)
        entry = state.entry_at(at_ns)
        if entry is None:
            nothing = say("{where}: nothing was recorded until {time}, or entries carry no time", where=where,
                          time=duration(at_ns))  # fmt: skip
            click.echo(spoken(nothing), err=True)
        else:
            yield (
                say("at {time}, {where}", time=duration(at_ns), where=where),
                state.moment("time", entry),
                segment_map(state, entry),
            )


def _print_segments(segments: SegmentMap | None, top: int) -> None:
    from traceanalyzer.analyzers.snapshot.map import told_empty
    from traceanalyzer.model.sizes import size
    from traceanalyzer.rules.vocabulary import word

    if segments is None:
        click.echo(spoken(say("The entries do not tell: expandable segments changed after this moment.")))
        return
    cells = [
        [
            f"{row.address:#x}",
            size(row.bytes),
            size(row.bytes - row.active_bytes),
            f"{row.blocks:,}",
            str(row.stream),
            printable(row.pool or "–"),
            printable(join(", ", [said(word(use)) for use in dict.fromkeys(use for *_, use in row.runs)])),
        ]
        for row in segments.rows[:top]
    ]
    if cells:
        titles = [
            say("Address"),
            say("Bytes"),
            say("Free"),
            say("Blocks"),
            say("Stream"),
            say("Pool"),
            say("Holds"),
        ]
        print_text([*map(spoken, titles)], [False, True, True, True, True, False, False], cells)
        remark_on_rest(segments.count - segments.empty_count - len(cells))
    if segments.empty_count:
        click.echo(spoken(told_empty(segments)))


def _print_table(holders: Sequence[StackHolder], active_bytes: int, by: str, top: int) -> None:
    from traceanalyzer.analyzers.snapshot.groups import grouped
    from traceanalyzer.model.sizes import size
    from traceanalyzer.rules.vocabulary import word

    rows = grouped(holders, by)
    cells = [
        [
            size(row.bytes),
            f"{row.bytes / max(1, active_bytes):.1%}",
            f"{row.count:,}",
            printable(word(row.key) if by == "category" else row.key),
            printable(row.beside if by == "category" else word(row.beside)),
        ]
        for row in rows[:top]
    ]
    if cells:
        last = say("Told by") if by == "category" else say("Category")
        titles = (say("Bytes"), say("Share"), say("Blocks"), TITLES[by], last)
        print_text([*map(spoken, titles)], [True, True, True, False, False], cells)
        remark_on_rest(len(rows) - top)
