"""Columns of one export → parts of the model's tables, with the checks that every kind of row needs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceanalyzer.model.columns import nullable
from traceanalyzer.model.schema import TABLES
from traceanalyzer.model.table import arrow_type
from traceanalyzer.model.tables import complete, empty, finish

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_TYPES = {t.name: {c.name: arrow_type(c.type) for c in t.columns} for t in TABLES}
_COMPLETE = frozenset({"kernels", "copies", "api_calls", "others"})
"""Tables whose rows all have a name and an end, unless the export lacks a part: a range may stay open."""
ABSENT = np.iinfo(np.int64).min
"""Stands for null in integer columns on their way into a table."""


class Build:
    """Gathers rows per table; what had to be mended is counted for the notes."""

    def __init__(self) -> None:
        self.parts: dict[str, list[pa.Table]] = defaultdict(list)
        self.untimed = 0
        self.endless = 0
        self.nameless = 0
        self.of_unknown_kind = 0
        self.negative_durations = 0
        self.used_threads: list[Ints] = []

    def add(self, table: str, columns: Mapping[str, Any]) -> None:
        """Add rows: integers with `ABSENT` for null, or Arrow arrays. `ts` and `dur` in ns since the capture began."""
        columns = dict(columns)
        rows = len(columns["ts"])
        if not rows:
            return
        timed = columns["ts"] != ABSENT
        if "dur" in columns:
            negative = (columns["dur"] < 0) & (columns["dur"] != ABSENT)
            self.negative_durations += int(negative.sum())
            columns["dur"] = np.where(negative, 0, columns["dur"])
            if table in _COMPLETE:
                self.endless += int(((columns["dur"] == ABSENT) & timed).sum())
        arrays = {name: self._column(table, name, value, rows) for name, value in columns.items()}
        if table in _COMPLETE:
            self.nameless += arrays["name"].null_count
        part = complete(table, arrays, rows)
        if not timed.all():
            self.untimed += int((~timed).sum())
            part = part.filter(pa.array(timed))
        self.parts[table].append(part)

    def _column(self, table: str, name: str, value: Any, rows: int) -> Any:
        type_ = _TYPES[table][name]
        if isinstance(value, (str, bool)):
            one = pa.array([value])
            if isinstance(value, bool):
                return pa.array(np.full(rows, value))
            return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), one)
        if not isinstance(value, np.ndarray):
            return value
        if pa.types.is_int32(type_):  # what does not fit is not what the column is for
            value = np.where(np.abs(value) < 2**31, value, ABSENT)
        return nullable(value, ABSENT).cast(type_)

    def finish(self) -> tuple[dict[str, pa.Table], int]:
        """All tables on an axis that starts at 0, and the time since the capture began at which that is."""
        starts = [pc.min(t["ts"]).as_py() for name in self.parts for t in self.parts[name]]
        start_ns = min((s for s in starts if s is not None), default=0)
        tables = {}
        for table in TABLES:
            parts = [_moved(p, -start_ns) for p in self.parts.pop(table.name, [])]
            tables[table.name] = finish(table.name, parts) if parts else empty(table.name)
        return tables, start_ns


def _moved(table: pa.Table, by_ns: int) -> pa.Table:
    moved = pc.add(table["ts"], pa.scalar(by_ns, pa.int64()))
    return table.set_column(table.column_names.index("ts"), "ts", moved)


def durations(start: Ints, end: Ints) -> Ints:
    """End minus start, `ABSENT` where either is."""
    return np.where((start == ABSENT) | (end == ABSENT), ABSENT, end - start)
