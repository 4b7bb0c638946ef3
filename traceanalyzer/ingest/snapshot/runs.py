"""Entries of a pickled snapshot that follow each other in the same form, taken out of its opcodes as columns.

An entry is a dict with keys that were seen before. It begins with the action and numbers: address, size, stream and
time, which are decoded for thousands of entries at once. What follows, its tail, has few distinct contents, among
them the references to the frames of its call stack; each is looked at once, as bytes. In the place of a run of
entries the unpickler gets one tuple (`Run`).

A pickle numbers every container and text in it, in the order of their coming. So an entry leaves behind as many
numbered objects as it had: None for the dict, which nothing ever refers to, and the same objects for the rest.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from traceanalyzer.ingest.snapshot.tails import LONG, NUMBERS, REFERENCES, Tails, head_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

PAD = bytes(24)  # a word that is read from any place up to the end of the content lies within content and pad


def _sizes(of: dict[bytes, int]) -> Ints:
    found = np.zeros(256, np.int64)
    for opcode, size in of.items():
        found[opcode[0]] = size
    return found


_REFERENCE_BYTES, _NUMBER_BYTES = _sizes(REFERENCES), _sizes(NUMBERS)


class Run(NamedTuple):
    """Entries that follow each other, as the unpickler gives them.

    `frames` has one element per entry; `columns` holds int64 of shape (2 + len(numbers), entries): the place in
    `actions`, the numbers, and the place in `kinds`, each of which is what else such an entry says.
    """

    frames: list[Any]
    columns: bytes
    actions: tuple[str, ...]
    numbers: tuple[str, ...]
    kinds: tuple[dict[str, Any], ...]


class Runs:
    """Takes runs of entries out of opcodes.

    Args:
        beginning: opcodes that every entry begins with: a dict, its number, and a reference to its first key.
        keys: names of the keys by the opcodes that refer to them.
    """

    def __init__(self, beginning: bytes, keys: dict[bytes, str]) -> None:
        self._beginning, self._keys = beginning, keys
        self._tails = Tails(keys)

    def split(self, content: bytes) -> list[bytes]:
        """Complete opcodes: as they were, and every second part instead of the run of entries that was there."""
        starts = _places(content, self._beginning)
        begins = starts + len(self._beginning)
        keys = head_of(content, int(begins[len(begins) // 2]), self._keys) if len(begins) else []
        if not keys:
            return [content]
        columns, end, regular = _heads(content, begins[:-1], keys)  # the last one ends somewhere behind
        rows = np.flatnonzero(regular)
        tails, stacks = self._read_tails(content, end[rows], starts[rows + 1])
        known = tails > 0
        rows, tails, stacks = rows[known], tails[known], list(itertools.compress(stacks, known.tolist()))
        parts, done = [], 0
        for low, high in itertools.pairwise(_stretches(rows)):
            parts.append(content[done : starts[rows[low]]])
            parts.append(self._run(columns[:, rows[low:high]], tails[low:high], stacks[low:high], keys))
            done = int(starts[rows[high - 1] + 1])
        return [*parts, content[done:]]

    def _read_tails(self, content: bytes, begin: Ints, following: Ints) -> tuple[Ints, list[bytes]]:
        """The number of each tail, 0 for irregular ones, and the opcodes that leave the stack and numbered objects.

        The last value may be a reference to the list of another entry's frames. Such a tail is looked up without
        the number in it.
        """
        at = np.frombuffer(content, np.uint8)
        # after a thousand entries the pickle hands them over, and begins with the next
        thousand = (at[following - 1] == ord("(")) & (at[following - 2] == ord("e"))
        end = following - 2 * thousand
        refers = (at[end - 6] == ord("j")) & (end - 6 >= begin)
        found = self._numbers(content, begin, np.where(refers, end - 5, end))
        for row in np.flatnonzero(refers & (found == 0)).tolist():  # a list of frames may end like that
            found[row] = self._tails[content[begin[row] : end[row]]]
            refers[row] = False
        number = zip(np.where(refers, end - 5, end - 1).tolist(), (end - 1).tolist(), strict=True)
        kept = self._tails.kept
        return found, [kept[tail] + content[a:b] for tail, (a, b) in zip(found.tolist(), number, strict=True)]

    def _numbers(self, content: bytes, begin: Ints, end: Ints) -> Ints:
        tails = self._tails
        return np.array(
            [tails[content[a:b]] for a, b in zip(begin.tolist(), end.tolist(), strict=True)], np.int64
        )

    def _run(self, columns: Ints, tails: Ints, stacks: list[bytes], keys: list[bytes]) -> bytes:
        """The opcodes of a tuple in the form of `Run`, and those that hand it over to the list of entries."""
        actions, action = np.unique(columns[0], return_inverse=True)
        kinds, kind = np.unique(self._tails.kind[tails], return_inverse=True)
        data = np.vstack([action, columns[1:], kind]).astype(np.int64, copy=False).tobytes()
        references = [b"j%b" % number.to_bytes(4, "little") for number in actions.tolist()]
        every = list(self._tails.kinds)
        said = [every[number] for number in kinds.tolist()]
        parts = [b"((", *stacks, b"l", b"B%b%b" % (len(data).to_bytes(4, "little"), data)]
        for items in (references, keys, said):
            parts += [b"(", *items, b"t"]
        return b"".join([*parts, b"te("])


def _places(content: bytes, what: bytes) -> Ints:
    """Where some bytes are, in order."""
    at = np.frombuffer(content, np.uint8)
    found = np.flatnonzero(at[: len(content) - len(what) + 1] == what[0])
    for offset, byte in enumerate(what[1:], 1):
        found = found[at[found + offset] == byte]
    return found


def _stretches(rows: Ints) -> list[int]:
    """Where rows that follow each other begin, and the end."""
    return [0, *(np.flatnonzero(np.diff(rows) > 1) + 1).tolist(), len(rows)] if len(rows) else []


def _heads(content: bytes, begin: Ints, keys: list[bytes]) -> tuple[Ints, Ints, NDArray[np.bool_]]:
    """What entries begin with: the number of the action and the numbers under the keys, and where that ends.

    The columns have the shape (1 + len(keys), entries). The last array tells which entries have these keys in this
    order, with numbers of at most 8 bytes.
    """
    at = np.frombuffer(content + PAD, np.uint8)
    word = np.ndarray(len(content) + len(PAD) - 7, "<i8", at, strides=(1,))  # the 8 bytes from each place on
    size = _REFERENCE_BYTES[at[begin]]
    regular = size > 0
    columns = [_low_bytes(word[begin + 1], size)]
    here = begin + 1 + size
    for key in keys:
        here = np.minimum(here, len(content))
        regular &= _low_bytes(word[here], np.int64(len(key))) == int.from_bytes(key, "little")
        here = np.minimum(here + len(key), len(content))
        long = at[here] == LONG
        size = np.where(long, at[here + 1], _NUMBER_BYTES[at[here]])
        regular &= (size > 0) & (size <= 8)
        left = (64 - 8 * size) & 63
        value = word[here + 1 + long] << left
        signed = long | (at[here] == ord("J"))
        columns.append(np.where(signed, value >> left, _shifted(value, left)))
        here = here + 1 + long + size
    return np.array(columns), here, regular & (here < len(content))


def _low_bytes(word: Ints, count: Ints | np.int64) -> Ints:
    return word & ((np.int64(1) << (8 * count)) - 1)


def _shifted(value: Ints, by: Ints) -> Ints:
    """Shifted to the right, filled with zeros."""
    return (value.view(np.uint64) >> by.view(np.uint64)).view(np.int64)
