"""The ingester: a snapshot file becomes a trace, read by a worker process that may fail alone.

What this process needs is loaded while the worker is at work.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.progress import Progress, Silent
from traceanalyzer.ingest.snapshot.refused import REFUSED
from traceanalyzer.ingest.source import sha256_of
from traceanalyzer.own_process import worker_command
from traceanalyzer.text import say

if TYPE_CHECKING:
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.ingest.snapshot.assemble import Read
    from traceanalyzer.model.trace import Trace

_KEYS = (b"segments", b"device_traces", b"total_size")
_RANK = re.compile(r"rank[-_]?(\d{1,6})", re.IGNORECASE)
_REMEDY = say("Give a file that torch.cuda.memory._dump_snapshot wrote, and only one that you trust.")


class MemorySnapshot:
    """`torch.cuda.memory._dump_snapshot` pickles of every age and of forks, and the same content as JSON."""

    name = "memory snapshot"

    def sniff(self, head: bytes, path: Path) -> bool:  # noqa: ARG002
        """A pickle, or JSON, that begins with a snapshot's keys."""
        if head[:1] == b"\x80":
            return head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and any(k in head for k in _KEYS)
        return head.lstrip()[:1] in (b"{", b"[") and b'"traceEvents"' not in head and (
            b'"segments"' in head or b'"device_traces"' in head or b'"total_size"' in head
        )  # fmt: skip

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:
        """The snapshot as a trace with one Source.

        Raises:
            InputError: it is no snapshot, damaged, or holds more than plain containers.
        """
        progress = progress or Silent()
        size = path.stat().st_size
        progress.start(str(path), size)
        done, digest = _read_apart(path, options) if sys.executable else _read_here(path, options)
        progress.advance(size)
        progress.finish()
        return _trace(path, size, done, digest)


def _trace(path: Path, size: int, done: Read, digest: str) -> Trace:
    from traceanalyzer.ingest.own_ranks import ranked
    from traceanalyzer.model.capabilities import capabilities_of
    from traceanalyzer.model.schema import TABLES
    from traceanalyzer.model.tables import empty
    from traceanalyzer.model.trace import Source, Trace

    tables = {table.name: done.tables.get(table.name, empty(table.name)) for table in TABLES}
    source = Source(
        path=str(path),
        format=MemorySnapshot.name,
        sha256=digest,
        bytes=size,
        events=done.events,
        rank=0,
        epoch_ns=done.start_ns,
        metadata={"allocator_settings": done.settings},
        notes=tuple(done.notes),
    )
    named = _RANK.search(path.name)
    rank = int(named[1]) if named else 0  # only the name of the file tells
    return ranked(Trace((source,), tables, capabilities_of(tables)), rank, replace(source, rank=rank))


def _read_here(path: Path, options: LoadOptions) -> tuple[Read, str]:
    """Where no process can be started, because this one does not know the interpreter that it runs in."""
    from traceanalyzer.ingest.snapshot.worker import read

    return read(path, options), sha256_of(path)


def _read_apart(path: Path, options: LoadOptions) -> tuple[Read, str]:
    """What a worker reads, and the hash of the file, which this process takes meanwhile."""
    with tempfile.TemporaryDirectory(prefix="traceanalyzer-", ignore_cleanup_errors=True) as folder:
        told = json.dumps(asdict(options))
        command = worker_command("traceanalyzer.ingest.snapshot.worker", str(path), folder, told)
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as worker:
            from traceanalyzer.ingest.snapshot.assemble import load_saved

            digest = sha256_of(path)
            said, _ = worker.communicate()
        if worker.returncode == REFUSED:
            raise InputError(path, said.decode(errors="replace").strip()[:500], _REMEDY)
        if worker.returncode != 0:
            raise InputError(path, say("was refused: reading it ended the reader"), _REMEDY)
        return load_saved(Path(folder)), digest
