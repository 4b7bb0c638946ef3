"""The source room: a file's bytes, inflated, in blocks, within limits.

Compression is told from the first bytes, never from the name.
"""

from __future__ import annotations

import hashlib
import zlib
from typing import IO, TYPE_CHECKING, Literal

from traceanalyzer.errors import InputError
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from traceanalyzer.ingest.options import LoadOptions

BLOCK_BYTES = 4 << 20
RATIO_FREE_BYTES = 64 << 20
"""Below this inflated size the ratio is not looked at: small files may well be a thousand times one line."""

Compression = Literal["plain", "gzip", "zstd"]


class Truncated(Exception):
    """The compressed stream ended early or broke; what came before it is good."""


def compression_of(head: bytes) -> Compression:
    """The compression that the first bytes of a file tell."""
    if head.startswith(b"\x1f\x8b"):
        return "gzip"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zstd"
    return "plain"


def open_file(path: Path) -> IO[bytes]:
    """Open a file for reading, or say in one line why that cannot be.

    Raises:
        InputError: when the path is missing, a directory, not a regular file or not readable.
    """
    try:
        if path.is_dir():
            raise InputError(path, say("is a directory without a supported file"), say("Name a trace file."))
        return path.open("rb")
    except FileNotFoundError:
        raise InputError(path, say("no such file"), say("Check the path.")) from None
    except PermissionError:
        raise InputError(
            path, say("permission denied"), say("Make the file readable for this user.")
        ) from None
    except OSError as error:
        raise InputError(path, error.strerror or str(error), say("Check the file system.")) from None


def read_head(path: Path, count: int = 65536) -> bytes:
    """The first inflated bytes of a file, for telling its format.

    Raises:
        InputError: when the file cannot be opened, or is compressed and nothing of it can be inflated.
    """
    with open_file(path) as file:
        raw = file.read(count)
    try:
        head = _inflated_head(raw, count)
    except Exception as error:  # zlib and zstandard have error types of their own
        raise InputError(
            path, say("broken compression ({error})", error=error), say("Copy or download the file again.")
        ) from None
    if raw and not head:
        raise InputError(
            path, say("broken compression (ends early)"), say("Copy or download the file again.")
        )
    return head


def _inflated_head(raw: bytes, count: int) -> bytes:
    match compression_of(raw):
        case "gzip":
            return zlib.decompressobj(31).decompress(raw, count)
        case "zstd":
            import zstandard

            return zstandard.ZstdDecompressor().stream_reader(raw).read(count)
        case "plain":
            return raw


def sha256_of(path: Path) -> str:
    """The hash of a file's bytes as they lie on disk: the identity of a source."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _gunzip(file: IO[bytes]) -> Iterator[bytes]:
    """All members of a gzip file in blocks; what was inflated before a break comes before the error."""
    from isal import isal_zlib

    member = isal_zlib.decompressobj(31)
    pending, started = b"", False
    while True:
        raw = pending or file.read(BLOCK_BYTES // 4)
        if not raw:
            if started and not member.eof:
                raise Truncated("the gzip stream ends early")
            return
        if member.eof:
            member, started = isal_zlib.decompressobj(31), False
            raw = raw.lstrip(b"\x00")  # padding between members is legal
            if not raw:
                return
        try:
            block = member.decompress(raw, BLOCK_BYTES)
        except Exception as error:  # isal_zlib.error, which type checkers do not know
            raise Truncated(str(error)) from None
        started = True
        pending = member.unused_data if member.eof else member.unconsumed_tail
        if block:
            yield block


def _unzstd(file: IO[bytes]) -> Iterator[bytes]:
    import zstandard

    reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True, closefd=False)
    while True:
        try:
            block = reader.read(BLOCK_BYTES)
        except zstandard.ZstdError as error:
            raise Truncated(str(error)) from None
        if not block:
            return
        yield block


def _plain(file: IO[bytes]) -> Iterator[bytes]:
    while block := file.read(BLOCK_BYTES):
        yield block


_READERS = {"plain": _plain, "gzip": _gunzip, "zstd": _unzstd}


def blocks(path: Path, options: LoadOptions, advance: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """The inflated content in blocks of at most 4 MiB.

    Args:
        path: the file.
        options: limits on what it may inflate to.
        advance: told how many bytes of the file on disk each block took.

    Raises:
        InputError: when a limit is passed, or the file cannot be read on.
        Truncated: after the last good block, when the compressed stream is cut or broken.
    """
    with open_file(path) as file:
        compression = compression_of(file.read(4))
        file.seek(0)
        inflated = consumed = 0
        try:
            for block in _READERS[compression](file):
                inflated += len(block)
                position = file.tell()
                if advance is not None:
                    advance(position - consumed)
                consumed = position
                if compression != "plain":
                    _check_limits(path, options, inflated, max(position, 1))
                yield block
        except OSError as error:
            raise InputError(
                path, error.strerror or str(error), say("Check the disk or the mount."), inflated
            ) from None


def _check_limits(path: Path, options: LoadOptions, inflated: int, compressed: int) -> None:
    if inflated > options.max_inflated_bytes:
        raise InputError(
            path,
            say("inflates to more than {bytes} bytes", bytes=options.max_inflated_bytes),
            say("If you trust the file, raise the limit with --max-inflated-bytes."),
            inflated,
        )
    if inflated > RATIO_FREE_BYTES and inflated > options.max_ratio * compressed:
        raise InputError(
            path,
            say(
                "inflates to more than {ratio:g} times its size, which no real trace does",
                ratio=options.max_ratio,
            ),
            say("If you trust the file, raise the limit with --max-ratio."),
            inflated,
        )
