"""`trace-analyze oom`: why memory ran out, who held it, what to change."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.holders import Shown, print_holders, shows_holders
from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.cli.table import print_json, printable
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot, Oom, WhatIf
    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.rules.analysis import Analysis

UNKNOWN = "–"


@click.command(short_help="Why memory ran out, who held it, what to change.")
@shows_holders
@click.option(
    "--what-if",
    "conf",
    metavar="CONF",
    help="Replay the requests under other settings, as PYTORCH_CUDA_ALLOC_CONF has them: "
    "expandable_segments:True,max_split_size_mb:128.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: everything, in bytes and ns.")
@analysis_options
@reads_inputs
def command(
    inputs: Sequence[str],
    options: LoadOptions,
    wanted: Wanted,
    shown: Shown,
    conf: str | None,
    as_json: bool,
) -> None:
    """Read memory snapshots and the texts of out-of-memory errors, and tell why memory ran out.

    INPUT is any mix of snapshots (torch.cuda.memory._dump_snapshot), logs and traces, of one or more ranks.
    Without an error in them, it tells who holds memory at the peak, what grows and what lies unused.
    """
    from traceanalyzer.analyzers.oom.whatif import told

    analysis = analyze(inputs, options, wanted)
    tried = _what_if(analysis, conf) if conf else ()
    if as_json:
        whole = {key: asdict(analysis[key]) for key in ("oom", "snapshot")}
        print_json(whole | ({"what_if": [asdict(one) for one in tried]} if conf else {}))
        return
    for line in _lines(analysis):
        click.echo(printable(line))
    for one in tried:
        click.echo(
            printable(
                say(
                    "rank {rank}, device {device}: {answer}",
                    rank=one.rank,
                    device=one.device,
                    answer=told(one),
                )
            )
        )
    print_holders(analysis, shown)


def _what_if(analysis: Analysis, conf: str) -> tuple[WhatIf, ...]:
    from traceanalyzer.analyzers.oom.whatif import what_if
    from traceanalyzer.analyzers.snapshot.state import device_states

    return tuple(what_if(state, conf) for state in device_states(analysis.trace))


def _lines(analysis: Analysis) -> Iterator[str]:
    ooms, devices = analysis["oom"].rows, analysis["snapshot"].devices
    for oom in ooms:
        yield from _post_mortem(oom)
        yield ""
    if not ooms:
        yield say("No out-of-memory error is in this input.")
    for device in devices:
        yield _device(device)
    for finding in analysis.findings:
        if finding.code.startswith("MEM") and finding.code != "MEM001":
            yield say("{title}: {claim} {fix}", title=finding.title, claim=finding.claim, fix=finding.fix)


def _post_mortem(oom: Oom) -> Iterator[Text]:
    from traceanalyzer.analyzers.oom.whatif import told
    from traceanalyzer.model.sizes import size
    from traceanalyzer.rules.vocabulary import word

    of_text = oom.line is not None
    place = say("line {line}", line=oom.line) if of_text else say("entry {entry}", entry=oom.entry)
    device = "" if oom.device is None else say(", device {device}", device=oom.device)
    yield say(
        "rank {rank}{device}, {place}: {what}", rank=oom.rank, device=device, place=place, what=oom.headline
    )
    if oom.annotation is not None:
        yield say("  within      {annotation}", annotation=oom.annotation)
    if oom.segment_bytes is not None:
        free = UNKNOWN if oom.device_free_bytes is None else size(oom.device_free_bytes)
        yield say("  driver      asked for a segment of {segment}; {free} were free on the device",
                  segment=size(oom.segment_bytes), free=free)  # fmt: skip
    if oom.free is not None:
        parts = (
            (say("free in reserved"), oom.free.total_bytes),
            (say("largest block"), oom.free.largest_bytes),
            (say("on other streams"), oom.free.other_streams_largest_bytes),
            (say("in other pools"), oom.free.other_pools_largest_bytes),
            (say("empty_cache() would give back"), oom.free.whole_segments_bytes),
        )
        told_parts = [say("{what} {size}", what=n, size=UNKNOWN if b is None else size(b)) for n, b in parts]
        yield say("  would it fit  {parts}", parts=join("; ", told_parts))
    for number, cause in enumerate(oom.causes, 1):
        yield say("  cause {number}     {cause} ({level}): {evidence}", number=number, cause=word(cause.name),
                  level=word(cause.confidence), evidence=cause.evidence)  # fmt: skip
    if oom.what_if is not None:
        yield say("  what if     {answer}", answer=told(oom.what_if))
    for change in oom.changes:
        frees = (
            "" if change.frees_bytes is None else say(" — frees up to {size}", size=size(change.frees_bytes))
        )
        when = say(" (when: {condition})", condition=change.condition) if change.condition else ""
        yield say("  change      {what}{frees}{when}", what=change.what, frees=frees, when=when)


def _device(device: DeviceSnapshot) -> Text:
    from traceanalyzer.model.sizes import size

    return say(
        "rank {rank}, device {device}: {entries} {entries:entry|entries} ({window}); peak {active} active, "
        "{reserved} reserved; at the "
        "end {end_active} active, {end_reserved} reserved, of it {split} free in segments with other blocks",
        rank=device.rank,
        device=device.device,
        entries=f"{device.entries:,}",
        window=say("from the start") if device.complete else say("part of the run"),
        active=size(device.peak.active_bytes),
        reserved=size(device.peak_reserved_bytes),
        end_active=size(device.end.active_bytes),
        end_reserved=size(device.end.reserved_bytes),
        split=size(device.free_at_end.split_bytes or 0),
    )
