"""`trace-analyze cache`: show or clear what is kept of files read before."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from traceanalyzer.cli.language import speaks
from traceanalyzer.cli.table import print_json, print_text, printable
from traceanalyzer.languages import spoken
from traceanalyzer.text import say


@click.command(short_help="Show or clear the cache of files read before.")
@speaks
@click.argument("action", type=click.Choice(["show", "clear"]), default="show")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(action: str, as_json: bool) -> None:
    """Show what the cache holds, or clear it.

    It keeps the tables of files that were read, so that they open at once. TRACEANALYZER_CACHE_DIR moves it,
    TRACEANALYZER_CACHE_MAX_BYTES limits it (default 5 GiB), --no-cache passes it by.
    """
    from traceanalyzer.ingest import cache

    if action == "clear":
        said = say("Entries removed from {folder}: {count}", count=cache.clear(), folder=cache.directory())
        click.echo(printable(said), err=True)
        return
    from traceanalyzer.reporters import names, units

    entries = cache.entries()
    total = sum(entry.bytes for entry in entries)
    if as_json:
        content = [asdict(entry) | {"directory": str(entry.directory)} for entry in entries]
        print_json({"directory": str(cache.directory()), "bytes": total, "entries": content})
        return
    most = units.size(cache.max_bytes())
    said = say(
        "{folder}: {size} of at most {most}", folder=cache.directory(), size=units.size(total), most=most
    )
    click.echo(printable(said), err=True)
    if not entries:
        return
    cells = [
        [
            names.visible(entry.path),
            units.count(entry.events),
            units.size(entry.bytes),
            f"{datetime.fromtimestamp(entry.used_ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC",
        ]
        for entry in entries
    ]
    titles = [say("file"), say("events"), say("size"), say("last used")]
    print_text([*map(spoken, titles)], [False, True, True, False], cells)
