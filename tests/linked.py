"""Hand-written linked traces: rows in microseconds, links as references to rows."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from traceanalyzer.model.schema import BY_NAME
from traceanalyzer.model.table import arrow_type
from traceanalyzer.model.tables import from_rows
from traceanalyzer.model.trace import Capability, Source, Trace

US = 1_000
MAIN, AUTOGRAD = 1, 2


class Linked:
    """Collects rows; `trace()` numbers them and resolves the links, as `model/link.py` would have left them.

    A call is made on the main thread unless `tid` says otherwise; times are µs.
    """

    def __init__(self) -> None:
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for name in BY_NAME}

    def add(self, table: str, name: str, start: float, end: float, **columns: Any) -> dict[str, Any]:
        row = {"name": name, "rank": 0, "ts": round(start * US), "dur": round((end - start) * US), **columns}
        self.rows[table].append(row)
        return row

    def host(self, table: str, name: str, start: float, end: float, **columns: Any) -> dict[str, Any]:
        depth = {"depth": 0} if table == "python_calls" else {}
        return self.add(table, name, start, end, **{"pid": 100, "tid": MAIN, **depth, **columns})

    def op(self, name: str, start: float, end: float, **columns: Any) -> dict[str, Any]:
        return self.host("ops", name, start, end, **columns)

    def annotation(self, name: str, start: float, end: float, **columns: Any) -> dict[str, Any]:
        return self.host("annotations", name, start, end, **columns)

    def call(self, name: str, start: float, end: float, **columns: Any) -> dict[str, Any]:
        return self.host("api_calls", name, start, end, **columns)

    def frame(self, file: str, line: int, start: float, end: float, **columns: Any) -> dict[str, Any]:
        name = f"{file}({line}): f"
        return self.host("python_calls", name, start, end, file=file, line=line, function="f", **columns)

    def kernel(self, name: str, start: float, end: float, **columns: Any) -> dict[str, Any]:
        return self.add("kernels", name, start, end, **{"device": 0, "stream": 7, **columns})

    def copy(
        self, direction: str, start: float, end: float, src: str, dst: str, **columns: Any
    ) -> dict[str, Any]:
        kinds = {"direction": direction, "src_kind": src, "dst_kind": dst}
        return self.add(
            "copies", f"Memcpy {direction} ({src} -> {dst})", start, end,
            **{"device": 0, "stream": 7, "kind": "memcpy", **kinds, **columns},
        )  # fmt: skip

    def launch(self, name: str, called: float, start: float, end: float, **columns: Any) -> dict[str, Any]:
        """A kernel and the call of 2 µs that launches it."""
        host = {key: columns.pop(key) for key in ("tid", "pid") if key in columns}
        rank = columns.get("rank", 0)
        call = self.call("cudaLaunchKernel", called, called + 2, rank=rank, **host)
        return self.kernel(name, start, end, api_call=call, **columns)

    def step(self, number: int, start: float, end: float, **columns: Any) -> dict[str, Any]:
        return self.annotation(f"ProfilerStep#{number}", start, end, **columns)

    def trace(self, capabilities: set[Capability] | None = None, **source: Any) -> Trace:
        tables = {name: self._table(name) for name in BY_NAME}
        facts = {
            "path": "test.json",
            "format": "chrome",
            "sha256": "0" * 64,
            "bytes": 1,
            "events": 1,
            "rank": 0,
        }
        chosen = frozenset(Capability) if capabilities is None else frozenset(capabilities)
        return Trace((Source(**{**facts, **source}),), tables, chosen)

    def _table(self, name: str) -> pa.Table:
        rows = self._sorted(name)
        table = from_rows(name, rows)
        for column in BY_NAME[name].columns:
            if not column.linked:
                continue
            values = [self._resolved(row.get(column.name)) for row in rows]
            type_ = arrow_type(column.type)
            array = pa.array(values, type_.value_type if pa.types.is_dictionary(type_) else type_)
            table = table.append_column(column.name, array.cast(type_))
        return table

    def _sorted(self, name: str) -> list[dict[str, Any]]:
        rows = self.rows[name]
        return (
            sorted(rows, key=lambda r: (r["rank"], r["ts"], -(r["dur"] or 0)))
            if rows and "ts" in rows[0]
            else rows
        )

    def _resolved(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return next(i for name in BY_NAME for i, row in enumerate(self._sorted(name)) if row is value)
