"""The page's tables that a range of the timeline narrows: which of their rows an event or a call belongs to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.analyzers.attributed import kernel_modules
from traceanalyzer.analyzers.modules import module_calls
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import first_match
from traceanalyzer.reporters.timeline.events import KINDS, table_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace
    from traceanalyzer.reporters.timeline.blocks import Held, HeldBySnapshot
    from traceanalyzer.reporters.timeline.lanes import Events

    Ints = NDArray[np.int64]

MAX_CALLS = 100_000  # of modules; the longest stay


@dataclass(frozen=True, slots=True)
class Narrowed:
    """What tells the rows of each table.

    `listed` is names, by the table's id, and `shapes` and `modules` are the names and shapes and the paths in the
    tables of ops by shape and of modules; of the others it is who holds memory in them, by id.
    """

    listed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shapes: Sequence[tuple[str, str | None]] = ()
    modules: Sequence[str] = ()
    held: Mapping[str, Held] = field(default_factory=dict)
    held_by_snapshots: Mapping[str, HeldBySnapshot] = field(default_factory=dict)

    @property
    def inside(self) -> list[int]:
        """Of each module the row of the one around it, from 1; 0 at the root."""
        rows = _Paths(self.modules)
        return [rows.around(path.rpartition("/")[0]) for path in self.modules]


@dataclass(frozen=True)
class Calls:
    """Calls of the modules listed, by start; columns of equal length, ns from the beginning of the axis."""

    start: Ints
    dur: Ints
    row: Ints  # from 1
    left_out: int  # shorter calls


def launchers(trace: Trace, events: Events) -> Ints:
    """The row of `ops` that launched each event, or that it is; -1 for none."""
    op = np.where(events.kind == KINDS.index("host"), events.row, -1)
    for name in ("kernels", "copies"):
        table, mine = trace.tables[name], table_of(events) == name
        op[mine] = ints(table, "op")[events.row[mine]]
    return op


def shape_rows(trace: Trace, op: Ints, shapes: Sequence[tuple[str, str | None]]) -> Ints:
    """For rows of `ops`, the row of the same name and shapes in the table, from 1; 0 for none."""
    (name, names), (dims, known) = texts(trace.ops, "name"), texts(trace.ops, "input_dims")
    of_name, of_dims = ({text: i for i, text in enumerate(column)} for column in (names, known))
    wanted = [
        np.array([of.get(text, -1) for text in column], np.int64)
        for of, column in ((of_name, [n for n, _ in shapes]), (of_dims, [d or "" for _, d in shapes]))
    ]
    called = [np.append(column, -2).astype(np.int64)[op] for column in (name, dims)]  # -2: no op at all
    return first_match(called, wanted) + 1


def module_rows(trace: Trace, events: Events, modules: Sequence[str]) -> Ints:
    """For work on devices, the row of the innermost module listed that it ran for, from 1; 0 for none."""
    rows = _Paths(modules)
    found = np.zeros(len(events), np.int64)
    if not modules:
        return found
    known: dict[str, tuple[NDArray[Any], list[str]]] = {
        "kernels": kernel_modules(trace), "copies": texts(trace.copies, "module"),
    }  # fmt: skip
    for table, (codes, paths) in known.items():
        mine = table_of(events) == table
        found[mine] = np.array([*map(rows.around, paths), 0])[codes[events.row[mine]]]
    return found


def calls_of(trace: Trace, modules: Sequence[str], origin: int, end: int) -> Calls:
    """When the modules listed ran on the host, between two times (ns)."""
    if not modules:
        nothing = np.zeros(0, np.int64)
        return Calls(nothing, nothing, nothing, 0)
    table, rows = module_calls(trace)
    number = {path: i for i, path in enumerate(modules, 1)}
    codes, paths = texts(table, "module")
    row = np.array([*(number.get(path, 0) for path in paths), 0])[codes[rows]]
    start = ints(table, "ts")[rows]
    until = np.minimum(start + np.maximum(ints(table, "dur", 0)[rows], 0), end)
    start = np.maximum(start, origin)
    alive = np.flatnonzero((row > 0) & (until > start))
    kept = alive[np.argsort((start - until)[alive], kind="stable")[:MAX_CALLS]]
    kept = kept[np.argsort(start[kept], kind="stable")]
    return Calls(start[kept] - origin, (until - start)[kept], row[kept], len(alive) - len(kept))


class _Paths:
    """Rows of modules by their paths."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._rows = {path: i for i, path in enumerate(modules, 1)}

    def around(self, path: str) -> int:
        """The row of the module itself, else of the innermost listed one around it; 0 for none."""
        while path and path not in self._rows:
            path = path.rpartition("/")[0]
        return self._rows.get(path, 0)
