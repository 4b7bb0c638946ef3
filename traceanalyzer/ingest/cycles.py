"""Files that one process wrote, one after the other: a profiler whose schedule repeats writes one per cycle.

They tell the same process id (and worker, where their names do), do not overlap in time, and the ids that PyTorch
counts ops with go on in the next one. A program that was started again begins to count anew.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.ingest.one_run import window
from traceanalyzer.ingest.own_ranks import ranked
from traceanalyzer.model.columns import ints
from traceanalyzer.model.trace import Note
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.model.trace import Trace

_WORKER = re.compile(r"^(.+)\.\d+\.pt\.trace\.json")
"""What `tensorboard_trace_handler` calls its files: the worker (host and process id), then the time."""


@dataclass(frozen=True)
class Profile:
    """One source, and what tells whose it is.

    `first_ns` and `last_ns` are the first and the last start of a row on the wall clock, None where it is not told.
    `rank` and `ranks` (how many there are) are those of the header, None when the program was not distributed, or not
    yet. `pids` are the processes that were recorded on the host.
    """

    trace: Trace
    first_ns: int | None
    last_ns: int | None
    rank: int | None
    ranks: int | None
    pids: frozenset[int]
    worker: str | None

    @classmethod
    def of(cls, trace: Trace) -> Profile:
        """Look at a trace of one source."""
        source = trace.sources[0]
        first_ns, last_ns = window(trace) if source.epoch_ns is not None else (None, None)
        header = source.metadata.get("distributedInfo")
        told = header if isinstance(header, dict) else {}
        rank, ranks = (
            v if isinstance(v := told.get(key), int) and v >= 0 else None for key in ("rank", "world_size")
        )
        pids = np.concatenate([np.unique(ints(trace.tables[t], "pid")) for t in ("ops", "api_calls")])
        worker = _WORKER.match(Path(source.path).name)
        return cls(
            trace, first_ns, last_ns, rank, ranks, frozenset(pids[pids > 0].tolist()), worker and worker[1]
        )

    def is_before(self, other: Profile) -> bool:
        """Whether all of it was recorded before the other one; False where a time is not told."""
        return self.last_ns is not None and other.first_ns is not None and self.last_ns < other.first_ns


def by_process(profiles: Sequence[Profile]) -> list[list[Profile]]:
    """The profiles of each process in the order of time; processes in the order in which they come."""
    processes: list[list[int]] = []
    for number in sorted(range(len(profiles)), key=lambda i: profiles[i].first_ns or 0):
        same = (p for p in processes if _goes_on(profiles[p[-1]], profiles[number]))
        process = next(same, None)
        if process is None:
            processes.append([number])
        else:
            process.append(number)
    return [[profiles[i] for i in process] for process in sorted(processes, key=min)]


def as_one_rank(process: Sequence[Profile]) -> list[Trace]:
    """The traces of a process, all on the rank that it tells in any of them; its devices are described once."""
    first, *others = (p.trace for p in process)
    if not others:
        return [first]
    told = next((p.rank for p in process if p.rank is not None), first.sources[0].rank)
    moved = [ranked(t, told - t.sources[0].rank, replace(t.sources[0], rank=told)) for t in (first, *others)]
    moved[0] = _noted(moved[0], len(moved))
    described = next((i for i, t in enumerate(moved) if t.tables["devices"].num_rows), 0)
    return [
        t if i == described else replace(t, tables={**t.tables, "devices": t.tables["devices"].slice(0, 0)})
        for i, t in enumerate(moved)
    ]


def _noted(trace: Trace, count: int) -> Trace:
    message = say(
        "{count} {count:recording|recordings} of one process, one after the other, shown as one rank: what lay between "
        "them counts nowhere",
        count=count,
    )
    source = trace.sources[0]
    return replace(trace, sources=(replace(source, notes=(*source.notes, Note("info", message))),))


def _goes_on(earlier: Profile, later: Profile) -> bool:
    """Whether the later profile is of the process of the earlier one."""
    by_torch = {p.trace.sources[0].format for p in (earlier, later)} == {"chrome"}
    if not by_torch or not earlier.is_before(later) or not earlier.pids & later.pids:
        return False
    differ = len({earlier.rank, later.rank} - {None}) > 1 or len({earlier.worker, later.worker} - {None}) > 1
    return not differ and _counts_on(earlier.trace, later.trace)


def _counts_on(earlier: Trace, later: Trace) -> bool:
    before, after = (ints(t.tables["ops"], "external_id") for t in (earlier, later))
    before, after = before[before > 0], after[after > 0]
    return not len(before) or not len(after) or int(after.min()) > int(before.max())
