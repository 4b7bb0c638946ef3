"""Call stacks, interned while walking: each distinct stack is stored once, sharing its outer frames."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from traceanalyzer.ingest.snapshot.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_DEPTH = 10_000
FRAMES_PER_ROW = 64  # a list of frames that entries share is written once


class Stacks:
    """A tree of frames; the row of a stack is that of its innermost frame.

    Frames are shared objects in a pickle, so a stack is known by the identities of its frames: one C call makes
    the key, whatever the depth. Each frame is kept, so that its identity does not come back.
    """

    def __init__(self, max_rows: int) -> None:
        self.parent: list[int | None] = []
        self.frame: list[int] = []
        self.depth: list[int] = []
        self.frames: list[tuple[str, int, str, str | None]] = []
        self._known: dict[tuple[int, ...], int] = {}
        self._nodes: dict[tuple[int | None, int], int] = {}
        self._frame_by_id: dict[int, int] = {}
        self._kept: list[dict[str, Any]] = []
        self._frame_rows: dict[tuple[str, int, str, str | None], int] = {}
        self._left = FRAMES_PER_ROW * max_rows
        self._referred: dict[bytes, int | None] = {}
        self._resolved: list[int] = []

    def row(self, frames: Any) -> int | None:
        """The row of a stack (innermost frame first), None for one without frames."""
        return self.rows([frames])[0]

    def rows(self, stacks: Sequence[Any]) -> list[int | None]:
        """The row of each stack; those of `references` are below 0."""
        try:
            seen = list(map(self._referred.get, stacks))
        except TypeError:  # one is a list
            return self._walk(stacks)
        return seen if None not in seen else self._walk(stacks)

    def _walk(self, stacks: Sequence[Any]) -> list[int | None]:
        """One by one. A release that is completed at once shares its frames with the request."""
        found: list[int | None] = []
        known, walked = self._known, 0
        last, row = None, None
        for frames in stacks:
            if frames is not last:
                last = frames
                if type(frames) is bytes:
                    row = self._referred.setdefault(frames, -1 - len(self._referred))
                elif frames:
                    key = tuple(map(id, frames))
                    walked += len(key)
                    row = known.get(key)
                    if row is None:
                        row = known[key] = self._add(frames)
                    if walked > self._left:
                        raise Refused("unfolds to more frames than a file of this size can hold")
                else:
                    row = None
            found.append(row)
        self._left -= walked
        return found

    @property
    def references(self) -> list[bytes]:
        """The stacks that came as references; that of place i has the row -1 - i until they are resolved."""
        return list(self._referred)

    def resolve(self, stacks: Sequence[Any]) -> None:
        """Tell the frames of each of `references`."""
        self._resolved = [0 if row is None else row for row in self._walk(stacks)]

    def final(self, rows: pa.Array) -> pa.Array:
        """Rows as `rows` gave them, null for none, as rows of the tree."""
        if len(self._resolved) != len(self._referred):
            raise Refused("has bytes in the place of a call stack")
        found = np.array(rows.fill_null(0))
        referred = found < 0
        found[referred] = np.array(self._resolved, np.int64)[-1 - found[referred]]
        return pa.array(found, mask=np.asarray(rows.is_null()))

    def _add(self, frames: list[dict[str, Any]]) -> int:
        if len(frames) > MAX_DEPTH:
            raise Refused(f"has a call stack of {len(frames)} frames")
        row: int | None = None
        for depth, frame in enumerate(reversed(frames)):
            number = self._frame_by_id.get(id(frame))
            if number is None:
                number = self._frame_by_id[id(frame)] = self._frame(frame)
                self._kept.append(frame)
            node = self._nodes.get((row, number))
            if node is None:
                node = self._nodes[row, number] = len(self.frame)
                self.parent.append(row)
                self.frame.append(number)
                self.depth.append(depth)
            row = node
        assert row is not None  # frames is not empty
        return row

    def _frame(self, frame: dict[str, Any]) -> int:
        node = frame.get("fx_node_name")
        content = (
            str(frame.get("filename", "??")),
            int(frame.get("line") or 0),
            str(frame.get("name", "")),
            None if node is None else str(node),
        )
        known = self._frame_rows.get(content)
        if known is None:
            known = self._frame_rows[content] = len(self.frames)
            self.frames.append(content)
        return known
