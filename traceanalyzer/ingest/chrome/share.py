"""One process's share of a trace: every n-th chunk, decoded and mapped.

All processes read (and inflate) the same bytes and cut the same chunks, so nothing but results travels between them.
"""

from __future__ import annotations

import gc
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from traceanalyzer.ingest.chrome.damage import Damage, events_of, salvage, tail_events
from traceanalyzer.ingest.chrome.decoder import Event, group
from traceanalyzer.ingest.chrome.layout import Layout, chunks
from traceanalyzer.ingest.chrome.mapper import Mapper
from traceanalyzer.ingest.chrome.vocabulary import HEADER_KEYS
from traceanalyzer.ingest.source import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from traceanalyzer.ingest.options import LoadOptions

_INDEX_BITS = 28
"""An event's `order` is its chunk's offset and its index in the chunk, in one integer."""


@dataclass(slots=True)
class Share:
    """Parts of tables with what was learnt about the file on the way."""

    parts: dict[str, list[pa.Table]] = field(default_factory=dict)
    labels: dict[int, str] = field(default_factory=dict)
    header: dict[str, bytes] = field(default_factory=dict)
    damage: Damage = field(default_factory=Damage)
    untimed: int = 0
    found_events: bool = False
    truncated: str | None = None
    bytes: int = 0


def wanted(key: str) -> bool:
    """Whether a header key is kept."""
    return key in HEADER_KEYS


def read_share(
    path: Path,
    options: LoadOptions,
    index: int = 0,
    count: int = 1,
    advance: Callable[[int], None] | None = None,
) -> Share:
    """Read the chunks whose number is `index` modulo `count`.

    Raises:
        damage.Broken: when a chunk is not valid JSON; then only `read_damaged` can help.
        layout.NotJson: when the content is not a JSON object or array.
        InputError: when the file cannot be opened or passes a limit.
    """
    share, layout, mapper = Share(), Layout(), Mapper()
    with _no_collection():
        for chunk in chunks(blocks(path, options, advance), layout, wanted):
            if chunk.index % count != index:
                continue
            last = chunk.last
            events = (
                tail_events(chunk, layout, share.damage, wanted) if last else events_of(chunk, share.damage)
            )
            _map(events, chunk.offset, mapper)
        return _finish(share, layout, mapper)


def read_damaged(path: Path, options: LoadOptions, advance: Callable[[int], None] | None = None) -> Share:
    """Read the whole file in this process, taking what can be had of it."""
    share, layout, mapper = Share(), Layout(), Mapper()
    with _no_collection():
        for offset, events in salvage(blocks(path, options, advance), layout, share.damage, wanted):
            _map(events, offset, mapper)
        return _finish(share, layout, mapper)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Millions of short-lived dicts make the cycle collector run for nothing: none of them can form a cycle."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _map(events: list[Event], offset: int, mapper: Mapper) -> None:
    for shape in group(events, offset << _INDEX_BITS):
        mapper.add(shape)


def _finish(share: Share, layout: Layout, mapper: Mapper) -> Share:
    share.parts, share.labels, share.untimed = mapper.finish(), mapper.labels, mapper.untimed
    share.header, share.found_events = layout.header, layout.found_events
    share.truncated, share.bytes = layout.truncated, layout.bytes
    return share


def save(share: Share, folder: Path) -> None:
    """Write a share where another process can pick it up."""
    for name, tables in share.parts.items():
        joined = pa.concat_tables(tables, promote_options="default").unify_dictionaries()
        with (
            pa.OSFile(str(folder / f"{name}.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, joined.schema) as out,
        ):
            out.write_table(joined)
    facts = {
        "labels": share.labels,
        "header": {k: v.decode("utf-8", "replace") for k, v in share.header.items()},
        "damage": asdict(share.damage),
        "untimed": share.untimed,
        "found_events": share.found_events,
        "truncated": share.truncated,
        "bytes": share.bytes,
    }
    (folder / "share.json").write_text(json.dumps(facts))


def load(folder: Path) -> Share:
    """The inverse of `save`; tables stay on disk, mapped."""
    facts = json.loads((folder / "share.json").read_text())
    parts = {
        file.stem: [pa.ipc.open_file(pa.memory_map(str(file))).read_all()]
        for file in sorted(folder.glob("*.arrow"))
    }
    return Share(
        parts,
        {int(k): v for k, v in facts["labels"].items()},
        {k: v.encode() for k, v in facts["header"].items()},
        Damage(**facts["damage"]),
        facts["untimed"],
        facts["found_events"],
        facts["truncated"],
        facts["bytes"],
    )
