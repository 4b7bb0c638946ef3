"""Links from `file.py:57` of a trace to the reader's own copy of the source, in an editor or on a code host.

A trace names files as the machine that recorded it had them, and is not trusted: a link only ever leads below the
reader's own root, or to the reader's own address, and the path in it is quoted.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from traceanalyzer.errors import UsageError
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT_VARIABLE, URL_VARIABLE = "TRACEANALYZER_SOURCE_ROOT", "TRACEANALYZER_SOURCE_URL"
EDITOR = "vscode://file{path}:{line}"
SCHEMES = ("http", "https", "vscode")
_SUFFIX = r"\.(?:py|pyx|cpp|cc|cu|cuh|h)"
_WHOLE = re.compile(rf"(?P<path>[^\n]{{1,1000}}{_SUFFIX}):(?P<line>\d{{1,9}})")
_WITHIN = re.compile(
    rf"(?P<path>[^\s:()'\"<>|`]{{1,1000}}?{_SUFFIX})(?::(?P<line>\d{{1,9}})|\((?P<inner>\d{{1,9}})\))"
)


@dataclass(frozen=True, slots=True)
class SourceLinks:
    """Where sources are: below `root` on this machine, at `template` with {path} and {line} to look at."""

    template: str
    root: Path | None

    def href(self, location: str) -> str | None:
        """The link of a location `FILE:LINE`; None for anything else, and for files that are not the reader's."""
        found = _WHOLE.fullmatch(location)
        return self._link(found["path"], found["line"]) if found else None

    def within(self, text: str) -> Iterator[tuple[str, str | None]]:
        """A text in pieces, each with the link of the location `FILE:LINE` or `FILE(LINE)` that it is, or None."""
        at = 0
        for found in _WITHIN.finditer(text):
            if link := self._link(found["path"], found["line"] or found["inner"]):
                yield from ((text[at : found.start()], None), (found[0], link))
                at = found.end()
        yield text[at:], None

    def _link(self, path: str, line: str) -> str | None:
        place = _place(self.root, path, local=self.template.startswith("vscode:"))
        return place and self.template.replace("{path}", quote(place)).replace("{line}", line)


def source_links(root: str | Path | None, url: str | None) -> SourceLinks | None:
    """Links into a folder, to an address, or into a folder as an address shows it; None with neither.

    Raises:
        UsageError: the folder is none, or the address has another scheme than these or no {path}.
    """
    if not root and not url:
        return None
    folder = Path(root).resolve() if root else None
    if folder is not None and not folder.is_dir():
        raise UsageError(
            say(
                "{folder}: no such folder. --source-root names the folder that holds your sources.",
                folder=root,
            )
        )
    scheme, colon, _ = (url or EDITOR).partition(":")
    if not colon or scheme not in SCHEMES or "{path}" not in (url or EDITOR):
        raise UsageError(
            say(
                "--source-url begins with http:, https: or vscode: and holds {path}, as in "
                "https://github.com/ORG/REPOSITORY/blob/COMMIT/{path}#L{line}."
            )
        )
    return SourceLinks(url or EDITOR, folder)


def from_environment() -> SourceLinks | None:
    """The links that the environment asks for, where no command line does: in TensorBoard."""
    return source_links(os.environ.get(ROOT_VARIABLE), os.environ.get(URL_VARIABLE))


@lru_cache(maxsize=4096)
def _place(root: Path | None, path: str, *, local: bool) -> str | None:
    """The path for a link: below the root, or absolute for an editor; None where there is none."""
    parts = PurePosixPath(path.replace("\\", "/")).parts
    if ".." in parts:
        return None
    if root is None:  # `//host/share` would be somebody else's machine
        return path if path.startswith("/") == local and not path.startswith("//") else None
    below = [part for part in parts if part not in ("/", ".") and not part.endswith(":")]
    for i in range(len(below)):  # the longest end of the recorded path that is there
        if os.path.isfile(root / Path(*below[i:])):  # noqa: PTH113 - Path.is_file() raises on a name that is too long
            return f"/{(root / Path(*below[i:])).as_posix().lstrip('/')}" if local else "/".join(below[i:])
    return None
