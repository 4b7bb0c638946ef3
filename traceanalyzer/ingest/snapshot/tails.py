"""What an entry of a pickled snapshot says after its numbers: compiled graph, pool and call stack, read from opcodes.

Only the opcodes that torch writes there are read: references to objects that were numbered before, numbers, None,
short texts, pairs of numbers, and a list of references to frames. Whatever else there is, is left to the unpickler.
"""

from __future__ import annotations

import numpy as np

REFERENCES = {b"h": 1, b"j": 4}  # opcode: bytes of the number that follows
NUMBERS = {b"K": 1, b"M": 2, b"J": 4}
LONG, TEXT, PAIR, NOTHING = (
    0x8A,
    0x8C,
    b"\x86",
    ord("N"),
)  # LONG and TEXT are followed by their length in a byte
NUMBERED, DROP, END = b"\x94", b"0", b"u"
NUMBERED_NONE = b"N\x940"
LIST = b"]\x94"
HEAD = ("addr", "size", "stream", "time_us", "device_free")
MAX_TAILS = 1 << 15  # with more they are no repetitions, and the unpickler is faster


class _Irregular(Exception):
    """This is left to the unpickler."""


class Tails(dict[bytes, int]):
    """A number for each distinct tail; 0 for one that is left to the unpickler.

    A tail is complete, or ends with the opcode of a reference to a list of frames. `kept` are opcodes that number
    what the entry numbers, and leave its stack; `kinds` those of a dict with the rest, the same for tails of one
    `kind`.

    Args:
        keys: names of the keys by the opcodes that refer to them.
    """

    def __init__(self, keys: dict[bytes, str]) -> None:
        super().__init__()
        self._keys = keys
        self.kept = [b""]
        self.kinds: dict[bytes, int] = {}
        self._kind_of = [0]

    @property
    def kind(self) -> np.ndarray:
        """The place in `kinds` by number of a tail."""
        return np.array(self._kind_of)

    def __missing__(self, tail: bytes) -> int:
        if len(self) >= MAX_TAILS:
            return 0
        try:
            kept, kind = self._read(tail)
        except (_Irregular, IndexError):
            self[tail] = 0
            return 0
        self[tail] = len(self.kept)
        self.kept.append(kept)
        self._kind_of.append(self.kinds.setdefault(kind, len(self.kinds)))
        return self[tail]

    def _read(self, tail: bytes) -> tuple[bytes, bytes]:
        kept, kind, stack, at = [NUMBERED_NONE], [], b"", 0
        while tail[at:] not in (b"", END):
            key = _end_of_reference(tail, at)
            if self._keys.get(tail[at:key]) == "frames":
                stack, at = _stack(tail, key)
                kept.append(stack)
                continue
            value = _end_of_value(tail, key)
            kind.append(tail[at:value])
            at = value
            if tail[at : at + 1] == NUMBERED:
                at += 1
                kept.append(tail[key:at] + DROP)
        if (stack == b"j") == (tail[at:] == END):
            raise _Irregular
        return b"".join(kept if stack else [*kept, b"N"]), b"}(" + b"".join(kind) + END


def head_of(content: bytes, at: int, keys: dict[bytes, str]) -> list[bytes]:
    """The keys of the numbers that follow the action, which is at a place; none for an irregular entry."""
    found = []
    try:
        at = _end_of_reference(content, at)
        while keys.get(content[at : (key := _end_of_reference(content, at))]) in HEAD:
            found.append(content[at:key])
            at = _end_of_value(content, key)
    except (_Irregular, IndexError):
        return []
    return found


def _end_of_reference(content: bytes, at: int) -> int:
    size = REFERENCES.get(content[at : at + 1])
    if size is None:
        raise _Irregular
    return at + 1 + size


def _end_of_value(content: bytes, at: int) -> int:
    opcode = content[at]
    if opcode == NOTHING:
        return at + 1
    if opcode in (LONG, TEXT):
        return at + 2 + content[at + 1]
    size = REFERENCES.get(content[at : at + 1]) or NUMBERS.get(content[at : at + 1])
    if size is None:
        raise _Irregular
    end = at + 1 + size
    if content[at : at + 1] not in NUMBERS or content[end : end + 1] not in NUMBERS:
        return end
    end = _end_of_value(content, end)
    if content[end : end + 1] != PAIR:
        raise _Irregular
    return end + 1


def _stack(tail: bytes, at: int) -> tuple[bytes, int]:
    """Opcodes that leave the stack of an entry: a reference to a list, or the bytes of the references in it."""
    if tail[at:] == b"j":
        return b"j", at + 1
    if tail[at : at + 2] != LIST:
        end = _end_of_reference(tail, at)
        return tail[at:end], end
    begin = at = at + 2
    if tail[at : at + 1] != b"(":
        return LIST, at
    begin = at = at + 1
    while tail[at : at + 1] != b"e":
        at = _end_of_reference(tail, at)
    return in_bytes(tail[begin:at]), at + 1


def in_bytes(references: bytes) -> bytes:
    """The opcodes of a bytes object that has the number of the list that holds the references."""
    return b"B%b%b\x94" % (len(references).to_bytes(4, "little"), references)
