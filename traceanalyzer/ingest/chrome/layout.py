r"""Where the events are in a Chrome trace, whatever it was laid out with.

The file is never parsed as a whole. The top-level object is walked key by key until `traceEvents`; from there the
array is cut into chunks near a target size, at places that look like the seam between two events.

A cut is a guess, but a checked one: if a chunk begins at a true seam and `[chunk]` is valid JSON, then it also ends
at a true seam, because JSON's state after a valid prefix is determined. So by induction all cuts are true when all
chunks parse. When one does not (a name that imitates a seam, damage, the end of the array), `damage.py` takes over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK_BYTES = 256 << 10
"""Small enough for the events of one chunk, as Python objects, to stay in the processor's cache: measured twice as
fast as 4 MiB."""
MARGIN_BYTES = 64 << 10
"""What is read beyond a chunk to find the seam that ends it."""
MAX_EVENT_BYTES = 256 << 20
"""An event longer than this is taken for damage."""

SEAM = re.compile(rb'\}\s*,\s*(?=\{\s*"(?:ph|name|cat|pid|tid|ts|dur|args|id|s|bp)"\s*:)')
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+("?)|[{}\[\]]', re.DOTALL)
_KEY = re.compile(rb'\s*,?\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)"\s*:\s*', re.DOTALL)
_SCALAR = re.compile(rb"[^,}\]\s]+")
_BOM = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n\0"  # file systems leave zeros where a crash left nothing


@dataclass(slots=True)
class Chunk:
    """Whole events without the brackets around them.

    `offset` is the place in the inflated file; `gap` is the text between this chunk and the next (a comma and blanks).
    """

    index: int
    offset: int
    data: bytes
    last: bool
    gap: bytes = b""


@dataclass(slots=True)
class Layout:
    """What lies around the events: raw JSON values of the wanted header keys, and what was found odd."""

    header: dict[str, bytes] = field(default_factory=dict)
    found_events: bool = False
    bare_array: bool = False
    truncated: str | None = None


class NotJson(Exception):
    """The content is not a JSON object or array; `offset` says where that was seen."""

    def __init__(self, offset: int) -> None:
        self.offset = offset
        super().__init__(offset)


class Feed:
    """A buffer over the blocks: `data` starts at `offset` of the inflated file and grows by `more()`."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self.data, self.offset, self.ended = blocks, b"", 0, False
        self.broken: str | None = None

    def more(self, at_least: int = 1) -> bool:
        """Read on until `at_least` more bytes are here; False at the end of the file."""
        parts, got = [self.data], 0
        while got < at_least and not self.ended:
            try:
                block = next(self._blocks, None)
            except Exception as error:
                if type(error).__name__ != "Truncated":
                    raise
                self.broken, block = str(error) or "the compressed data ends early", None
            if block is None:
                self.ended = True
            else:
                parts.append(block)
                got += len(block)
        if got:
            self.data = b"".join(parts)
        return got > 0

    def drop(self, count: int) -> None:
        """Forget the first bytes."""
        self.data = self.data[count:]
        self.offset += count


def skip_value(data: bytes, start: int) -> int | None:
    """The end of the JSON value that starts at `start`, or None when the data ends before it does."""
    if start >= len(data):
        return None
    if data[start] not in b'{["':
        match = _SCALAR.match(data, start)
        return match.end() if match and match.end() < len(data) else None
    depth = 0
    for token in _TOKEN.finditer(data, start):
        first = data[token.start()]
        if first == 34:
            if not token[1]:
                return None
        elif first in b"{[":
            depth += 1
        else:
            depth -= 1
        if depth == 0:
            return token.end()
    return None


def chunks(blocks: Iterator[bytes], layout: Layout, wanted: Callable[[str], bool]) -> Iterator[Chunk]:
    """The events of a trace in chunks, in file order; `layout` is filled in on the way.

    Deterministic: every process that reads the same bytes gets the same chunks.

    Raises:
        NotJson: when the content does not start like JSON.
    """
    feed = Feed(blocks)
    _enter(feed, layout, wanted)
    index = start = 0
    while layout.found_events:
        cut = _next_cut(feed, start)
        if cut is None:
            yield Chunk(index, feed.offset + start, feed.data[start:], last=True)
            break
        end, following = cut
        yield Chunk(
            index, feed.offset + start, feed.data[start:end], last=False, gap=feed.data[end:following]
        )
        index, start = index + 1, following
        if len(feed.data) - start < CHUNK_BYTES:
            feed.drop(start)
            start = 0
            feed.more()
    layout.truncated = feed.broken


def seeking_chunks(
    file: IO[bytes], size: int, layout: Layout, wanted: Callable[[str], bool], owned: Callable[[int], bool]
) -> Iterator[Chunk]:
    """The owned chunks of a plain file, without reading the others.

    Chunk k reaches from the first seam at or behind byte `k * CHUNK_BYTES` to the first one at or behind the next
    multiple: every process finds the same bounds by itself.

    Raises:
        NotJson: when the content does not start like JSON.
    """
    feed = Feed(iter(lambda: file.read(MARGIN_BYTES), b""))
    _enter(feed, layout, wanted)
    if not layout.found_events:
        return
    first = feed.offset // CHUNK_BYTES
    for index in range(first, size // CHUNK_BYTES + 1):
        if owned(index):
            begin = feed.offset if index == first else index * CHUNK_BYTES
            chunk = _chunk_at(file, index, begin, size, at_seam=index == first)
            if chunk is not None:
                yield chunk


def _chunk_at(file: IO[bytes], index: int, begin: int, size: int, *, at_seam: bool) -> Chunk | None:
    """One chunk, or None when no event begins within it."""
    file.seek(begin)
    data = file.read((index + 1) * CHUNK_BYTES - begin + MARGIN_BYTES)
    start = 0
    boundary = (index + 1) * CHUNK_BYTES - begin
    if not at_seam:
        found, data = _seam_from(file, data, 0, begin, size)
        if found is None or found.start() >= boundary:
            return None
        start = found.end()
    found, data = _seam_from(file, data, boundary, begin, size)
    if found is None:
        return Chunk(index, begin + start, data[start:], last=True)
    return Chunk(index, begin + start, data[start : found.start() + 1], last=False)


def _seam_from(
    file: IO[bytes], data: bytes, at: int, begin: int, size: int
) -> tuple[re.Match[bytes] | None, bytes]:
    """The first seam at or behind a position; reads on where the data ends before it."""
    while True:
        found = SEAM.search(data, at)
        if found is not None or begin + len(data) >= size:
            return found, data
        data += file.read(max(len(data), MARGIN_BYTES))


def _next_cut(feed: Feed, start: int) -> tuple[int, int] | None:
    """(end of the event before the next seam, start of the one after); None when the rest holds no seam."""
    search_from = start + CHUNK_BYTES
    while True:
        match = SEAM.search(feed.data, search_from)
        if match is not None:
            return match.start() + 1, match.end()
        search_from = max(start + CHUNK_BYTES, len(feed.data) - 256)
        if len(feed.data) - start > MAX_EVENT_BYTES or not feed.more():
            return None


def _enter(feed: Feed, layout: Layout, wanted: Callable[[str], bool]) -> None:
    """Advance to the first event: past `[`, or past the header keys and `"traceEvents": [`."""
    feed.more(len(_BOM) + 1)
    while not feed.data.removeprefix(_BOM).lstrip() and feed.more():
        pass
    body = feed.data.removeprefix(_BOM).lstrip()
    feed.drop(len(feed.data) - len(body))
    if body[:1] == b"[":
        layout.bare_array = layout.found_events = True
        feed.drop(1)
    elif body[:1] == b"{":
        feed.drop(1)
        walk_header(feed, layout, wanted)
    else:
        raise NotJson(feed.offset)


def walk_header(feed: Feed, layout: Layout, wanted: Callable[[str], bool]) -> None:
    """Read top-level keys until the events begin or the object ends; keep the values that are wanted."""
    while True:
        match = _KEY.match(feed.data)
        if match is None or match.end() == len(feed.data):
            if not (feed.data[:4096].lstrip().startswith(b"}")) and feed.more(max(len(feed.data), 65536)):
                continue
            return
        key = match[1].decode("utf-8", "replace")
        if key == "traceEvents" and feed.data[match.end() : match.end() + 1] == b"[":
            layout.found_events = True
            feed.drop(match.end() + 1)
            return
        end = skip_value(feed.data, match.end())
        while end is None and feed.more(max(len(feed.data), 65536)):
            end = skip_value(feed.data, match.end())
        if end is None:
            return
        if wanted(key):
            layout.header[key] = feed.data[match.end() : end]
        feed.drop(end)


@dataclass(slots=True)
class Tail:
    """What lies behind the events: whether the document is closed, and where what does not belong there begins.

    `again` is a second list of `traceEvents`, `more` is what follows the document. Both are None without.
    """

    closed: bool = False
    again: int | None = None
    more: int | None = None


def walk_tail(data: bytes, layout: Layout, wanted: Callable[[str], bool]) -> Tail:
    """Read the header keys behind the events; `data` starts behind the closing bracket."""
    tail, feed = Tail(), Feed(iter(()))
    feed.data = data
    if not layout.bare_array:
        _walk_keys(feed, layout, wanted, tail)
    if layout.bare_array or feed.data.lstrip().startswith(b"}"):
        tail.closed = True
        feed.drop(0 if layout.bare_array else feed.data.index(b"}") + 1)
        rest = feed.data.lstrip(_BLANK)
        tail.more = len(data) - len(rest) if rest else None
    return tail


def _walk_keys(feed: Feed, layout: Layout, wanted: Callable[[str], bool], tail: Tail) -> None:
    """The header keys, past any further list of events."""
    while True:
        layout.found_events = False
        walk_header(feed, layout, wanted)
        again, layout.found_events = layout.found_events, True
        if not again:
            return
        feed.data, feed.offset = b"[" + feed.data, feed.offset - 1
        tail.again = feed.offset if tail.again is None else tail.again
        feed.drop(skip_value(feed.data, 0) or len(feed.data))


def events_end(data: bytes) -> tuple[list[tuple[int, int]], int | None, int]:
    """Walk the events in `data` exactly, from a true seam.

    Returns:
        The (start, end) of each whole element, the position of the array's closing bracket or None, and the
        position up to which everything is accounted for.
    """
    spans: list[tuple[int, int]] = []
    depth, start = 0, 0
    done = 0
    for token in _TOKEN.finditer(data):
        first = data[token.start()]
        if first == 34:
            if not token[1]:
                break
        elif first in b"{[":
            if depth == 0:
                start = token.start()
            depth += 1
        elif depth == 0:
            return (spans, token.start(), token.start()) if first == 93 else (spans, None, done)
        else:
            depth -= 1
            if depth == 0:
                done = token.end()
                spans.append((start, done))
    return spans, None, done
