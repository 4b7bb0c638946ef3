"""What goes wrong in a way that the user can act on.

Every error here prints as one line that names the file, where in it, and the remedy; the command line turns
it into exit code 2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.text import Text, said, say

if TYPE_CHECKING:
    from pathlib import Path


class TraceAnalyzerError(Exception):
    """Base of all errors that are shown to the user as one line without a traceback."""

    @property
    def message(self) -> Text:
        """The line, which can be said in another language where it was made with `say`."""
        return said(self.args[0] if self.args and isinstance(self.args[0], Text) else str(self))


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
        where = "" if offset is None else say(" at byte {offset}", offset=offset)
        super().__init__(
            say(
                "{path}: {problem}{where}. {remedy}",
                path=self.path,
                problem=problem,
                where=where,
                remedy=remedy,
            )
        )


class UsageError(TraceAnalyzerError):
    """A request that does not fit the input, such as a step name that does not occur."""
