"""Files that are there whole or not at all: a full disk or an interrupted command leaves no half of a page."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.text import say

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(place: Path, content: bytes) -> None:
    """Write beside the place, then move there; a device or a pipe is written as it is.

    Raises:
        TraceAnalyzerError: it could not be written, and what was there before is still there.
    """
    try:
        target = place.resolve()
        if place.exists() and not target.is_file():
            place.write_bytes(content)
            return
        part = target.with_name(f".trace-analyze-{os.getpid()}.part")
        try:
            part.write_bytes(content)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        problem = os.strerror(error.errno) if error.errno else str(error)
        raise TraceAnalyzerError(
            say("{place}: {problem}. It was not written.", place=place, problem=problem)
        ) from None
