"""Progress by bytes read, for whoever wants to show it."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told what is being read. `advance` counts bytes of the file as it lies on disk."""

    def start(self, path: str, total_bytes: int | None) -> None:
        """A file is opened; `total_bytes` is None when its size is not known."""

    def advance(self, count: int) -> None:
        """`count` more bytes have been read."""

    def finish(self) -> None:
        """The file is read."""


class Silent:
    """Progress that nobody watches."""

    def start(self, path: str, total_bytes: int | None) -> None:
        """Nothing to show."""

    def advance(self, count: int) -> None:
        """Nothing to show."""

    def finish(self) -> None:
        """Nothing to show."""
