"""A Kineto Chrome trace → a Trace: share the chunks out, assemble the tables, say what was odd."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.chrome.assemble import assemble
from traceanalyzer.ingest.chrome.damage import Broken
from traceanalyzer.ingest.chrome.layout import NotJson
from traceanalyzer.ingest.chrome.notes import notes_of
from traceanalyzer.ingest.chrome.share import Share, claims, load, read_damaged, read_share
from traceanalyzer.ingest.chrome.vocabulary import clean_header
from traceanalyzer.ingest.source import sha256_of
from traceanalyzer.model.capabilities import capabilities_of
from traceanalyzer.model.tables import from_rows
from traceanalyzer.model.trace import Source, Trace
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
    notes = tuple(notes_of(shares, done, header))
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
        notes=notes,
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
