"""The ingesters: an SQLite export, and a report that the user's own nsys exports first."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.nsys import device, host
from traceanalyzer.ingest.nsys.build import Build
from traceanalyzer.ingest.nsys.database import MAGIC, Database, Strings, Tables
from traceanalyzer.ingest.nsys.folder import Folder
from traceanalyzer.ingest.nsys.nvtx import add_nvtx
from traceanalyzer.ingest.nsys.processes import Ranks, process_rows
from traceanalyzer.ingest.nsys.stacks import Stacks
from traceanalyzer.ingest.progress import Progress, Silent
from traceanalyzer.ingest.source import Truncated, blocks, compression_of, open_file, sha256_of
from traceanalyzer.model.capabilities import capabilities_of
from traceanalyzer.model.tables import from_rows
from traceanalyzer.model.trace import Note, Source, Trace
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceanalyzer.ingest.options import LoadOptions

_REPORT_SUFFIXES = frozenset({".nsys-rep", ".qdrep"})
_VERSION_KEYS = frozenset({"EXPORT_PRODUCT_VERSION", "EXPORT_SCHEMA_VERSION"})
"""What is kept of the metadata: the rest holds the environment, user and host names."""


class NsysSqlite:
    """Ingester of `nsys export --type sqlite`."""

    name = "nsys"

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether the file is SQLite and has a table that nsys writes; a damaged SQLite file counts as ours."""
        if not head.startswith(MAGIC):
            return False
        try:
            with Database(path) as database:
                return any(t == "StringIds" or t.startswith("CUPTI_ACTIVITY_KIND_") for t in database.tables)
        except InputError:
            return True

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:
        """Read one export.

        Raises:
            InputError: the file is damaged.
        """
        progress = progress or Silent()
        progress.start(str(path), path.stat().st_size)
        with _inflated(path, options) as file:
            try:
                with Database(file) as database:
                    trace = _trace(path, database, self.name)
            except InputError as error:
                raise InputError(path, error.problem, error.remedy, error.offset) from None
        progress.advance(path.stat().st_size)
        progress.finish()
        return trace


@contextmanager
def _inflated(path: Path, options: LoadOptions) -> Iterator[Path]:
    """The file itself, or what a compressed one holds: SQLite has to seek.

    Raises:
        InputError: it passes the limits, or its compression is broken.
    """
    with open_file(path) as file:
        plain = compression_of(file.read(4)) == "plain"
    if plain:
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="traceanalyzer-") as folder:
        whole = Path(folder, "export.sqlite")
        try:
            with whole.open("wb") as out:
                out.writelines(blocks(path, options))
        except Truncated as error:
            raise InputError(
                path,
                say("broken compression ({error})", error=error),
                say("Copy or download the file again."),
            ) from None
        yield whole


class NsysFolder:
    """Ingester of `nsys export --type parquetdir` and `arrowdir`: a folder with a file for each table.

    The file of the names, which every export has, stands for the folder.
    """

    name = "nsys-folder"

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether this is the file StringIds of an export."""
        return path.stem == "StringIds" and Folder.format_of(head) is not None

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:  # noqa: ARG002
        """Read the folder around the file.

        Raises:
            InputError: a file of it is damaged.
        """
        progress = progress or Silent()
        progress.start(str(path), path.stat().st_size)
        folder = Folder(path.parent)
        trace = _trace(path, folder, self.name)
        progress.advance(path.stat().st_size)
        progress.finish()
        source = replace(trace.sources[0], sha256=folder.sha256(), bytes=folder.size())
        return replace(trace, sources=(source,))


class NsysReport:
    """Ingester of `.nsys-rep`, whose format only nsys knows: exports it with the nsys on PATH."""

    name = "nsys-rep"

    def sniff(self, head: bytes, path: Path) -> bool:  # noqa: ARG002
        """Whether the name says so: the format is not documented."""
        return path.suffix.lower() in _REPORT_SUFFIXES

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:
        """Export and read.

        Raises:
            InputError: there is no nsys, or it cannot export the file.
        """
        nsys = shutil.which("nsys")
        by_hand = f"nsys export --type sqlite -o {path.with_suffix('.sqlite')} {path}"
        if nsys is None:
            raise InputError(
                path,
                say("needs nsys to be read, which is not on PATH"),
                say("Run where it is: {command}", command=by_hand),
            )
        with tempfile.TemporaryDirectory(prefix="traceanalyzer-") as folder:
            export = Path(folder, "export.sqlite")
            command = [nsys, "export", "--type", "sqlite", "--force-overwrite", "true", "-o", str(export)]
            done = subprocess.run([*command, str(path.absolute())], capture_output=True, check=False)
            if done.returncode or not export.exists():
                raise InputError(
                    path,
                    say("cannot be exported by this nsys"),
                    say("See what it says: {command}", command=by_hand),
                )
            trace = NsysSqlite().read(export, options, progress)
        source = replace(
            trace.sources[0],
            path=str(path),
            format=self.name,
            sha256=sha256_of(path),
            bytes=path.stat().st_size,
        )
        return replace(trace, sources=(source,))


def _trace(path: Path, database: Tables, form: str) -> Trace:
    strings, ranks, build = Strings(database), Ranks.of(database), Build()
    device.add_kernels(database, strings, ranks, build)
    device.add_graphs(database, ranks, build)
    device.add_copies(database, ranks, build)
    device.add_syncs(database, ranks, build)
    device.add_memory_events(database, ranks, build)
    device.add_metrics(database, build)
    host.add_api_calls(database, strings, ranks, build)
    stacks = Stacks(database, strings)
    host.add_system_calls(database, strings, stacks, ranks, build)
    host.add_samples(database, stacks, ranks, build)
    host.add_overhead(database, strings, ranks, build)
    add_nvtx(database, strings, ranks, build)
    used = np.concatenate([*build.used_threads, np.empty(0, np.int64)])
    processes = process_rows(database, strings, ranks, used)
    tables, start_ns = build.finish()
    tables["devices"] = from_rows("devices", device.device_rows(database, ranks))
    tables["stacks"], tables["frames"] = stacks.stacks, stacks.frames
    tables["processes"] = from_rows("processes", processes)
    began = database.read("TARGET_INFO_SESSION_START_TIME", ("utcEpochNs",)).ints("utcEpochNs")
    source = Source(
        path=str(path),
        format=form,
        sha256=sha256_of(path),
        bytes=path.stat().st_size,
        events=sum(t.num_rows for t in tables.values()),
        rank=0,
        epoch_ns=int(began[0]) + start_ns if len(began) and began[0] > 0 else None,
        metadata={"capture_offset_ns": start_ns, **_versions(database)},
        notes=tuple(_notes(build, ranks)),
    )
    return Trace((source,), tables, capabilities_of(tables))


def _versions(database: Tables) -> dict[str, str]:
    found: dict[str, str] = {}
    for table in ("META_DATA_EXPORT", "EXPORT_META_DATA"):
        rows = database.read(table, (), ("name", "value"))
        if rows.has("name") and rows.has("value"):
            pairs = zip(rows.arrow("name").to_pylist(), rows.arrow("value").to_pylist(), strict=True)
            found |= {k.lower(): v[:80] for k, v in pairs if k in _VERSION_KEYS and v}
    return found


def _notes(build: Build, ranks: Ranks) -> list[Note]:
    notes, again = [], say("Export the whole recording, with all its tables and columns.")
    if len(ranks.processes) > 1:
        message = say(
            "{count} {count:process|processes} used a device; shown as ranks in the order of their devices",
            count=len(ranks.processes),
        )
        notes.append(Note("info", message))
    for count, message in (
        (build.untimed, say("{count} {count:row|rows} without a start {count:was|were} left out")),
        (build.of_unknown_kind, say("{count} {count:row|rows} of an unknown kind {count:was|were} left out")),
        (build.endless, say("{count} {count:row without an end counts|rows without an end count} as 0 long")),
        (build.nameless, say("{count} {count:row without a name is|rows without a name are} not told apart")),
    ):
        if count:
            notes.append(Note("partial", message.filled(count=count), again))
    if build.negative_durations:
        message = say(
            "{count} {count:row ends before it starts and counts|rows end before they start and count} as 0 long",
            count=build.negative_durations,
        )
        notes.append(Note("repaired", message, say("The recording clock stepped back; record again.")))
    return notes
