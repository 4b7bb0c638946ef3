"""Progress on a terminal: one line on stderr, by bytes of the file."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TextIO

from traceanalyzer.languages import spoken
from traceanalyzer.text import say

_REDRAW_S = 0.1


class TerminalProgress:
    """Redraws one line at most ten times a second and wipes it when the file is read."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._name, self._total, self._done, self._drawn_s = "", 0, 0, 0.0

    def start(self, path: str, total_bytes: int | None) -> None:
        """A file is opened."""
        name = "".join(c if c.isprintable() else "?" for c in Path(path).name)
        self._name, self._total, self._done = name, total_bytes or 0, 0

    def advance(self, count: int) -> None:
        """`count` more bytes have been read."""
        self._done += count
        now = time.monotonic()
        if now - self._drawn_s < _REDRAW_S:
            return
        self._drawn_s = now
        share = f" {100 * self._done // self._total:3d} %" if self._total else ""
        reading = spoken(say("Reading {name}", name=self._name))
        self._stream.write(f"\r\x1b[K{reading}{share}  {self._done / 2**20:,.0f} MiB")
        self._stream.flush()

    def finish(self) -> None:
        """The file is read."""
        self._stream.write("\r\x1b[K")
        self._stream.flush()


def for_terminal() -> TerminalProgress | None:
    """Progress where somebody watches; None when stderr goes to a file or a pipe."""
    return TerminalProgress(sys.stderr) if sys.stderr.isatty() else None
