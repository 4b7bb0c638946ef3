"""The ingester of Chrome traces. What it reads with is loaded when it reads, beside its workers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.chrome.crew import crew_for
from traceanalyzer.ingest.collector import no_collection
from traceanalyzer.ingest.progress import Progress, Silent
from traceanalyzer.text import say

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.model.trace import Trace

_SNAPSHOT_KEYS = (b'"segments"', b'"device_traces"', b'"total_size"')


class ChromeTrace:
    """Ingester of torch.profiler traces and other Chrome trace files."""

    name = "chrome"

    def sniff(self, head: bytes, path: Path) -> bool:  # noqa: ARG002
        """Whether the inflated head begins a JSON object or array and names the keys of trace events."""
        if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in {b"{", b"["}:
            return False
        if b'"traceEvents"' in head:
            return True
        return b'"ph"' in head and not any(key in head for key in _SNAPSHOT_KEYS)

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:
        """Read one file.

        Raises:
            InputError: when nothing can be read of it, with the offset and the remedy.
        """
        progress = progress or Silent()
        size = path.stat().st_size
        if size == 0:
            raise InputError(
                path, say("is empty"), say("Was the profiler stopped before it wrote? Record again."), 0
            )
        progress.start(str(path), size)
        with crew_for(path, options) as crew, no_collection():
            from traceanalyzer.ingest.chrome.read import read_trace

            trace = read_trace(path, options, crew, progress.advance)
        progress.finish()
        return trace
