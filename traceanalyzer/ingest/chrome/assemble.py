"""Parts of tables → the finished tables of one trace: sorted, numbered, on an axis that starts at 0."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceanalyzer.ingest.chrome.pairs import Parts, pair
from traceanalyzer.model.columns import ints, one_chunk, texts
from traceanalyzer.model.schema import TABLES
from traceanalyzer.model.tables import complete, empty, from_rows, start_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

THREADS = 2
"""Tables that are finished at the same time: Arrow and numpy let go of the interpreter, memory sets the limit."""


@dataclass(slots=True)
class Assembled:
    """The finished tables; `start_ns` is the file's time of `ts == 0`."""

    tables: dict[str, pa.Table]
    start_ns: int
    events: int
    negative_durations: int = 0
    unmatched_begins: int = 0
    orders: dict[str, NDArray[np.int64]] = field(default_factory=dict)


def assemble(parts: Parts, labels: Mapping[int, str], rank: int) -> Assembled:
    """Finish all tables.

    Args:
        parts: per table, Arrow tables with the columns that were seen and `order`; emptied on the way, so that a
            table is never held three times.
        labels: names of the pids and tids that were text.
        rank: written into every row.
    """
    unmatched = pair(parts)
    extras, processes = parts.pop("extras", []), parts.pop("processes", [])
    starts = [pc.min(t["ts"]).as_py() for tables in parts.values() for t in tables if t.num_rows]
    start_ns = min((s for s in starts if s is not None), default=0)
    done = Assembled({}, start_ns, sum(t.num_rows for t in processes), unmatched_begins=unmatched)
    largest_first = sorted(parts, key=lambda name: -sum(t.num_rows for t in parts[name]))
    with ThreadPoolExecutor(THREADS) as pool:
        finished = pool.map(lambda name: _finish(name, _join(parts.pop(name)), start_ns, rank), largest_first)
        for name, (table, order, negative) in zip(largest_first, finished, strict=True):
            # rows of `collectives` repeat an event that has its row elsewhere
            done.events += 0 if name == "collectives" else table.num_rows
            done.tables[name], done.orders[name] = table, order
            if negative is not None:
                extras.append(negative)
                done.negative_durations += negative.num_rows
    done.tables["extras"] = _extras(_join(extras) if extras else None, done.orders)
    done.tables["processes"] = _processes(_join(processes) if processes else None, labels, rank)
    for table in TABLES:
        done.tables.setdefault(table.name, empty(table.name))
    return done


def _join(tables: list[pa.Table]) -> pa.Table:
    joined = pa.concat_tables(tables, promote_options="default").unify_dictionaries()
    return joined.combine_chunks()


def _finish(
    name: str, table: pa.Table, start_ns: int, rank: int
) -> tuple[pa.Table, NDArray[np.int64], pa.Table | None]:
    rows = table.num_rows
    columns: dict[str, Any] = {c: one_chunk(table.column(c)) for c in table.column_names}
    order = np.asarray(columns.pop("order"))
    ts = ints(table, "ts")
    del table
    negative = None
    if "dur" in columns:
        dur = np.asarray(columns["dur"].fill_null(0))
        if (dur < 0).any():
            negative = _negative_durations(name, dur, order)
            columns["dur"] = pa.array(np.maximum(dur, 0), mask=~np.asarray(columns["dur"].is_valid()))
    columns["ts"] = pa.array(ts - start_ns)
    columns["rank"] = pa.array(np.full(rows, rank, np.int32))
    permutation = start_order(pa.table({k: columns[k] for k in ("ts", "dur", "rank") if k in columns}), order)
    if permutation is not None:
        indices = pa.array(permutation)
        for column in list(columns):  # one by one: the unsorted table goes as the sorted one comes
            columns[column] = columns.pop(column).take(indices)
        order = order[permutation]
    for column, values in columns.items():
        if pa.types.is_dictionary(values.type):
            columns[column] = _alphabetical(values)
    return complete(name, columns, rows), order, negative


def _alphabetical(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The column with its dictionary sorted: its order must not depend on how many processes read the file."""
    order = pc.array_sort_indices(column.dictionary)
    rank = np.empty(len(order), np.int32)
    rank[np.asarray(order)] = np.arange(len(order), dtype=np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(rank).take(column.indices), column.dictionary.take(order))


def _negative_durations(name: str, dur: NDArray[np.int64], order: NDArray[np.int64]) -> pa.Table:
    bad = np.flatnonzero(dur < 0)
    spelled = [f'{{"negative_dur_ns":{dur[i]}}}' for i in bad]
    return pa.table(
        {
            "table": pa.array([name] * len(bad)).dictionary_encode(),
            "row_order": pa.array(order[bad]),
            "json": pa.array(spelled).dictionary_encode(),
        }
    )


def _extras(extras: pa.Table | None, orders: Mapping[str, NDArray[np.int64]]) -> pa.Table:
    """Extras point at an event's place in the file until here; make that the id of its row."""
    if extras is None or extras.num_rows == 0:
        return empty("extras")
    codes, names = texts(extras, "table")
    places = np.asarray(extras["row_order"])
    row = np.full(len(places), -1)
    for code, name in enumerate(names):
        mine = codes == code
        order = orders.get(name)
        if order is not None and mine.any():
            by_order = np.argsort(order)
            row[mine] = by_order[np.searchsorted(order, places[mine], sorter=by_order)]
    sequence = np.lexsort((places, row, np.argsort(np.argsort(names))[codes]))
    columns = {c: one_chunk(extras.column(c)) for c in ("table", "json")}
    table = complete("extras", {**columns, "row": pa.array(row)}, len(row)).take(pa.array(sequence))
    return table.combine_chunks().set_column(0, "id", pa.array(np.arange(len(row))))


def _processes(events: pa.Table | None, labels: Mapping[int, str], rank: int) -> pa.Table:
    """One row per process and per thread, from any number of metadata events."""
    rows: dict[tuple[int, int | None], dict[str, Any]] = {}

    def row(pid: int, tid: int | None) -> dict[str, Any]:
        return rows.setdefault((pid, tid), {"rank": rank, "pid": pid, "tid": tid})

    if events is not None:
        for event in events.sort_by("order").to_pylist():
            thread = (event["event"] or "").startswith("thread")
            pid = -1 if event["pid"] is None else event["pid"]
            target = row(pid, event["tid"] if thread else None)
            for key in ("name", "labels", "sort_index"):
                if event.get(key) is not None:
                    target[key] = event[key]
    for number, label in labels.items():
        row(number, None).setdefault("name", label)
    ordered = sorted(rows.values(), key=lambda r: (r["pid"], r["tid"] is not None, r["tid"] or 0))
    return from_rows("processes", ordered)
