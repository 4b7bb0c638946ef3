"""What goes wrong in a way that the user can act on.

Every error here prints as one line that names the file, where in it, and the remedy; the command line turns
it into exit code 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class TraceAnalyzerError(Exception):
    """Base of all errors that are shown to the user as one line without a traceback."""


class InputError(TraceAnalyzerError):
    """A file that could not be read at all.

    Args:
        path: the file as the user named it.
        problem: what is wrong, without a full stop.
        remedy: what the user can do about it, as a sentence.
        offset: byte offset in the (inflated) content where the problem was met.
    """

    def __init__(self, path: Path | str, problem: str, remedy: str, offset: int | None = None) -> None:
        self.path, self.problem, self.remedy, self.offset = str(path), problem, remedy, offset
        where = "" if offset is None else f" at byte {offset}"
        super().__init__(f"{self.path}: {problem}{where}. {remedy}")


class UsageError(TraceAnalyzerError):
    """A request that does not fit the input, such as a step name that does not occur."""
