"""The traces below TensorBoard's log directories: found again and again, and never one from elsewhere."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from traceanalyzer.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

RESCAN_S = 4.0
FIRST_LOOK_S = 1.0  # how long TensorBoard's start may wait for the first scan
_EVENT_FILES = "events.out.tfevents"  # TensorBoard's own: many, large, never ours
_OURS_BY_NAME = (".pt.trace.json", ".pt.trace.json.gz", ".pt.trace.json.zst")


@dataclass(frozen=True, slots=True)
class Root:
    """A directory that TensorBoard was started with; `name` is empty unless it was given one."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells that a file is still what it was."""

    bytes: int
    modified_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Found:
    """A trace: `run` is its folder as TensorBoard names runs, `file` its name therein."""

    run: str
    file: str
    path: Path  # real: free of links
    stamp: Stamp


def roots_of(logdir: str | None, logdir_spec: str | None) -> tuple[Root, ...]:
    """The directories behind `--logdir` and `--logdir_spec` (`name:path,path`); what is not local is left out."""
    named = [("", logdir)] if logdir else []
    for item in (logdir_spec or "").split(","):
        name, colon, path = item.partition(":")
        is_name = bool(colon) and not item.startswith("/") and not path.startswith("//")
        named.append((name, path) if is_name else ("", item))
    places = [(name, Path(os.path.realpath(os.path.expanduser(path)))) for name, path in named if path]  # noqa: PTH111
    return tuple(Root(name, path) for name, path in places)


class Logdir:
    """The index of traces, renewed in the background while somebody asks."""

    def __init__(self, roots: Sequence[Root]) -> None:
        self._roots = tuple(roots)
        self._lock = threading.Lock()
        self._index: Mapping[tuple[str, str], Found] = {}
        self._known: dict[Path, tuple[Stamp, bool]] = {}  # whether it is a trace; the scanning thread's alone
        self._scanned_s = -RESCAN_S
        self._scan: threading.Thread | None = None

    def has_any(self) -> bool:
        """Whether a trace is known, after at most `FIRST_LOOK_S`."""
        return bool(self.files())

    def files(self) -> list[Found]:
        """All that the last scan found, by run and file; a new scan begins when that one is old."""
        with self._lock:
            if self._scan is None and time.monotonic() - self._scanned_s >= RESCAN_S:
                self._scan = threading.Thread(target=self._rescan, name="traceanalyzer-scan", daemon=True)
                self._scan.start()
            scan, index = self._scan, self._index
        if scan is not None and not index:
            scan.join(FIRST_LOOK_S)
            index = self._index
        return [index[key] for key in sorted(index)]

    def find(self, run: str, file: str) -> Found | None:
        """The file that a request names, if it was found by a scan and still lies inside the log directory."""
        found = self._index.get((run, file))
        if found is None or Path(os.path.realpath(found.path)) != found.path:
            return None
        try:
            return Found(found.run, found.file, found.path, _stamp(found.path.stat()))
        except OSError:
            return None

    def _rescan(self) -> None:
        index: dict[tuple[str, str], Found] = {}
        for root in self._roots:
            for found in self._below(root):
                index.setdefault((found.run, found.file), found)
        with self._lock:
            self._index = index
            self._scanned_s = time.monotonic()
            self._scan = None

    def _below(self, root: Root) -> Iterator[Found]:
        for folder, _, names in os.walk(root.path):  # links to folders are not followed
            below = Path(folder).relative_to(root.path).as_posix()
            run = "/".join(part for part in (root.name, below if below != "." else "") if part) or "."
            for name in names:
                if _EVENT_FILES in name:
                    continue
                path = Path(os.path.realpath(Path(folder, name)))
                if any(path.is_relative_to(r.path) for r in self._roots):
                    yield from self._looked_at(run, name, path)

    def _looked_at(self, run: str, name: str, path: Path) -> Iterator[Found]:
        try:
            stamp = _stamp(path.stat())
        except OSError:
            return
        stamped, ours = self._known.get(path, (None, False))
        if stamped != stamp:
            ours = path.is_file() and (name.endswith(_OURS_BY_NAME) or _is_trace(path))
            self._known[path] = (stamp, ours)
        if ours:
            yield Found(run, name, path, stamp)


def _is_trace(path: Path) -> bool:
    from traceanalyzer.ingest.inputs import ingester_of
    from traceanalyzer.ingest.source import read_head

    try:
        head = read_head(path)
    except InputError:
        return False
    try:
        return ingester_of(head, path) is not None
    except Exception:  # a plugin's ingester that fails on one file must not end the scan
        return False


def _stamp(status: os.stat_result) -> Stamp:
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)
