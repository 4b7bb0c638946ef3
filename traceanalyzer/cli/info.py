"""`trace-analyze info`: what a file is, and what it can and cannot show."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.cli.inputs import load_rows, reads_inputs
from traceanalyzer.cli.language import speaks
from traceanalyzer.cli.table import print_json
from traceanalyzer.text import join, said, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.model.trace import Capability, Source, Trace


@click.command(short_help="What a file is, and what it can and cannot show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@speaks
@reads_inputs
def command(inputs: Sequence[str], options: LoadOptions, as_json: bool) -> None:
    """What each file is, what it can show, and how to capture what it cannot."""
    trace = load_rows(inputs, options)
    if as_json:
        print_json(_content(trace))
        return
    from traceanalyzer.reporters import names

    for line in _lines(trace):
        click.echo(names.visible(line))


def _content(trace: Trace) -> dict[str, Any]:
    from traceanalyzer.model.trace import how_to_capture

    return {
        "sources": [asdict(source) for source in trace.sources],
        "unrelated": said(trace.unrelated) or None,
        "tables": {name: table.num_rows for name, table in trace.tables.items()},
        "shows": [str(capability) for capability in _shown(trace)],
        "lacks": {
            str(capability): how
            for capability, how in how_to_capture(trace.sources).items()
            if capability not in trace.capabilities
        },
    }


def _lines(trace: Trace) -> Iterator[str]:
    from traceanalyzer.model.trace import how_to_capture
    from traceanalyzer.reporters.units import count
    from traceanalyzer.rules.vocabulary import capability as words_of

    for source in trace.sources:
        yield from _source_lines(source)
        yield ""
    yield say("Tables")
    for name, table in trace.tables.items():
        if table.num_rows:
            yield f"  {name:14}{count(table.num_rows):>12}"
    yield say("Shows")
    shown = [said(words_of(capability)) for capability in _shown(trace)]
    yield say("  {what}", what=join(", ", shown) if shown else say("nothing that can be analysed"))
    missing = {c: how for c, how in how_to_capture(trace.sources).items() if c not in trace.capabilities}
    if missing:
        yield say("Lacks")
        for capability, how in missing.items():
            yield say("  {what}: {remedy}", what=words_of(capability), remedy=how)


def _source_lines(source: Source) -> Iterator[str]:
    from traceanalyzer.reporters.units import count, size
    from traceanalyzer.rules.vocabulary import word

    yield source.path
    simulated = say(" (simulated)") if source.simulated else ""
    yield say("  format    {format}{simulated}", format=word(source.format), simulated=simulated)
    yield say(
        "  size      {size}, {count} {count:event|events}",
        size=size(source.bytes),
        count=count(source.events),
    )
    yield f"  sha256    {source.sha256}"
    yield f"  rank      {source.rank}"
    if source.epoch_ns is not None:
        recorded = datetime.fromtimestamp(source.epoch_ns // 10**9, UTC)
        yield say("  recorded  {time} UTC", time=f"{recorded:%Y-%m-%d %H:%M:%S}")
    for key, value in source.metadata.items():
        if isinstance(value, str | int | float):
            yield f"  {key}: {value}"
    for note in source.notes:
        remedy = say(" {remedy}", remedy=note.remedy) if note.remedy else ""
        yield say("  {kind}: {message}{remedy}", kind=word(note.kind), message=note.message, remedy=remedy)


def _shown(trace: Trace) -> list[Capability]:
    from traceanalyzer.model.trace import Capability

    return [capability for capability in Capability if capability in trace.capabilities]
