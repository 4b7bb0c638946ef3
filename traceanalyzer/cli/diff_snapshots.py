"""What `trace-analyze diff` says of two memory snapshots."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Literal, cast

import click

from traceanalyzer.cli.holders import TITLES
from traceanalyzer.cli.table import filled, print_json, print_text, printable, remark_on_rest
from traceanalyzer.languages import spoken
from traceanalyzer.text import say

if TYPE_CHECKING:
    from traceanalyzer.analyzers.snapshot.diff import ChangedRow, DeviceDiff
    from traceanalyzer.model.trace import Trace

TOTALS = ("active_bytes", "allocated_bytes", "requested_bytes", "reserved_bytes")


def show(before: Trace, after: Trace, *, at: str, by: str, top: int, as_json: bool) -> None:
    """Print the totals of each device and what grew most."""
    from traceanalyzer.analyzers.snapshot.diff import compare

    found = compare(before, after, cast("Literal['peak', 'end']", at))
    if as_json:
        print_json({"snapshot_diff": asdict(found)})
        return
    for device in found.devices:
        _print_device(device, at, by, top)
    for where, places in ((say("BEFORE"), found.only_before), (say("AFTER"), found.only_after)):
        for rank, number in places:
            only = say(
                "rank {rank}, device {device} is in {where} only", rank=rank, device=number, where=where
            )
            click.echo(spoken(only))


def _print_device(device: DeviceDiff, at: str, by: str, top: int) -> None:
    from traceanalyzer.model.sizes import size
    from traceanalyzer.rules.vocabulary import word

    head = say("rank {rank}, device {device}, at the {moment} of each", rank=device.rank, device=device.device,
               moment=word(at))  # fmt: skip
    click.secho(spoken(head), bold=True)
    for name in TOTALS:
        old, new = device.before[name], device.after[name]
        label = filled(spoken(word(name.removesuffix("_bytes"))), 10)
        click.echo(f"  {label} {size(old)} → {size(new)} ({_signed(new - old)})")
    rows = [row for row in device.rows[by] if row.change_bytes or row.before_count != row.after_count]
    if not rows:
        click.echo(spoken(say("  nothing changed by {way}", way=TITLES[by])))
        return
    rows.sort(key=lambda row: (-abs(row.change_bytes), row.key))
    last = say("Told by") if by == "category" else say("Category")
    titles = (say("Change"), say("Before"), say("After"), say("Blocks"), TITLES[by], last)
    print_text(
        [*map(spoken, titles)],
        [True, True, True, True, False, False],
        [_cells(row, by) for row in rows[:top]],
    )
    remark_on_rest(len(rows) - top)


def _cells(row: ChangedRow, by: str) -> list[str]:
    from traceanalyzer.model.sizes import size
    from traceanalyzer.rules.vocabulary import word

    blocks = f"{row.before_count:,} → {row.after_count:,}"
    held = [_signed(row.change_bytes), size(row.before_bytes), size(row.after_bytes), blocks]
    names = (word(row.key), row.beside) if by == "category" else (row.key, word(row.beside))
    return [*held, *map(printable, names)]


def _signed(change: int) -> str:
    from traceanalyzer.model.sizes import size

    return f"{'+' if change > 0 else '−' if change < 0 else ''}{size(abs(change))}"
