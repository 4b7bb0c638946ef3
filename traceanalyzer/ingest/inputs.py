"""Bytes → trace. FORMATS are tried in order; third parties add theirs through `traceanalyzer.ingesters`."""

from __future__ import annotations

import glob
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.chrome.ingester import ChromeTrace
from traceanalyzer.ingest.mistaken import mistaken_for_a_trace
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.ingest.source import open_file, read_head
from traceanalyzer.model.trace import Note
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceanalyzer.ingest.progress import Progress
    from traceanalyzer.model.trace import Trace

TRACE_NAMES = frozenset({".json", ".pickle", ".sqlite", ".nsys-rep", ".ncu-rep"})
"""What a file in a directory is called that was to be a trace, where nothing of it can be read."""


class Ingester(Protocol):
    """One input format. `sniff` sees the first inflated bytes; `read` never executes what it reads."""

    @property
    def name(self) -> str:
        """What the format is called."""
        ...

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether the file is of this format."""

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:
        """The file as a trace with one Source. Raises InputError when nothing can be read."""


@dataclass(frozen=True)
class _OfPlugin:
    """An ingester of a third party: what it does not tell itself is told with its name."""

    name: str
    theirs: Ingester

    def sniff(self, head: bytes, path: Path) -> bool:
        return self.theirs.sniff(head, path)

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:
        try:
            return self.theirs.read(path, options, progress)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                path,
                say(
                    "cannot be read: the ingester plugin {name} failed: {error}", name=self.name, error=error
                ),
                say("Mend or remove the plugin."),
            ) from error


STDIN = "-"
FORMATS = (
    "chrome.ingester:ChromeTrace",
    "snapshot.read:MemorySnapshot",
    "oom_text:OomText",
    "nsys.read:NsysReport",
    "nsys.read:NsysSqlite",
    "nsys.read:NsysFolder",
    "ncu.read:NcuReport",
    "ncu.read:NcuCsv",
)
"""Where the ingesters are. Each is loaded when those before it did not know the file: a large trace is being read by
its workers before the readers of other formats would be loaded."""
SUPPORTED = say(
    "Supported: torch.profiler Chrome traces (.json, .json.gz, .json.zst), Nsight Systems (.nsys-rep, .sqlite, "
    "parquetdir, arrowdir), Nsight Compute (.ncu-rep, .csv), CUDA memory snapshots (.pickle, .json), texts with "
    "out-of-memory errors."
)


def read_inputs(
    inputs: Sequence[str | Path], options: LoadOptions | None = None, progress: Progress | None = None
) -> Trace:
    """Read files, directories, globs and `-` (stdin) into one trace on one time axis.

    Of a directory what can be read is read, and a note names each file that was left out.

    Raises:
        InputError: for the first input that cannot be read, or when nothing in a directory can.
    """
    options = options or LoadOptions()
    named = [i for i in inputs if os.fspath(i) != STDIN]
    traces = [_read_stdin(options, progress)] if len(named) < len(inputs) else []
    left_out: list[InputError] = []
    for path, in_folder in expand(named).items():
        try:
            traces.append(_read_one(path, options, progress))
        except InputError as error:
            if not in_folder:
                raise
            left_out.append(error)
    if left_out and not traces:
        raise left_out[0]
    from traceanalyzer.ingest.combine import combine

    return combine([*_with_notes(traces[:1], left_out), *traces[1:]])


def _with_notes(traces: Sequence[Trace], left_out: Sequence[InputError]) -> Iterator[Trace]:
    """The traces with a note for each file beside them that could not be read."""
    notes = tuple(
        Note("partial", say("{file}: {problem}; it was left out", file=e.path, problem=e.problem), e.remedy)
        for e in left_out
    )
    for trace in traces:
        first, *others = trace.sources
        yield replace(trace, sources=(replace(first, notes=(*first.notes, *notes)), *others))


def ingester_of(head: bytes, path: Path) -> Ingester | None:
    """The first ingester that knows a file by its inflated head; None when none does."""
    return next(_knowing(head, path, []), None)


def _knowing(head: bytes, path: Path, failures: list[Text]) -> Iterator[Ingester]:
    """Ours that know the file, then those of plugins; which plugins fail is added to `failures`."""
    for home in FORMATS:
        module, name = home.split(":")
        ours: Ingester = getattr(import_module(f"traceanalyzer.ingest.{module}"), name)()
        if ours.sniff(head, path):
            yield ours
    from importlib.metadata import entry_points

    for point in entry_points(group="traceanalyzer.ingesters"):
        try:
            theirs = point.load()()
            knows = theirs.sniff(head, path)
        except Exception as error:
            failures.append(say("The ingester plugin {name} failed: {error}.", name=point.name, error=error))
            continue
        if knows:
            yield _OfPlugin(point.name, theirs)


def expand(inputs: Sequence[str | Path]) -> dict[Path, bool]:
    """The files that the inputs name, in a stable order, each once; and whether only a directory names it.

    A directory stands for every file below it whose content is a supported format, or would be to go by its name if
    there were any.
    """
    files: dict[Path, bool] = {}
    for item in inputs:
        text = os.fspath(item)
        path = Path(text)
        if not path.exists() and glob.has_magic(text):
            matches = [Path(p) for p in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207 - absolute patterns too
            if not matches:
                raise InputError(text, say("matches no file"), say("Check the pattern."))
        else:
            matches = [path]
        for match in matches:
            for file in _below(match) if match.is_dir() else [match]:
                files[file] = match.is_dir() and files.get(file, True)
    return files


def _below(folder: Path) -> list[Path]:
    found = [p for p in sorted(folder.rglob("*")) if p.is_file() and _recognised(p)]
    if not found:
        raise InputError(
            folder,
            say("is a directory without a supported file"),
            SUPPORTED,
        )
    return found


def _recognised(path: Path) -> bool:
    try:
        head = read_head(path)
    except InputError:
        head = b""
    return ingester_of(head, path) is not None if head else not TRACE_NAMES.isdisjoint(path.suffixes)


def _read_one(path: Path, options: LoadOptions, progress: Progress | None) -> Trace:
    if path.is_fifo():
        with open_file(path) as stream:
            return _read_stream(stream, str(path), options, progress)
    head = read_head(path)
    if options.use_cache:
        from traceanalyzer.ingest import cache

        cached = cache.lookup(path)
        if cached is not None:
            return cached
    failures: list[Text] = []
    ingester = next(_knowing(head, path, failures), None)
    if ingester is None:
        if path.stat().st_size == 0:
            raise InputError(
                path, say("is empty"), say("Was the profiler stopped before it wrote? Record again.")
            )
        if known := mistaken_for_a_trace(head):
            raise InputError(path, *known)
        if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in {b"{", b"["}:
            raise InputError(
                path,
                say("is not of a known format"),
                join(" ", [SUPPORTED, *failures]),
            )
        ingester = ChromeTrace()
    trace = ingester.read(path, options, progress)
    if options.use_cache:
        from traceanalyzer.ingest import cache

        cache.store(path, trace.sources[0].sha256, trace)
    return trace


def _read_stdin(options: LoadOptions, progress: Progress | None) -> Trace:
    """What comes in; it is called `-` in the report."""
    return _read_stream(sys.stdin.buffer, STDIN, options, progress)


def _read_stream(stream: IO[bytes], name: str, options: LoadOptions, progress: Progress | None) -> Trace:
    """Read a pipe over a temporary file, since every reader needs to seek."""
    with tempfile.TemporaryDirectory(prefix="traceanalyzer-") as folder:
        file = Path(folder, "stdin")
        with file.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        try:
            trace = _read_one(file, replace(options, use_cache=False), progress)
        except InputError as error:
            raise InputError(name, error.problem, error.remedy, error.offset) from None
    return replace(trace, sources=(replace(trace.sources[0], path=name),))
