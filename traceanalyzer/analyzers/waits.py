"""Where the host waits for a device: the op that asked for it, and how long the device was idle for it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.host import STALLS
from traceanalyzer.analyzers.work import device_work
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import Intervals, contains, gaps, intersect, total, union
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.recordings import recording_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]

REPORTS = re.compile(
    r"(^|[/\\.])(logging|tqdm|wandb|tensorboard|tensorboardX|mlflow|rich|loguru|neptune|comet_ml)([/\\.]|$)"
    r"|<built-in (function|method) print\b|torch/_tensor_str\.py|\b(log_metrics|add_scalar|log_dict)$"
)
"""Python frames that report: loggers, progress bars, trackers, printing."""


@dataclass(frozen=True, slots=True)
class WaitRow:
    """The waiting calls of one innermost op; `op` is None outside all ops.

    `idle_ns` is the time in which the devices of the rank are idle from the beginning of such a call to the next
    work; `python` is the line of the innermost frame around the longest one.
    """

    op: str | None
    reports: bool  # within a function that logs, prints or tracks
    count: int
    host_ns: int
    idle_ns: int
    python: str | None
    longest: int | None = None  # row of `api_calls`


@dataclass(frozen=True, slots=True)
class Waits:
    """Rows by op and by whether something was reported, most idle time first."""

    rows: tuple[WaitRow, ...]


class WaitsAnalyzer:
    """Looks at every call that returns when the device is done."""

    name: ClassVar[str] = "waits"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Waits:  # noqa: ARG002
        """The waits of all ranks, over the whole trace."""
        api = trace.api_calls
        codes, names = texts(api, "name")
        rows = np.flatnonzero(
            np.array([STALLS["host_sync"].search(n) is not None for n in names] + [False])[codes]
        )
        if not len(rows):
            return Waits(())
        op, rank = ints(api, "op")[rows], ints(api, "rank")[rows]
        start = ints(api, "ts")[rows]
        end = start + np.maximum(ints(api, "dur", 0), 0)[rows]
        op_codes, op_names = texts(trace.ops, "name")
        op_code = np.where(op >= 0, np.append(op_codes, -1)[op], -1)
        reports = _within_reports(trace, rows)
        idle, next_work = _idle(trace, rank, end)
        frame = ints(api, "python_call")[rows]
        found = []
        for key in np.unique(np.stack((op_code, reports)), axis=1).T.tolist():
            mine = np.flatnonzero((op_code == key[0]) & (reports == key[1]))
            longest = mine[np.argmax(end[mine] - start[mine])]
            found.append(
                WaitRow(
                    op_names[key[0]] if key[0] >= 0 else None,
                    bool(key[1]),
                    len(mine),
                    int((end - start)[mine].sum()),
                    _idle_within(idle, rank[mine], start[mine], next_work[mine]),
                    _place(trace, int(frame[longest])),
                    int(rows[longest]),
                )
            )
        return Waits(tuple(sorted(found, key=lambda r: (-r.idle_ns, -r.host_ns, r.op or "", r.reports))))


def _within_reports(trace: Trace, rows: Ints) -> NDArray[np.bool_]:
    """Which of these API calls begin within a function that reports, on the same thread."""
    calls = trace.python_calls
    codes, names = texts(calls, "name")
    hit = np.flatnonzero(np.array([REPORTS.search(n) is not None for n in names] + [False])[codes])
    inside = np.zeros(len(rows), np.bool_)
    start, at = ints(calls, "ts")[hit], ints(trace.api_calls, "ts")[rows]
    end = start + np.maximum(ints(calls, "dur", 0)[hit], 0)
    keys = (
        np.concatenate((ints(calls, c)[hit], ints(trace.api_calls, c)[rows])) for c in ("rank", "pid", "tid")
    )
    thread = codes_of(*keys)
    of_frame, of_call = thread[: len(hit)], thread[len(hit) :]
    for t in np.unique(of_frame).tolist():
        mine = of_frame == t
        inside |= (of_call == t) & contains(union(start[mine], end[mine]), at)
    return inside


def _idle(trace: Trace, rank: Ints, end: Ints) -> tuple[dict[int, Intervals], Ints]:
    """When all devices of each rank are idle, and where the next work after each wait begins."""
    idle: dict[int, Intervals] = {}
    next_work = end.copy()
    works = device_work(trace)
    for r in sorted({w.rank for w in works}):
        start = np.sort(np.concatenate([w.start for w in works if w.rank == r]))
        stop = np.concatenate([w.end for w in works if w.rank == r])
        busy = union(np.concatenate([w.start for w in works if w.rank == r]), stop)
        mine = rank == r
        follower = np.searchsorted(start, end[mine])
        following = np.where(follower < len(start), np.append(start, 0)[follower], end[mine])
        here, there = (recording_at(trace.recordings, rank[mine], at) for at in (end[mine], following))
        next_work[mine] = np.where(here == there, following, end[mine])
        idle[r] = gaps(busy, int(start[0]), int(max(stop.max(), end[mine].max(initial=0))))
    return idle, next_work


def _idle_within(idle: Mapping[int, Intervals], rank: Ints, start: Ints, end: Ints) -> int:
    return sum(
        total(intersect(idle[r], union(start[rank == r], end[rank == r])))
        for r in np.unique(rank).tolist()
        if r in idle
    )


def _place(trace: Trace, row: int) -> str | None:
    if row < 0:
        return None
    calls = trace.python_calls
    file, line = (calls.column(c)[row].as_py() for c in ("file", "line"))
    return f"{file}:{line}" if file else calls.column("name")[row].as_py()
