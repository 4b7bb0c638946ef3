"""The other processes that read a large file together with this one.

They start before this process has loaded what it reads with itself, so that all load at the same time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from traceanalyzer.ingest.source import compression_of
from traceanalyzer.own_process import worker_command

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from traceanalyzer.ingest.options import LoadOptions

PARALLEL_BYTES = {"plain": 24 << 20, "gzip": 2 << 20, "zstd": 2 << 20}
"""Smaller files are read in one process: another one costs about half a second to start."""


@dataclass(frozen=True, slots=True)
class Crew:
    """Running workers by the folder that each leaves its share in; `common` is where chunks are claimed."""

    common: Path
    workers: Mapping[Path, subprocess.Popen[bytes]]

    def wait(self) -> bool:
        """Whether all of them finished their share."""
        return all(worker.wait() == 0 for worker in self.workers.values())

    def stop(self) -> None:
        """End those that still run."""
        for worker in self.workers.values():
            worker.kill()
            worker.wait()


@contextmanager
def crew_for(path: Path, options: LoadOptions) -> Iterator[Crew | None]:
    """The workers that a file is worth; None when this process reads it alone."""
    count = _processes(path, options)
    if count == 1:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="traceanalyzer-", ignore_cleanup_errors=True) as name:
        common = Path(name)
        workers: dict[Path, subprocess.Popen[bytes]] = {}
        crew = Crew(common, workers)
        try:
            for own in (common / f"worker-{i}" for i in range(1, count)):
                workers[own] = _start(path, common, own, options)
            yield crew
        finally:
            crew.stop()


def _processes(path: Path, options: LoadOptions) -> int:
    with path.open("rb") as file:
        compression = compression_of(file.read(4))
    if path.stat().st_size < PARALLEL_BYTES[compression] or not sys.executable:
        return 1
    return options.workers or min(os.cpu_count() or 1, 4)


def _start(path: Path, common: Path, own: Path, options: LoadOptions) -> subprocess.Popen[bytes]:
    own.mkdir()
    told = json.dumps(asdict(options))
    command = worker_command("traceanalyzer.ingest.chrome.worker", str(path), str(common), str(own), told)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
