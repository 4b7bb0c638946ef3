"""A pickled snapshot on its way to the unpickler, changed so that its entries can be dropped once they are read.

A pickle numbers every container in it, and its reader keeps each one in case that a later opcode refers to it: a
million entries stay in memory until the end. Nothing ever refers to an entry. So where an entry is numbered, the
number is given to None; and where the list of a device's entries begins, the reader asks for an object in its
place (`Entries`), which takes over 1000 entries at a time.

Entries in the same form are decoded here, thousands at once (`runs`). A list of frames that were all seen before is
nothing but references to them. It is handed over as the bytes of those opcodes: they tell stacks apart as well, and
what they stand for is asked for once per distinct stack, at the end (`stacks_of`).

C pickles of protocol 4 and 5 come in frames of 64 KiB, cut between opcodes, and each is changed as a whole. What is
not written like that passes unchanged, and what is missed is only kept: the result is the same. A match inside of a
number would break the opcodes after it; the caller then reads the file once more without changes.
"""

from __future__ import annotations

import os
import re
import struct
from typing import IO, TYPE_CHECKING, Any

from traceanalyzer.ingest.snapshot.entries import KEYS
from traceanalyzer.ingest.snapshot.refused import Refused
from traceanalyzer.ingest.snapshot.runs import Runs

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME = b"\x95"
JOINED_BYTES = 1 << 20
NUMBERED_DICT, UNNUMBERED_DICT = b"}\x94(", b"N\x940}("  # the latter numbers None and drops it
ASK = b")Q\x94("  # for an object by the name of (); numbered like the list in whose place it is
_NOTHING_ELSE = re.compile(rb"(?:h.|j.{4})+", re.DOTALL)
_FIRST_LIST = re.compile(rb"(device_traces\x94\]\x94\(?(?:\]\x94)*)\]\x94\((?=\}\x94\()")


class EntryStream:
    """The file that the unpickler reads: `framed` as C pickles are.

    `asked` counts the lists in whose place an object is asked for.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        start = file.read(3)
        file.seek(0)
        self.framed = start[1:2] in (b"\x04", b"\x05") and start[2:3] == FRAME
        self._ready, self._at = b"", 0
        self._entry: bytes | None = None  # how an entry begins; nothing when it cannot be known
        self._runs: Runs | None = None
        self.asked = 0
        self.numbered: Callable[[], dict[int, Any]] = dict  # what the unpickler has numbered until now

    def read(self, size: int) -> bytes:
        """The next bytes; fewer at the end of the file."""
        if self._at == len(self._ready):
            first = self._file.read(1)
            if not (self.framed and size == 1 and first == FRAME):
                return first + self._file.read(size - 1)
            self._ready, self._at = self._next_frame(), 0
        self._at += size
        return self._ready[self._at - size : self._at]

    def stacks_of(self, references: list[bytes]) -> None:
        """Let the next object to be read be a tuple with one tuple per list of references.

        Raises:
            Refused: one holds other opcodes, so it was bytes in the file already.
        """
        if not all(map(_NOTHING_ELSE.fullmatch, references)):
            raise Refused("has bytes in the place of a call stack")
        self._ready = b"(" + b"".join(b"(" + one + b"t" for one in references) + b"t."
        self._at = 0

    def readline(self) -> bytes:
        """For the opcodes of protocol 0, which come unchanged."""
        return self._file.readline()

    def _next_frame(self) -> bytes:
        """The frame that begins here, and those right after it: fewer lists are cut by the ends of frames."""
        content, complete, first = b"", True, FRAME
        while first == FRAME:
            said = int.from_bytes(self._file.read(8), "little")
            frame = self._file.read(said)
            content += frame
            complete = len(frame) == said
            joins = complete and self._entry and len(content) < JOINED_BYTES
            first = self._file.read(1) if joins else b""
        if first:
            self._file.seek(-1, os.SEEK_CUR)
        content = self._changed(content)
        said = len(content) if complete else len(content) + 1  # the unpickler finds that it is cut off
        return FRAME + said.to_bytes(8, "little") + content

    def _changed(self, content: bytes) -> bytes:
        if not self.asked:
            content, self.asked = _FIRST_LIST.subn(rb"\1" + ASK, content, count=1)
            return content
        if self._entry is None:
            self._learn()
        if not self._entry or self._runs is None:
            return content
        before = len(content)
        content = content.replace(b"]\x94(" + self._entry, ASK + self._entry)
        self.asked += len(content) - before
        parts = self._runs.split(content)
        unnumbered = UNNUMBERED_DICT + self._entry[len(NUMBERED_DICT) :]
        parts[::2] = [part.replace(self._entry, unnumbered) for part in parts[::2]]
        return b"".join(parts)

    def _learn(self) -> None:
        """How an entry begins, a new dict and the number of its first key, and the numbers of its other keys."""
        keys = {
            name: b"h" + bytes([number]) if number < 256 else b"j" + struct.pack("<I", number)
            for number, name in self.numbered().items()
            if isinstance(name, str) and name in KEYS
        }
        self._entry = NUMBERED_DICT + keys["action"] if "action" in keys else b""
        self._runs = Runs(self._entry, {opcodes: name for name, opcodes in keys.items()})
