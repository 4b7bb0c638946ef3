"""Call stacks, interned while walking: each distinct stack is stored once, sharing its outer frames."""

from __future__ import annotations

from typing import Any

from traceanalyzer.ingest.snapshot.unpickle import Refused

MAX_DEPTH = 10_000


class Stacks:
    """A tree of frames; the row of a stack is that of its innermost frame.

    Frames are shared objects in a pickle, so a stack is known by the identities of its frames: one C call makes
    the key, whatever the depth. The objects live as long as the snapshot does, so identities do not come back.
    """

    def __init__(self, max_frames: int) -> None:
        self.parent: list[int | None] = []
        self.frame: list[int] = []
        self.depth: list[int] = []
        self.frames: list[tuple[str, int, str, str | None]] = []
        self._known: dict[tuple[int, ...], int] = {}
        self._nodes: dict[tuple[int | None, int], int] = {}
        self._frame_by_id: dict[int, int] = {}
        self._frame_rows: dict[tuple[str, int, str, str | None], int] = {}
        self._left = max_frames

    def row(self, frames: Any) -> int | None:
        """The row of a stack (innermost frame first), None for one without frames."""
        return self.rows([frames])[0]

    def rows(self, stacks: list[Any]) -> list[int | None]:
        """The row of each stack. A release that is completed at once shares its frames with the request."""
        found: list[int | None] = []
        known, walked = self._known, 0
        last, row = None, None
        for frames in stacks:
            if frames is not last:
                last = frames
                if frames:
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

    def _add(self, frames: list[dict[str, Any]]) -> int:
        if len(frames) > MAX_DEPTH:
            raise Refused(f"has a call stack of {len(frames)} frames")
        row: int | None = None
        for depth, frame in enumerate(reversed(frames)):
            number = self._frame_by_id.get(id(frame))
            if number is None:
                number = self._frame_by_id[id(frame)] = self._frame(frame)
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
