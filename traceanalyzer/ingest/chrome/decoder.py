"""The decoder room: the text of many events → columns of text, grouped by the shape of the events.

No value is interpreted here: every field and argument stays the text it was (`msgspec.Raw`), so a timestamp never
passes through a float and a nested list costs nothing. Events with the same phase, category and argument names form
a `Group`; each of its columns is the values' JSON text joined with NUL bytes, which valid JSON cannot contain.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from msgspec import Raw

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

SEPARATOR = b"\x00"
_ABSENT = Raw(b"")
FLOW_PHASES = frozenset("stf")
FIELDS = ("name", "pid", "tid", "ts", "dur", "id")
"""The fields that become columns. `ph`, `cat` and `args` make the group; drawing hints (`bp`, `s`, `cname`) say nothing
about the run."""


class Event(msgspec.Struct, gc=False):
    """One Chrome trace event; every value is its JSON text, absent ones are empty."""

    ph: str = ""
    cat: str = ""
    name: Raw = _ABSENT
    pid: Raw = _ABSENT
    tid: Raw = _ABSENT
    ts: Raw = _ABSENT
    dur: Raw = _ABSENT
    id: Raw = _ABSENT
    args: dict[str, Raw] | None = None


class LooseEvent(msgspec.Struct, gc=False):
    """An event whose fields have unexpected types."""

    ph: Raw = _ABSENT
    cat: Raw = _ABSENT
    name: Raw = _ABSENT
    pid: Raw = _ABSENT
    tid: Raw = _ABSENT
    ts: Raw = _ABSENT
    dur: Raw = _ABSENT
    id: Raw = _ABSENT
    args: Raw = _ABSENT


@dataclass(slots=True)
class Group:
    """Events of one shape. `fields` and `args` map names to NUL-joined JSON texts of `rows` values each.

    `order` holds each event's position in the file, for a stable sort.
    """

    phase: str
    category: str
    rows: int
    order: NDArray[np.int64]
    fields: dict[str, bytes]
    args: dict[str, bytes]


_decode = msgspec.json.Decoder(list[Event]).decode
_decode_loose = msgspec.json.Decoder(LooseEvent).decode
MANY_SHAPES = 100
"""Shapes in one chunk above which the order of the args is taken to mean nothing; real traces have about 20."""
NAMED_PHASES = frozenset({"M", "i", "I"})
"""Phases whose events differ by name in what they mean; the name is part of the group."""


def decode(data: bytes) -> list[Event]:
    """Decode whole events (without the array's brackets).

    Raises:
        msgspec.DecodeError: when `[data]` is not valid JSON or UTF-8, or nested beyond reason.
        msgspec.ValidationError: when an event's fields have unexpected types; what follows it was not looked at.
    """
    try:
        return _decode(b"[" + data + b"]")
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def decode_loosely(element: bytes) -> Event | None:
    """Decode one element of any type; None when it is not an object.

    Raises:
        msgspec.DecodeError: when it is not valid JSON or UTF-8, or nested beyond reason.
    """
    try:
        return _loose_event(element)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from None


def _loose_event(element: bytes) -> Event | None:
    try:
        loose = _decode_loose(element)
    except msgspec.ValidationError:
        return None
    fields = {name: getattr(loose, name) for name in FIELDS}
    args: dict[str, Raw] | None = None
    text = bytes(loose.args)
    if text.startswith(b"{"):
        args = msgspec.json.decode(text, type=dict[str, Raw])
    elif text and text != b"null":
        args = {"args": loose.args}
    return Event(ph=_text(loose.ph), cat=_text(loose.cat), args=args, **fields)


def _text(raw: Raw) -> str:
    value = bytes(raw)
    if not value:
        return ""
    decoded = msgspec.json.decode(value)
    return decoded if isinstance(decoded, str) else value.decode()


def group(events: Sequence[Event], first: int) -> Iterable[Group]:
    """Group events by shape, keeping their order; the event at index i has position `first + i`."""
    by_shape = _by_shape(events)
    if len(by_shape) > MANY_SHAPES:  # args in ever new orders: one order for all
        for event in events:
            event.args = event.args and dict(sorted(event.args.items()))
        by_shape = _by_shape(events)
    for (phase, category, *keys), members in by_shape.items():
        if phase in NAMED_PHASES:
            by_name: dict[bytes, list[int]] = defaultdict(list)
            for index in members:
                by_name[bytes(events[index].name)].append(index)
            for same_name in by_name.values():
                yield _columns(events, phase, category, keys, same_name, first)
        else:
            yield _columns(events, phase, category, keys, members, first)


def _by_shape(events: Sequence[Event]) -> dict[tuple[str, ...], list[int]]:
    by_shape: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for index, event in enumerate(events):
        args = event.args
        by_shape[(event.ph, event.cat, *args) if args else (event.ph, event.cat)].append(index)
    return by_shape


def _columns(
    events: Sequence[Event], phase: str, category: str, keys: list[str], members: list[int], first: int
) -> Group:
    rows = [events[i] for i in members]
    # spelled out, not looped over: attribute access in place is what makes this fast
    fields = {
        "name": SEPARATOR.join([e.name for e in rows]),
        "pid": SEPARATOR.join([e.pid for e in rows]),
        "tid": SEPARATOR.join([e.tid for e in rows]),
        "ts": SEPARATOR.join([e.ts for e in rows]),
    }
    if phase not in FLOW_PHASES:
        fields["dur"] = SEPARATOR.join([e.dur for e in rows])
    if phase != "X":
        fields["id"] = SEPARATOR.join([e.id for e in rows])
    args: dict[str, bytes] = {}
    if keys:
        flat = list(chain.from_iterable([e.args.values() for e in rows if e.args]))
        args = {key: SEPARATOR.join(flat[i :: len(keys)]) for i, key in enumerate(keys)}
    return Group(phase, category, len(rows), np.asarray(members, np.int64) + first, fields, args)
