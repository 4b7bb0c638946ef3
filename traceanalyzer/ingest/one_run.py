"""A torch trace and an Nsight Systems export of one run, given together: who tells what.

Ops, Python frames, annotations and the allocator's events are torch's; device work, API calls, NVTX, samples and
counters those of nsys. What both recorded is taken once. They are of one run when a process of the export is torch's
and their times overlap on the wall clock.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceanalyzer.model.capabilities import capabilities_of
from traceanalyzer.model.columns import ints
from traceanalyzer.model.tables import with_ids
from traceanalyzer.model.trace import Note, Trace
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Rows = NDArray[np.bool_]

_OPS = ("ops", "python_calls")
_WORK = ("kernels", "copies")
_DEVICE = (*_WORK, "syncs", "api_calls")
_SHARED = ("annotations", "collectives")
"""Of these torch's rows on the device are projections of what the others are."""
_HOST = ("api_calls", "annotations", "ops", "others", "python_calls")


def as_one_run(
    others: Sequence[Trace], exports: Sequence[Trace]
) -> tuple[list[Trace], list[Trace], list[Trace]]:
    """The others, the exports that are of one run with some of them, and those that stay alone.

    The rows of each run are told once, and the ranks of its export are numbered as torch's. A torch trace that belongs
    to none of the exports gets a note that says why.
    """
    told, found, joined = list(others), list(exports), set[tuple[int, int]]()
    recordings = [i for i, t in enumerate(told) if t.sources[0].format == "chrome"]
    for recording in recordings if exports else ():
        reasons = []
        for export in range(len(found)):
            rank, why_not = _rank_in(found[export], told[recording])
            again = rank == told[recording].sources[0].rank  # another recording of a process that is joined
            if rank is not None and (again or (export, rank) not in joined):
                told[recording], found[export] = _told_once(told[recording], found[export], rank)
                joined.add((export, told[recording].sources[0].rank))
                break
            reasons.append(why_not)
        else:
            told[recording] = _noted(
                told[recording], Note("info", reasons[0], say("Record both in one run."))
            )
    with_others = {export for export, _ in joined}
    return (
        told,
        [t for i, t in enumerate(found) if i in with_others],
        [t for i, t in enumerate(found) if i not in with_others],
    )


def window(trace: Trace) -> tuple[int, int]:
    """From the first to the last start of a row, in ns since the epoch."""
    epoch = trace.sources[0].epoch_ns or 0
    spans = [
        pc.min_max(t["ts"]).as_py() for t in trace.tables.values() if "ts" in t.column_names and t.num_rows
    ]
    known = [(s["min"], s["max"]) for s in spans if s["min"] is not None]
    return epoch + min((a for a, _ in known), default=0), epoch + max((b for _, b in known), default=0)


def _rank_in(export: Trace, recording: Trace) -> tuple[int | None, Text]:
    """The rank in the export of the process that torch recorded, None without one; why they may not be joined."""
    name = Path(export.sources[0].path).name
    if export.sources[0].epoch_ns is None or recording.sources[0].epoch_ns is None:
        return None, say("this trace or {name} tells no wall-clock time, so they are not joined", name=name)
    (begin, end), (first, last) = window(export), window(recording)
    if last < begin or end < first:
        return None, say("does not overlap in time with {name}, so they are not joined", name=name)
    mine = np.unique(np.concatenate([ints(recording.tables[t], "pid") for t in _OPS]))
    for table in _HOST:
        theirs = export.tables[table]
        own = np.isin(ints(theirs, "pid"), mine[mine > 0])
        if own.any():
            return int(ints(theirs, "rank")[own][0]), say(
                "its process in {name} is joined with another trace, so this one is not", name=name
            )
    return None, say("its process is none of those in {name}, so they are not joined", name=name)


def _told_once(recording: Trace, export: Trace, rank: int) -> tuple[Trace, Trace]:
    """Both without what the other tells, the process of the export with torch's rank."""
    own = recording.sources[0].rank
    export = _renumbered(export, rank, own)
    of_process = {
        name: ints(t, "rank") == own for name, t in export.tables.items() if "rank" in t.column_names
    }
    left: dict[str, int] = {}
    # API calls alone do not outweigh the device work that torch recorded
    device_by_nsys = any(of_process[name].any() for name in _WORK) or (
        of_process["api_calls"].any() and not any(recording.tables[name].num_rows for name in _WORK)
    )
    torch_tables, nsys_tables = dict(recording.tables), dict(export.tables)
    if device_by_nsys:
        for name in _DEVICE:
            left[name] = _drop(torch_tables, name, np.ones(recording.tables[name].num_rows, bool))
        for name in _SHARED:
            column = recording.tables[name]["on_gpu"].combine_chunks().fill_null(False)
            left[name] = _drop(torch_tables, name, np.asarray(column))
    if of_process["devices"].any():
        _drop(torch_tables, "devices", np.ones(recording.tables["devices"].num_rows, bool))
    for name in ("ops", "allocations") if device_by_nsys else ("ops", "allocations", "api_calls"):
        if recording.tables[name].num_rows:
            left[say("{table} of nsys", table=name)] = _drop(nsys_tables, name, of_process[name])
    note = Note("info", _message(recording, nsys_tables, own, left))
    return (
        replace(recording, tables=torch_tables, capabilities=capabilities_of(torch_tables)),
        _noted(replace(export, tables=nsys_tables, capabilities=capabilities_of(nsys_tables)), note),
    )


def _message(recording: Trace, nsys: dict[str, pa.Table], rank: int, left: dict[str, int]) -> Text:
    counts = {
        name: int((ints(nsys[name], "rank") == rank).sum())
        for name in ("api_calls", "kernels", "annotations")
    }
    message = say(
        "of one run with {other}, on one time axis: {ops} {ops:op|ops} from there, {api_calls} API "
        "{api_calls:call|calls}, {kernels} {kernels:kernel|kernels} and {ranges} {ranges:range|ranges} from here",
        other=Path(recording.sources[0].path).name,
        ops=recording.ops.num_rows,
        api_calls=counts["api_calls"],
        kernels=counts["kernels"],
        ranges=counts["annotations"],
    )
    twice = [say("{table} ({rows})", table=table, rows=f"{rows:,}") for table, rows in left.items() if rows]
    if not twice:
        return message
    return say("{message}; recorded twice and taken once: {rows}", message=message, rows=join(", ", twice))


def _renumbered(trace: Trace, rank: int, to: int) -> Trace:
    """The export with one of its ranks numbered `to`; a rank that was called so takes its place."""
    if rank == to:
        return trace
    tables = dict(trace.tables)
    for name, table in trace.tables.items():
        if "rank" in table.column_names and table.num_rows:
            have = ints(table, "rank")
            new = np.where(have == rank, to, np.where(have == to, rank, have)).astype(np.int32)
            at = table.column_names.index("rank")
            tables[name] = table.set_column(at, "rank", pa.array(new))
    return replace(trace, tables=tables, sources=(replace(trace.sources[0], rank=to),))


def _drop(tables: dict[str, pa.Table], name: str, rows: Rows) -> int:
    """Take rows out of a table, with what `extras` says of them; their number."""
    if not rows.any():
        return 0
    kept = np.cumsum(~rows) - 1
    tables[name] = with_ids(tables[name].filter(pa.array(~rows)))
    extras = tables["extras"]
    if extras.num_rows:
        row = ints(extras, "row")
        of_table = np.asarray(pc.equal(extras["table"].cast(pa.string()), name).combine_chunks())
        inside = np.where(of_table, row, 0)
        stays = ~of_table | ~rows[inside]
        moved = np.where(of_table, kept[inside], row)[stays]
        extras = extras.filter(pa.array(stays))
        at = extras.column_names.index("row")
        tables["extras"] = with_ids(extras.set_column(at, "row", pa.array(moved)))
    return int(rows.sum())


def _noted(trace: Trace, note: Note) -> Trace:
    source = trace.sources[0]
    return replace(trace, sources=(replace(source, notes=(*source.notes, note)),))
