"""One process's share of a trace: some of its chunks, decoded and mapped.

All processes find the same chunks in the file by themselves, so nothing but results travels between them.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from traceanalyzer.ingest.chrome.damage import Damage, events_of, salvage, tail_events
from traceanalyzer.ingest.chrome.decoder import Event, group
from traceanalyzer.ingest.chrome.layout import Chunk, Layout, chunks, seeking_chunks
from traceanalyzer.ingest.chrome.mapper import Mapper
from traceanalyzer.ingest.chrome.vocabulary import HEADER_KEYS
from traceanalyzer.ingest.source import blocks, compression_of, open_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from traceanalyzer.ingest.options import LoadOptions

STRETCH_CHUNKS = 8
"""Chunks that are claimed together: 2 MB, so that no process waits long for the last one."""
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


def wanted(key: str) -> bool:
    """Whether a header key is kept."""
    return key in HEADER_KEYS


def claims(folder: Path) -> Callable[[int], bool]:
    """Which chunks are this process's: of each stretch of chunks, the process that asks first takes all.

    Whoever is faster takes more, so that all finish together. Creating a file that must not exist is the one claim
    that every system grants once.
    """
    mine: dict[int, bool] = {}

    def claimed(index: int) -> bool:
        stretch = index // STRETCH_CHUNKS
        if stretch not in mine:
            try:
                (folder / f"{stretch}.claim").touch(exist_ok=False)
            except FileExistsError:
                mine[stretch] = False
            else:
                mine[stretch] = True
        return mine[stretch]

    return claimed


def read_share(
    path: Path,
    options: LoadOptions,
    owned: Callable[[int], bool] = lambda _: True,
    advance: Callable[[int], None] | None = None,
) -> Share:
    """Read the chunks that `owned` says are this process's.

    Raises:
        damage.Broken: when a chunk is not valid JSON; then only `read_damaged` can help.
        layout.NotJson: when the content is not a JSON object or array.
        InputError: when the file cannot be opened or passes a limit.
    """
    share, layout, mapper = Share(), Layout(), Mapper()
    for chunk in _chunks(path, options, layout, owned, advance):
        last = chunk.last
        events = tail_events(chunk, layout, share.damage, wanted) if last else events_of(chunk, share.damage)
        _map(events, chunk.offset, mapper)
    return _finish(share, layout, mapper)


def _chunks(
    path: Path,
    options: LoadOptions,
    layout: Layout,
    owned: Callable[[int], bool],
    advance: Callable[[int], None] | None,
) -> Iterator[Chunk]:
    """The owned chunks: of a plain file by seeking, of a compressed one by inflating all of it."""
    with open_file(path) as file:
        if compression_of(file.read(4)) != "plain":
            stream = chunks(blocks(path, options, advance), layout, wanted)
            yield from (chunk for chunk in stream if owned(chunk.index))
            return
        file.seek(0)
        size, done = path.stat().st_size, 0
        for chunk in seeking_chunks(file, size, layout, wanted, owned):
            if advance is not None:
                advance(chunk.offset - done)
                done = chunk.offset
            yield chunk


def read_damaged(path: Path, options: LoadOptions, advance: Callable[[int], None] | None = None) -> Share:
    """Read the whole file in this process, taking what can be had of it."""
    share, layout, mapper = Share(), Layout(), Mapper()
    for offset, events in salvage(blocks(path, options, advance), layout, share.damage, wanted):
        _map(events, offset, mapper)
    return _finish(share, layout, mapper)


def _map(events: list[Event], offset: int, mapper: Mapper) -> None:
    for shape in group(events, offset << _INDEX_BITS):
        mapper.add(shape)


def _finish(share: Share, layout: Layout, mapper: Mapper) -> Share:
    share.parts, share.labels, share.untimed = mapper.finish(), mapper.labels, mapper.untimed
    share.header, share.found_events = layout.header, layout.found_events
    share.truncated = layout.truncated
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
    )
