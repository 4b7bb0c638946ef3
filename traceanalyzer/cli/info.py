"""`trace-analyze info`: what a file is, and what it can and cannot show."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.cli.inputs import load, reads_inputs
from traceanalyzer.cli.table import print_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.model.trace import Capability, Source, Trace


@click.command(short_help="What a file is, and what it can and cannot show.")
@reads_inputs
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(inputs: Sequence[str], options: LoadOptions, as_json: bool) -> None:
    """What each file is, what it can show, and how to capture what it cannot."""
    trace = load(inputs, options)
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

    for source in trace.sources:
        yield from _source_lines(source)
        yield ""
    yield "Tables"
    for name, table in trace.tables.items():
        if table.num_rows:
            yield f"  {name:14}{count(table.num_rows):>12}"
    yield "Shows"
    yield f"  {', '.join(map(_words, _shown(trace))) or 'nothing that can be analysed'}"
    missing = {c: how for c, how in how_to_capture(trace.sources).items() if c not in trace.capabilities}
    if missing:
        yield "Lacks"
        for capability, how in missing.items():
            yield f"  {_words(capability)}: {how}"


def _source_lines(source: Source) -> Iterator[str]:
    from traceanalyzer.reporters.units import count, size

    yield source.path
    yield f"  format    {source.format}{' (simulated)' if source.simulated else ''}"
    yield f"  size      {size(source.bytes)}, {count(source.events)} events"
    yield f"  sha256    {source.sha256}"
    yield f"  rank      {source.rank}"
    if source.epoch_ns is not None:
        yield f"  recorded  {datetime.fromtimestamp(source.epoch_ns // 10**9, UTC):%Y-%m-%d %H:%M:%S} UTC"
    for key, value in source.metadata.items():
        if isinstance(value, str | int | float):
            yield f"  {key}: {value}"
    for note in source.notes:
        yield f"  {note.kind}: {note.message}{' ' if note.remedy else ''}{note.remedy}"


def _shown(trace: Trace) -> list[Capability]:
    from traceanalyzer.model.trace import Capability

    return [capability for capability in Capability if capability in trace.capabilities]


def _words(capability: Capability) -> str:
    return capability.value.replace("_", " ")
