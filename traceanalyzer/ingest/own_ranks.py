"""A rank of its own for every process: rows of different processes must not share a lane."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from traceanalyzer.model.trace import Note, Source, Trace
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

SNAPSHOT = "memory snapshot"
OF_THE_SAME_PROCESS = frozenset({SNAPSHOT, "oom text"})
"""Formats that add to what a profiler recorded of a process, and so may claim its rank."""
_RANK_IN_NAME = re.compile(r"rank[-_]?(\d+)", re.IGNORECASE)


def rank_in_name(trace: Trace) -> int | None:
    """The rank that the file's name tells."""
    named = _RANK_IN_NAME.search(Path(trace.sources[0].path).name)
    return int(named[1]) if named else None


def with_own_ranks(processes: Sequence[Sequence[Trace]]) -> list[list[Trace]]:
    """The traces of each process, with ranks that no other process has.

    Of two processes that claim the same rank the second gets another one, from the file name where it tells, with a
    note.
    """
    taken_by: dict[str, set[int]] = {}
    out: list[list[Trace]] = []
    for process in processes:
        first = process[0].sources[0]
        taken = taken_by.setdefault(first.format if first.format in OF_THE_SAME_PROCESS else "", set())
        ranks = set[int]().union(*map(_ranks_of, process))
        by = 0
        if ranks & taken:
            named = rank_in_name(process[0])
            by = (first.rank if named is None else named) - first.rank
            if {r + by for r in ranks} & taken:
                by = max(taken) + 1 - min(ranks)
            process = [_elsewhere(trace, by) for trace in process]  # noqa: PLW2901
        out.append(list(process))
        taken |= {r + by for r in ranks}
    return out


def _elsewhere(trace: Trace, by: int) -> Trace:
    source = trace.sources[0]
    rank = source.rank + by
    message = say(
        "says it is rank {rank}, as another file does; shown as rank {shown}", rank=source.rank, shown=rank
    )
    notes = (*source.notes, Note("info", message))
    return ranked(trace, by, replace(source, rank=rank, notes=notes))


def _ranks_of(trace: Trace) -> set[int]:
    """The ranks whose lanes a source fills: several when it saw several processes, none when it only measured."""
    timed = [t for t in trace.tables.values() if {"rank", "ts"} <= set(t.column_names)]
    found = {int(r) for t in timed for r in pc.unique(t["rank"]).to_pylist() if r is not None}
    measured_only = not found and trace.tables["kernel_metrics"].num_rows > 0
    return set() if measured_only else found | {trace.sources[0].rank}


def ranked(trace: Trace, by: int, source: Source) -> Trace:
    """The trace with `by` added to its ranks, and `source` as its source."""
    tables = dict(trace.tables)
    for name, table in trace.tables.items():
        if "rank" in table.column_names:
            column = pc.add(table["rank"], pa.scalar(by, pa.int32()))
            tables[name] = table.set_column(table.column_names.index("rank"), "rank", column)
    return Trace((source,), tables, trace.capabilities)
