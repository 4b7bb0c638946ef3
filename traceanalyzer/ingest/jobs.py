"""Why files that were given together cannot be of one run of one job.

Ranks of a job run at the same time, each of them once, and agree on how many they are. That they do not is said only
where nothing else explains it: clocks of hosts may differ, and what runs side by side may be replicas of a service.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from traceanalyzer.ingest.own_ranks import OF_THE_SAME_PROCESS, rank_in_name
from traceanalyzer.model.columns import texts
from traceanalyzer.model.communication import is_communication
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceanalyzer.ingest.cycles import Profile

    Process = Sequence[Profile]

CLOCKS_APART_NS = 5 * 60 * 10**9
"""Clocks that are kept by NTP differ by milliseconds, those that nobody keeps by seconds and minutes."""


def why_unrelated(processes: Sequence[Process]) -> Text | str:
    """Two files that are not of one run, and what to do; empty where all may be of one.

    Args:
        processes: the recordings of each process in the order of time.
    """
    ranks = [p for p in processes if p[0].trace.sources[0].format not in OF_THE_SAME_PROCESS]
    for one, other, why in (*_of_other_jobs(ranks), *_of_other_times(ranks)):
        return say(
            "{one} and {other} are not of one run: {why}. Give the files of one run, or two runs to diff.",
            one=one[0].trace.sources[0].path,
            other=other[0].trace.sources[0].path,
            why=why,
        )
    return ""


def _of_other_jobs(ranks: Sequence[Process]) -> Iterator[tuple[Process, Process, Text]]:
    """Two that do not agree on how many ranks there are."""
    told = [(process, next((p.ranks for p in reversed(process) if p.ranks), None)) for process in ranks]
    known = [(process, count) for process, count in told if count is not None]
    for process, count in known[1:]:
        first, expected = known[0]
        if count != expected:
            why = say(
                "one is of a job of {ranks} {ranks:rank|ranks}, the other of {others}",
                ranks=expected,
                others=count,
            )
            yield first, process, why


def _of_other_times(ranks: Sequence[Process]) -> Iterator[tuple[Process, Process, Text]]:
    """Two that may be the same rank, of which one ran after the other."""
    why = say("one was recorded after the other, and not of the same process")
    latest: dict[int | None, Process] = {}
    for process in sorted(ranks, key=lambda p: p[0].first_ns or 0):
        rank = _rank(process)
        rivals = latest.values() if rank is None else [latest[r] for r in (rank, None) if r in latest]
        yield from ((rival, process, why) for rival in rivals if _ran_after(rival, process))
        latest[rank] = max(latest.get(rank, process), process, key=lambda p: p[-1].last_ns or 0)


def _rank(process: Process) -> int | None:
    """The rank that a process tells in its header, else in the name of its file."""
    return next((p.rank for p in process if p.rank is not None), rank_in_name(process[0].trace))


def _ran_after(one: Process, other: Process) -> bool:
    """Whether clocks that are off do not explain that nothing of the two was recorded at the same time."""
    apart_ns = _apart_ns(one, other)
    same_recorder = one[0].trace.sources[0].of_nsys and one[0].pids & other[0].pids
    if apart_ns == 0 or not one[0].pids or not other[0].pids or same_recorder:
        return False
    both_told = all(any(p.rank is not None for p in process) for process in (one, other))
    return both_told or apart_ns > CLOCKS_APART_NS or not (_communicates(one) and _communicates(other))


def _apart_ns(one: Process, other: Process) -> int:
    """The least time between recordings of the two; 0 where some were made at the same time, or none is told."""
    marks = sorted(
        (p.first_ns, p.last_ns, number)
        for number, process in enumerate((one, other))
        for p in process
        if p.first_ns is not None and p.last_ns is not None
    )
    return max(min((b[0] - a[1] for a, b in pairwise(marks) if a[2] != b[2]), default=0), 0)


def _communicates(process: Process) -> bool:
    """Whether a process moves data between ranks: only then it is one of several."""
    tables = (p.trace.tables[name] for p in process for name in ("kernels", "ops", "annotations"))
    names = (name for table in tables for name in texts(table, "name")[1] if name is not None)
    return any(name.startswith("c10d::") or is_communication(name) for name in names)
