"""Bytes → trace. INGESTERS is tried in order; third parties add theirs through `traceanalyzer.ingesters`."""

from __future__ import annotations

import glob
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.chrome.read import ChromeTrace
from traceanalyzer.ingest.combine import combine
from traceanalyzer.ingest.ncu.read import NcuCsv, NcuReport
from traceanalyzer.ingest.nsys.read import NsysFolder, NsysReport, NsysSqlite
from traceanalyzer.ingest.oom_text import OomText
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.ingest.snapshot.read import MemorySnapshot
from traceanalyzer.ingest.source import read_head
from traceanalyzer.model.trace import Note, Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.ingest.progress import Progress


class Ingester(Protocol):
    """One input format. `sniff` sees the first inflated bytes; `read` never executes what it reads."""

    name: str

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether the file is of this format."""

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:
        """The file as a trace with one Source. Raises InputError when nothing can be read."""


STDIN = "-"
INGESTERS: tuple[Ingester, ...] = (
    MemorySnapshot(),
    OomText(),
    ChromeTrace(),
    NsysReport(),
    NsysSqlite(),
    NsysFolder(),
    NcuReport(),
    NcuCsv(),
)
SUPPORTED = (
    "torch.profiler Chrome traces (.json, .json.gz, .json.zst), Nsight Systems (.nsys-rep, .sqlite, parquetdir, "
    "arrowdir), Nsight Compute (.ncu-rep, .csv), CUDA memory snapshots (.pickle, .json), texts with out-of-memory "
    "errors"
)


def read_inputs(
    inputs: Sequence[str | Path], options: LoadOptions | None = None, progress: Progress | None = None
) -> Trace:
    """Read files, directories, globs and `-` (stdin) into one trace on one time axis.

    Raises:
        InputError: for the first input that cannot be read.
    """
    options = options or LoadOptions()
    ingesters, warnings = _all_ingesters()
    named = [i for i in inputs if os.fspath(i) != STDIN]
    traces = [_read_stdin(ingesters, options, progress)] if len(named) < len(inputs) else []
    traces += [_read_one(path, ingesters, options, progress) for path in expand(named, ingesters)]
    trace = combine(traces)
    if warnings:
        first = trace.sources[0]
        notes = tuple(Note("info", w) for w in warnings)
        trace = replace(trace, sources=(replace(first, notes=first.notes + notes), *trace.sources[1:]))
    return trace


def _all_ingesters() -> tuple[tuple[Ingester, ...], list[str]]:
    from importlib.metadata import entry_points

    found, warnings = list(INGESTERS), []
    for point in entry_points(group="traceanalyzer.ingesters"):
        try:
            found.append(point.load()())
        except Exception as error:
            warnings.append(f"the ingester plugin {point.name} could not be loaded: {error}")
    return tuple(found), warnings


def expand(inputs: Sequence[str | Path], ingesters: Sequence[Ingester] = INGESTERS) -> list[Path]:
    """The files that the inputs name, in a stable order, each once.

    A directory stands for every file below it whose content is a supported format.
    """
    files: dict[Path, None] = {}
    for item in inputs:
        text = os.fspath(item)
        path = Path(text)
        if not path.exists() and glob.has_magic(text):
            matches = [Path(p) for p in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 - absolute patterns too
            if not matches:
                raise InputError(text, "matches no file", "Check the pattern.")
        else:
            matches = [path]
        for match in matches:
            for file in _below(match, ingesters) if match.is_dir() else [match]:
                files[file] = None
    return list(files)


def _below(folder: Path, ingesters: Sequence[Ingester]) -> list[Path]:
    found = [p for p in sorted(folder.rglob("*")) if p.is_file() and _recognised(p, ingesters)]
    if not found:
        raise InputError(folder, "is a directory without a supported file", f"Supported: {SUPPORTED}.")
    return found


def _recognised(path: Path, ingesters: Sequence[Ingester]) -> bool:
    try:
        head = read_head(path)
    except InputError:
        return False
    return any(i.sniff(head, path) for i in ingesters)


def _read_one(
    path: Path, ingesters: Sequence[Ingester], options: LoadOptions, progress: Progress | None
) -> Trace:
    head = read_head(path)
    if options.use_cache:
        from traceanalyzer.ingest import cache

        cached = cache.lookup(path)
        if cached is not None:
            return cached
    ingester = next((i for i in ingesters if i.sniff(head, path)), None)
    if ingester is None:
        if path.stat().st_size == 0:
            raise InputError(path, "is empty", "Was the profiler stopped before it wrote? Record again.", 0)
        if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in {b"{", b"["}:
            raise InputError(path, "is not of a known format", f"Supported: {SUPPORTED}.", 0)
        ingester = ChromeTrace()
    trace = ingester.read(path, options, progress)
    if options.use_cache:
        from traceanalyzer.ingest import cache

        cache.store(path, trace.sources[0].sha256, trace)
    return trace


def _read_stdin(ingesters: Sequence[Ingester], options: LoadOptions, progress: Progress | None) -> Trace:
    """Read what comes in over a temporary file, since every reader needs to seek; it is called `-` in the report."""
    with tempfile.TemporaryDirectory(prefix="traceanalyzer-") as folder:
        file = Path(folder, "stdin")
        with file.open("wb") as out:
            while block := sys.stdin.buffer.read(1 << 20):
                out.write(block)
        try:
            trace = _read_one(file, ingesters, replace(options, use_cache=False), progress)
        except InputError as error:
            raise InputError(STDIN, error.problem, error.remedy, error.offset) from None
    return replace(trace, sources=(replace(trace.sources[0], path=STDIN),))
