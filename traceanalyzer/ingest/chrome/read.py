"""A Kineto Chrome trace → a Trace: share the chunks out, assemble the tables, say what was odd."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.chrome.assemble import Assembled, assemble
from traceanalyzer.ingest.chrome.damage import Broken
from traceanalyzer.ingest.chrome.layout import NotJson
from traceanalyzer.ingest.chrome.share import Share, claims, load, read_damaged, read_share
from traceanalyzer.ingest.chrome.vocabulary import clean_header
from traceanalyzer.ingest.source import sha256_of
from traceanalyzer.model.capabilities import capabilities_of
from traceanalyzer.model.tables import from_rows
from traceanalyzer.model.trace import Note, Source, Trace
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from traceanalyzer.ingest.chrome.crew import Crew
    from traceanalyzer.ingest.options import LoadOptions


def read_trace(path: Path, options: LoadOptions, crew: Crew | None, advance: Callable[[int], None]) -> Trace:
    """Read one file together with its workers.

    Raises:
        InputError: when nothing can be read of it, with the offset and the remedy.
    """
    shares = _read(path, options, crew, advance)
    with ThreadPoolExecutor(1) as pool:  # all cores were at work until here; now one is free
        digest = pool.submit(sha256_of, path)
        trace = _trace(path, shares)
        source = replace(trace.sources[0], sha256=digest.result())
    return replace(trace, sources=(source,))


def _read(path: Path, options: LoadOptions, crew: Crew | None, advance: Callable[[int], None]) -> list[Share]:
    try:
        if crew is None:
            return [read_share(path, options, advance=advance)]
        own = read_share(path, options, claims(crew.common), advance)
        if not crew.wait():
            raise Broken
        return [own, *map(load, crew.workers)]
    except Broken:
        if crew is not None:
            crew.stop()
        return [read_damaged(path, options)]
    except NotJson as error:
        raise InputError(
            path,
            say("is not JSON"),
            say("Give a file that torch.profiler's export_chrome_trace wrote."),
            error.offset,
        ) from None


def _trace(path: Path, shares: list[Share]) -> Trace:
    header: dict[str, Any] = {}
    for share in shares:
        header |= {k: _json(v) for k, v in share.header.items()}
    header = {k: v for k, raw in header.items() if (v := clean_header(k, raw)) is not None}
    if not any(s.found_events for s in shares):
        raise InputError(
            path,
            say("holds no traceEvents"),
            say("Give a trace written by torch.profiler's export_chrome_trace."),
            0,
        )
    distributed = header.get("distributedInfo")
    rank = distributed.get("rank") if isinstance(distributed, dict) else None
    rank = rank if isinstance(rank, int) and 0 <= rank < 2**31 else 0
    parts: dict[str, list[Any]] = {}
    for share in shares:
        for name in list(share.parts):
            parts.setdefault(name, []).extend(share.parts.pop(name))
    labels = {k: v for share in shares for k, v in share.labels.items()}
    done = assemble(parts, labels, rank)
    if not done.events and any(share.damage.not_objects for share in shares):
        raise InputError(
            path,
            say("holds no events of a trace"),
            say("Give a trace written by torch.profiler's export_chrome_trace."),
        )
    done.tables["devices"] = _devices(header.pop("deviceProperties", None), rank)
    base = header.get("baseTimeNanoseconds")
    epoch = done.start_ns + base if isinstance(base, int) else done.start_ns
    source = Source(
        path=str(path),
        format="chrome",
        sha256="",
        bytes=path.stat().st_size,
        events=done.events,
        rank=rank,
        epoch_ns=epoch if epoch > 10**18 else None,  # later than 2001: a wall clock, not time since boot
        simulated=header.get("simulated") is True,
        metadata=header,
        notes=tuple(_notes(shares, done)),
    )
    return Trace((source,), done.tables, capabilities_of(done.tables))


def _json(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


_DEVICE_KEYS = {
    "device": ("id",),
    "memory": ("totalGlobalMem",),
    "sms": ("numSms",),
    "compute_major": ("computeMajor",),
    "compute_minor": ("computeMinor",),
    "warp_size": ("warpSize",),
    "max_threads_per_sm": ("maxThreadsPerMultiprocessor",),
    "shared_memory_per_sm": ("sharedMemPerMultiprocessor", "maxSharedMemoryPerMultiProcessor"),
    "registers_per_sm": ("regsPerMultiprocessor",),
}


def _devices(properties: Any, rank: int) -> Any:
    rows = []
    for entry in properties if isinstance(properties, list) else []:
        if isinstance(entry, dict):
            row = {"rank": rank, "name": entry.get("name") or None}
            for column, keys in _DEVICE_KEYS.items():
                found = [
                    entry[k] for k in keys if isinstance(entry.get(k), int) and abs(entry[k]) < 2**31 * 2**31
                ]
                row[column] = found[0] if found else None
            rows.append(row)
    return from_rows("devices", rows)


def _notes(shares: list[Share], done: Assembled) -> list[Note]:
    """What a reader must know about this file."""
    notes: list[Note] = []
    damages = [s.damage for s in shares]
    offset = next((d.truncated_at for d in damages if d.truncated_at is not None), None)
    broken = next((s.truncated for s in shares if s.truncated), None)
    again = say("Record again and let the profiler finish writing; figures cover what was read.")
    if broken is not None:
        notes.append(
            Note("partial", say("the compressed data is damaged or cut off: {error}", error=broken), again)
        )
    elif offset is not None:
        notes.append(
            Note(
                "partial",
                say("the file ends in the middle of the JSON, at byte {offset}", offset=offset),
                again,
            )
        )
    dropped = sum(d.dropped_events for d in damages)
    if dropped:
        first = min(d.dropped_at for d in damages if d.dropped_at is not None)
        size = sum(d.dropped_bytes for d in damages)
        message = say(
            "{count} {count:stretch|stretches} ({size} {size:byte|bytes}) {count:is|are} not valid JSON and "
            "{count:was|were} left out, the first at byte {first}",
            count=dropped,
            size=size,
            first=first,
        )
        notes.append(Note("partial", message, say("Copy or record the file again.")))
    if any(d.mended for d in damages):
        first = min(d.mended_at for d in damages if d.mended_at is not None)
        message = say(
            "illegal escapes, quotes, control characters or NaN were mended, first after byte {first}",
            first=first,
        )
        notes.append(Note("repaired", message))
    for count, message in (
        (
            sum(d.not_objects for d in damages),
            say(
                "{count} {count:element|elements} of traceEvents {count:is no object and was|are not objects and "
                "were} left out"
            ),
        ),
        (
            sum(s.untimed for s in shares),
            say("{count} {count:event|events} without a readable time {count:was|were} left out"),
        ),
        (
            done.unmatched_begins,
            say(
                "{count} begin or end {count:event has no partner; it has|events have no partner; they have} no "
                "duration"
            ),
        ),
    ):
        if count:
            notes.append(Note("partial", message.filled(count=count)))
    if done.negative_durations:
        message = say(
            "{count} {count:event has|events have} a negative duration and {count:counts|count} as 0",
            count=done.negative_durations,
        )
        notes.append(Note("repaired", message, say("The recording clock stepped back; record again.")))
    return notes
