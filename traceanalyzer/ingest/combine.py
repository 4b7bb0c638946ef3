"""Several sources → one trace: one time axis, one rank each."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceanalyzer.errors import UsageError
from traceanalyzer.ingest.cycles import Profile, as_one_rank, by_process
from traceanalyzer.ingest.jobs import why_unrelated
from traceanalyzer.ingest.one_run import as_one_run, window
from traceanalyzer.ingest.own_ranks import OF_THE_SAME_PROCESS, SNAPSHOT, with_own_ranks
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.recordings import Recording
from traceanalyzer.model.schema import TABLES
from traceanalyzer.model.tables import start_order, with_ids
from traceanalyzer.model.trace import Note, Trace
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.model.table import Table


def combine(traces: Sequence[Trace]) -> Trace:
    """Put traces of one source each together.

    The time axes are joined over the wall clock; a source without one starts at 0. Each process has a rank of its own
    (see `with_own_ranks`); what a profiler recorded of one process in several cycles stays on its rank. A snapshot or
    a log beside a profile tells of the same process, and so do a torch trace and an export of Nsight Systems that are
    of one run (see `as_one_run`). Files that cannot be of one run are told (`Trace.unrelated`).
    """
    if not traces:
        raise UsageError(say("no input"))
    if len(traces) == 1:
        return traces[0]
    processes = by_process([Profile.of(t) for t in traces if not t.sources[0].of_nsys])
    own = with_own_ranks([as_one_rank(process) for process in processes])
    exports = [t for t in traces if t.sources[0].of_nsys]
    others, joined, apart = as_one_run([t for process in own for t in process], exports)
    groups = [list(islice(left, len(process))) for left in [iter(others)] for process in own]
    ranked = [t for process in with_own_ranks([*groups, *([t] for t in apart)]) for t in process]
    ranked = sorted([*ranked, *joined], key=lambda t: t.sources[0].rank)
    unrelated = why_unrelated(processes) or why_unrelated([[Profile.of(t)] for t in apart])
    return replace(_joined(ranked, in_order=not joined), unrelated=unrelated)


def _joined(ranked: Sequence[Trace], *, in_order: bool) -> Trace:
    """All rows on one time axis; `in_order` when those of a rank come one source after the other."""
    epochs = [t.sources[0].epoch_ns for t in ranked]
    known = [e for e in epochs if e is not None]
    start = min(known, default=0)
    ranked = [_with_note_on_time(t, ranked) for t in ranked]
    shifted = [
        _moved(t, 0 if epoch is None else epoch - start, start if known else None)
        for t, epoch in zip(ranked, epochs, strict=True)
    ]
    offsets = {table.name: _offsets([t.tables[table.name] for t in shifted]) for table in TABLES}
    tables = {}
    for table in TABLES:
        parts = [t.tables[table.name] for t in shifted]
        if table.name == "extras":
            parts = [
                _extras_moved(part, {n: o[i] for n, o in offsets.items()}) for i, part in enumerate(parts)
            ]
        parts = [_pointing(table, part, offsets, i) for i, part in enumerate(parts)]
        tables[table.name] = with_ids(pa.concat_tables(parts).unify_dictionaries().combine_chunks())
    if not in_order:
        _sort(tables)
    capabilities = frozenset().union(*(t.capabilities for t in shifted))
    return Trace(
        tuple(t.sources[0] for t in shifted), tables, capabilities, recordings=_recordings(shifted, start)
    )


def _recordings(shifted: Sequence[Trace], start_ns: int) -> tuple[Recording, ...]:
    """The recordings of the ranks that torch's profiler recorded several times, and nothing else in between."""
    tells = [t.sources[0] for t in shifted]
    by_rank = Counter(s.rank for s in tells if s.format == "chrome")
    whole = {s.rank for s in tells if s.format not in {"chrome", *OF_THE_SAME_PROCESS}}
    return tuple(
        Recording(s.rank, number, *(ns - start_ns for ns in window(t)))
        for number, (s, t) in enumerate(zip(tells, shifted, strict=True))
        if s.format == "chrome" and by_rank[s.rank] > 1 and s.rank not in whole
    )


def _with_note_on_time(trace: Trace, others: Sequence[Trace]) -> Trace:
    """A snapshot beside profiles of its rank is told when their times do not meet: nothing can be joined then."""
    source = trace.sources[0]
    beside = [
        t
        for t in others
        if t.sources[0].format not in OF_THE_SAME_PROCESS and t.sources[0].rank == source.rank
    ]
    if source.format != SNAPSHOT or not beside or not trace.tables["allocations"].num_rows:
        return trace
    if source.epoch_ns is None or all(t.sources[0].epoch_ns is None for t in beside):
        message = say(
            "the snapshot or the profile beside it tells no wall-clock time, so they are not joined"
        )
    else:
        first, last = window(trace)
        windows = [window(t) for t in beside if t.sources[0].epoch_ns is not None]
        if any(begin <= last and first <= end for begin, end in windows):
            return trace
        message = say(
            "the snapshot does not overlap in time with the profile beside it, so nothing of it is joined"
        )
    note = Note("info", message, say("Record both in one run."))
    return replace(trace, sources=(replace(source, notes=(*source.notes, note)),))


def _pointing(kind: Table, part: pa.Table, offsets: dict[str, list[int]], source: int) -> pa.Table:
    """The rows with their references into other tables moved to where those rows of the source now are."""
    for column in kind.source_columns:
        if column.refers and part.num_rows and (by := offsets[column.refers][source]):
            moved = pc.add(part[column.name], pa.scalar(by, pa.int64()))
            part = part.set_column(part.column_names.index(column.name), column.name, moved)
    return part


def _sort(tables: dict[str, pa.Table]) -> None:
    """Sort the rows of sources that share a rank, and what `extras` says of them along."""
    place = {}
    for name, table in tables.items():
        order = start_order(table)
        if order is not None:
            tables[name] = with_ids(table.take(pa.array(order)).combine_chunks())
            place[name] = np.argsort(order)
    extras = tables["extras"]
    if extras.num_rows and place:
        codes, names = texts(extras, "table")
        rows = ints(extras, "row")
        for code, name in enumerate(names):
            if name in place:
                rows = np.where(codes == code, place[name][np.where(codes == code, rows, 0)], rows)
        at = extras.column_names.index("row")
        tables["extras"] = extras.set_column(at, "row", pa.array(rows))


def _offsets(tables: Sequence[pa.Table]) -> list[int]:
    return [0, *np.cumsum([t.num_rows for t in tables]).tolist()]


def _extras_moved(extras: pa.Table, offsets: dict[str, int]) -> pa.Table:
    if not extras.num_rows:
        return extras
    column = extras["table"].combine_chunks()
    shifts = np.array([offsets[name] for name in column.dictionary.to_pylist()], np.int64)
    rows = np.asarray(extras["row"]) + shifts[np.asarray(column.indices)]
    return extras.set_column(extras.column_names.index("row"), "row", pa.array(rows))


def _moved(trace: Trace, by_ns: int, epoch_ns: int | None) -> Trace:
    tables = dict(trace.tables)
    if by_ns:
        for name, table in trace.tables.items():
            if "ts" in table.column_names and table.num_rows:
                moved = pc.add(table["ts"], pa.scalar(by_ns, pa.int64()))
                tables[name] = table.set_column(table.column_names.index("ts"), "ts", moved)
    source = trace.sources[0]
    metadata = dict(source.metadata)
    if "capture_offset_ns" in metadata:
        metadata["capture_offset_ns"] -= by_ns
    source = replace(source, epoch_ns=source.epoch_ns and epoch_ns, metadata=metadata)
    return Trace((source,), tables, trace.capabilities)
