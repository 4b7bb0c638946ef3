"""Who asked for memory: the op that needed it, its module, the user's line."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.evidence import origin
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.results import Holder
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.tree import inherit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

MAX_HOLDERS = 200
_MAKERS = ("aten::empty", "aten::resize", "aten::set_", "aten::_efficientzerotensor")
"""Ops that only make storage: the op around them says what the memory is for."""


class Owners:
    """Who asked for memory: the op that needed it, its module, the user's line and the range around it."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        op_name, self.op_names = texts(trace.ops, "name")
        maker = np.array([*(n.startswith(_MAKERS) for n in self.op_names), False])[op_name]
        named = np.where(maker, -1, np.arange(len(op_name)))
        self.op = inherit(ints(trace.ops, "parent"), ints(trace.ops, "depth"), named)
        self.op_name = op_name.astype(np.int64)
        file, self.files = texts(trace.python_calls, "file")
        users = np.array([*(origin(path) != "core" for path in self.files), False])[file]
        self.frame = inherit(
            ints(trace.python_calls, "parent"),
            ints(trace.python_calls, "depth"),
            np.where(users, np.arange(len(file)), -1),
        )
        self.file, self.line = file.astype(np.int64), ints(trace.python_calls, "line")

    def op_of(self, rows: Ints) -> tuple[Ints, list[str]]:
        """The op that needed each allocation, as (codes, names); -1 where no op is known."""
        innermost = ints(self.trace.allocations, "op")[rows]
        op = np.where(innermost >= 0, self.op[innermost], -1) if len(self.op) else innermost
        op = np.where((op < 0) & (innermost >= 0), innermost, op)
        return np.where(op >= 0, self.op_name[op], -1) if len(self.op_name) else op, self.op_names

    def holders(self, rows: Ints) -> tuple[Holder, ...]:
        """The given allocations by owner, largest first."""
        found = [holder for holder, _ in self.grouped(rows)]
        found.sort(key=lambda h: (-h.bytes, h.op or "", h.module or "", h.python or ""))
        return tuple(found[:MAX_HOLDERS])

    def grouped(self, rows: Ints) -> list[tuple[Holder, Ints]]:
        """The given allocations by owner, each with the positions of its own."""
        if not len(rows):
            return []
        table = self.trace.allocations
        name, _ = self.op_of(rows)
        call = ints(table, "python_call")[rows]
        frame = np.where(call >= 0, self.frame[call], -1) if len(self.frame) else call
        module, modules = texts(table, "module")
        size = ints(table, "bytes", 0)[rows]
        key = codes_of(name + 1, frame + 1, module[rows].astype(np.int64) + 1)
        return [
            (
                Holder(
                    bytes=int(size[mine].sum()),
                    count=len(mine),
                    op=self.op_names[name[mine[0]]] if name[mine[0]] >= 0 else None,
                    module=modules[module[rows[mine[0]]]] if module[rows[mine[0]]] >= 0 else None,
                    python=self._line(int(frame[mine[0]])),
                    name=None,
                ),
                mine,
            )
            for mine in group_rows(key)
        ]

    def _line(self, frame: int) -> str | None:
        return None if frame < 0 else f"{self.files[self.file[frame]]}:{self.line[frame]}"
