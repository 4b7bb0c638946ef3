"""Events out of text that is not valid JSON: what can be mended is mended, what cannot is counted.

Three steps, each only when the one before did not do: mend the spelling (bad escapes, control characters, NaN, quotes),
walk the events exactly and drop single broken ones, and after a break look for the next seam.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from traceanalyzer.ingest.chrome import layout as layout_room
from traceanalyzer.ingest.chrome.decoder import Event, decode, decode_loosely
from traceanalyzer.ingest.chrome.layout import SEAM, Chunk, Layout, events_end, walk_tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STRING = re.compile(rb'("[^"\\]*+(?:\\.[^"\\]*+)*+")|(-?\b(?:[Nn]a[Nn]|Infinity|[Ii]nf)\b)', re.DOTALL)
_ESCAPE = re.compile(
    rb'\\(?:["\\/bfnrt]|u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})'
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|(\\)",
    re.DOTALL,
)
_NAME = re.compile(rb'("name"\s*:\s*")((?:[^"\\\n]|\\.|"(?!\s*[,}]))*+)(?="\s*[,}])')
_QUOTE = re.compile(rb'(\\.)|"')
_CONTROL = re.compile(rb"[\x00-\x1f]")
MAX_CARRY_BYTES = 32 << 20
"""An event that is not complete after this many bytes is broken, not long."""


class Broken(Exception):
    """A chunk from the middle that is not valid JSON: the cuts can no longer be trusted."""


@dataclass(slots=True)
class Damage:
    """What was wrong, for the notes: counts, and the first offset of each kind in the inflated file."""

    mended: int = 0
    mended_at: int | None = None
    dropped_events: int = 0
    dropped_bytes: int = 0
    dropped_at: int | None = None
    not_objects: int = 0
    truncated_at: int | None = None
    again_at: int | None = None
    more_at: int | None = None
    more_bytes: int = 0
    more_json: bool = False

    def drop(self, offset: int, length: int) -> None:
        """Count one stretch that could not be read."""
        self.dropped_events += 1
        self.dropped_bytes += length
        self.dropped_at = offset if self.dropped_at is None else self.dropped_at


def mend(data: bytes) -> bytes:
    """The same text in legal UTF-8 with legal escapes, without raw control characters, NaN and infinities (→ null).

    Kineto does not escape quotes in the names of Python functions: a name ends where a quote ends a value.
    """
    data = data.decode("utf-8", "replace").encode()
    data = _NAME.sub(lambda m: m[1] + _QUOTE.sub(lambda q: q[1] or b'\\"', m[2]), data)
    return _STRING.sub(_mend_token, data)


def _mend_token(match: re.Match[bytes]) -> bytes:
    string = match[1]
    if string is None:
        return b"null"
    if b"\\" in string:
        string = _ESCAPE.sub(lambda m: b"\\ufffd" if m[1] else b"\\\\" if m[2] else m[0], string)
    if _CONTROL.search(string):
        string = _CONTROL.sub(lambda m: b"\\u%04x" % m[0][0], string)
    return string


def events_of(chunk: Chunk, damage: Damage) -> list[Event]:
    """The events of a chunk from the middle of the array.

    Raises:
        Broken: when neither the text nor the mended text is whole events.
    """
    events = _whole(chunk.data, damage)
    if events is None:
        events = _whole(mend(chunk.data), damage)
        if events is None:
            raise Broken
        _count_mended(damage, chunk.offset)
    return events


def _whole(data: bytes, damage: Damage) -> list[Event] | None:
    """All events of valid JSON, also those whose fields have unexpected types; None when it is not valid."""
    try:
        return decode(data)
    except msgspec.ValidationError:
        pass
    except msgspec.DecodeError:
        return None
    try:
        elements = msgspec.json.decode(b"[" + data + b"]", type=list[msgspec.Raw])
        found = [decode_loosely(bytes(element)) for element in elements]
    except (msgspec.DecodeError, RecursionError):
        return None
    events = [event for event in found if event is not None]
    damage.not_objects += len(found) - len(events)
    return events


def _count_mended(damage: Damage, offset: int) -> None:
    damage.mended += 1
    damage.mended_at = offset if damage.mended_at is None else damage.mended_at


def tail_events(chunk: Chunk, layout: Layout, damage: Damage, wanted: Callable[[str], bool]) -> list[Event]:
    """The events of the last chunk, and the header keys behind the array's end."""
    data = chunk.data
    _, end, done = events_end(data)
    if end is None and not _ends_early(data, done):
        mended = mend(data)
        if mended != data:
            _count_mended(damage, chunk.offset)
            data = mended
            _, end, done = events_end(data)
    if end is not None:
        _behind(data, end + 1, chunk.offset, damage, layout, wanted)
        body = data[:end]
    else:
        body = data[:done]
    try:
        events = events_of(Chunk(chunk.index, chunk.offset, body, last=False), damage)
    except Broken:
        return _resync(data if end is None else data[: end + 1], chunk.offset, damage, layout, wanted)
    if end is None:
        if _ends_early(data, done):
            damage.truncated_at = chunk.offset + len(data)
        else:
            events += _resync(data[done:], chunk.offset + done, damage, layout, wanted)
    return events


def _behind(
    data: bytes, end: int, offset: int, damage: Damage, layout: Layout, wanted: Callable[[str], bool]
) -> None:
    """Read what lies behind the events, from `end` on, and tell what does not belong there."""
    tail = walk_tail(data[end:], layout, wanted)
    if not tail.closed:
        damage.truncated_at = offset + len(data)
    if tail.again is not None:
        damage.again_at = offset + end + tail.again
    if tail.more is not None:
        damage.more_at, damage.more_bytes = offset + end + tail.more, len(data) - end - tail.more
        damage.more_json = data[end + tail.more : end + tail.more + 1] in (b"{", b"[")


def _ends_early(data: bytes, done: int) -> bool:
    """Whether what follows the last whole event is just one that was cut off."""
    rest = data[done:]
    return SEAM.search(rest) is None


def _resync(
    data: bytes, offset: int, damage: Damage, layout: Layout, wanted: Callable[[str], bool]
) -> list[Event]:
    """After a break: take every piece between two seams that is an event by itself, count the rest."""
    events: list[Event] = []
    starts = [0] + [m.end() for m in SEAM.finditer(data)]
    ends = [m.start() + 1 for m in SEAM.finditer(data)] + [len(data)]
    for position, (start, stop) in enumerate(zip(starts, ends, strict=True)):
        piece = data[start:stop]
        if position == len(starts) - 1:
            spans, end, done = events_end(piece)
            if end is not None and spans:
                walk_tail(piece[end + 1 :], layout, wanted)
                piece = piece[: spans[-1][1]]
            elif end is None and done == 0:
                damage.truncated_at = offset + stop
                continue
        found = _piece(piece, damage)
        if found is None:
            damage.drop(offset + start, stop - start)
        else:
            events.extend(found)
    return events


def _piece(piece: bytes, damage: Damage) -> list[Event] | None:
    for text in (piece, mend(piece)):
        events = _whole(text.strip().strip(b","), damage)
        if events is not None:
            return events
    # garbage before an event hides its start from the seam: take the event from its first brace on
    brace = re.search(rb'\{\s*"(?:ph|name|cat)"\s*:', piece)
    if brace is not None and brace.start() > 0:
        return _piece(piece[brace.start() :], damage)
    return None


def salvage(
    blocks: Iterator[bytes], layout: Layout, damage: Damage, wanted: Callable[[str], bool]
) -> Iterator[tuple[int, list[Event]]]:
    """Read a damaged trace from the start, chunk by chunk, trusting no cut.

    Yields (offset, events). Used when a chunk from the middle is broken.
    """
    carry, carry_offset = b"", 0
    stream = layout_room.chunks(blocks, layout, wanted)
    for chunk in stream:
        data, offset = carry + chunk.data, carry_offset if carry else chunk.offset
        carry = b""
        joined = Chunk(chunk.index, offset, data, chunk.last)
        if chunk.last:
            yield offset, tail_events(joined, layout, damage, wanted)
            return
        try:
            yield offset, events_of(joined, damage)
            continue
        except Broken:
            spans, end, done = events_end(data)
        if end is not None and (spans or chunk.index == 0) and _closes(data[end + 1 :], layout):
            yield offset, _last_events(joined, chunk.gap, stream, layout, damage, wanted)
            return
        try:
            whole = events_of(Chunk(chunk.index, offset, data[:done], last=False), damage)
        except Broken:
            whole = None
        if whole is not None and end is None and len(data) - done < MAX_CARRY_BYTES:
            carry, carry_offset = data[done:].lstrip(b", \t\r\n") + chunk.gap, offset + done
            yield offset, whole
        else:
            yield offset, _resync(data, offset, damage, Layout(), lambda _: False)


def _last_events(
    chunk: Chunk,
    gap: bytes,
    following: Iterator[Chunk],
    layout: Layout,
    damage: Damage,
    wanted: Callable[[str], bool],
) -> list[Event]:
    """The events of a chunk in which they end, and what lies behind them: read as far as that can be header keys."""
    behind, beyond = [gap], 0
    for other in following:
        if sum(map(len, behind)) < MAX_CARRY_BYTES:
            behind += [other.data, other.gap]
        else:
            beyond += len(other.data) + len(other.gap)
    chunk.data += b"".join(behind)
    events = tail_events(chunk, layout, damage, wanted)
    if beyond:
        damage.truncated_at = None
        damage.more_bytes += beyond if damage.more_at is not None else 0
    return events


def _closes(rest: bytes, layout: Layout) -> bool:
    """Whether what follows a closing bracket looks like the end of the events, not like damage."""
    end = rb"$|[\[{]" if layout.bare_array else rb'$|\}|,\s*"'
    return re.match(rb"\s*(?:" + end + rb")", rest) is not None
