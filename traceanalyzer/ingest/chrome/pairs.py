"""Begin and end events (B, E) → the one complete event (X) that each two of them stand for.

Few writers use them, and none for device work, so this goes event by event; what comes out is mapped like any other
complete event, args and all.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa
from msgspec import Raw

from traceanalyzer.ingest.chrome.decoder import Event, group
from traceanalyzer.ingest.chrome.mapper import Mapper
from traceanalyzer.model.columns import texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Parts = dict[str, list[pa.Table]]
_Row = dict[str, Any]

_args_of = msgspec.json.Decoder(dict[str, Raw]).decode


def pair(parts: Parts) -> int:
    """Put one row for each B and its E into the tables of their categories; returns how many stayed alone in `others`.

    Args:
        parts: per table, Arrow tables with `order` (the place in the file), and `extras` that point at it; changed.
    """
    others = pa.concat_tables(parts.get("others", [pa.table({})]), promote_options="default")
    if "phase" not in others.column_names:
        return 0
    is_begin_end = _has(others, "phase", {"B", "E"})
    if not is_begin_end.any():
        return 0
    rows = others.filter(pa.array(is_begin_end)).sort_by([("ts", "ascending"), ("order", "ascending")])
    pairs = list(_pairs(rows.to_pylist()))
    paired = np.array([event["order"] for two in pairs for event in two], np.int64)
    parts["others"] = [others.filter(pa.array(~np.isin(np.asarray(others["order"]), paired)))]
    mapper = Mapper()
    args = _take_args(parts, paired)
    begins = np.array([begin["order"] for begin, _ in pairs], np.int64)
    for one in group([_complete(begin, end, args) for begin, end in pairs], 0):
        one.order = begins[one.order]
        mapper.add(one)
    for table, made in mapper.finish().items():
        parts.setdefault(table, []).extend(made)
    return int(rows.num_rows) - len(paired)


def _has(table: pa.Table, column: str, wanted: set[str]) -> NDArray[np.bool_]:
    codes, names = texts(table, column)
    return np.isin(codes, [i for i, name in enumerate(names) if name in wanted])


def _pairs(rows: list[_Row]) -> Iterable[tuple[_Row, _Row]]:
    """An E ends the last B of its thread that has not ended."""
    open_: dict[tuple[int, int], list[_Row]] = {}
    for row in rows:
        stack = open_.setdefault((row["pid"], row["tid"]), [])
        if row["phase"] == "B":
            stack.append(row)
        elif stack:
            yield stack.pop(), row


def _take_args(parts: Parts, orders: NDArray[np.int64]) -> dict[int, dict[str, Raw]]:
    """The args of these events by their place in the file; they are no extras of `others` any more."""
    args: dict[int, dict[str, Raw]] = {}
    left = []
    for extras in parts.pop("extras", []):
        mine = _has(extras, "table", {"others"}) & np.isin(np.asarray(extras["row_order"]), orders)
        taken = extras.filter(pa.array(mine))
        for order, json in zip(taken["row_order"].to_pylist(), taken["json"].to_pylist(), strict=True):
            args[order] = _args_of(json)
        left.append(extras.filter(pa.array(~mine)))
    parts["extras"] = left
    return args


def _complete(begin: _Row, end: _Row, args: dict[int, dict[str, Raw]]) -> Event:
    return Event(
        ph="X",
        cat=begin["category"] or "",
        name=Raw(msgspec.json.encode(begin["name"])),
        pid=Raw(b"%d" % begin["pid"]),
        tid=Raw(b"%d" % begin["tid"]),
        ts=_microseconds(begin["ts"]),
        dur=_microseconds(end["ts"] - begin["ts"]),
        args=args.get(begin["order"], {}) | args.get(end["order"], {}),
    )


def _microseconds(ns: int) -> Raw:
    return Raw(format(Decimal(ns).scaleb(-3), "f").encode())
