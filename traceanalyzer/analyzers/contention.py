"""What holds the launching threads up: slow launch calls, and other Python threads while a device is idle."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.work import device_work
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import gaps, intersect, total, union
from traceanalyzer.model.join import distinct
from traceanalyzer.model.recordings import part_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.work import DeviceWork
    from traceanalyzer.model.trace import Capability, Trace

_WAITS = re.compile(
    r"threading\.py\(|queue\.py\(|selectors\.py\(|socket\.py\(|connection\.py\(|<built-in method (acquire|wait|poll|"
    r"select|recv|sleep|read|get)\b|concurrent/futures/thread\.py\(\d+\): _worker"
)


@dataclass(frozen=True, slots=True)
class Contention:
    """What was found, summed over ranks and devices.

    `slow_launches` of `launches` calls took `thresholds.SLOW_CALL_NS` and more although the queue had room, and
    `slow_ns` longer than the median call. `python_ns` is idle time of devices in which a Python thread that launches
    nothing was at work, `python` its function of the longest frame. `slowest` is the slowest such call, a row of
    `api_calls`, and `frame` the longest frame, a row of `python_calls`.
    """

    launches: int
    slow_launches: int
    slow_ns: int
    python_ns: int
    python: str | None
    slowest: int | None = None
    frame: int | None = None


class ContentionAnalyzer:
    """Over all ranks and the whole trace."""

    name: ClassVar[str] = "contention"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Contention:  # noqa: ARG002
        """Sums over ranks and devices."""
        works = device_work(trace)
        slow = [_slow(trace, work) for work in works]
        python_ns, frame = _other_python(trace, works)
        duration = ints(trace.api_calls, "dur", 0)
        late = np.concatenate([np.zeros(0, np.int64), *(late for _, late, _ in slow)])
        return Contention(
            sum(calls for calls, _, _ in slow),
            len(late),
            sum(excess for _, _, excess in slow),
            python_ns,
            None if frame is None else trace.python_calls.column("name")[frame].as_py(),
            int(late[duration[late].argmax()]) if len(late) else None,
            frame,
        )


def _slow(trace: Trace, work: DeviceWork) -> tuple[int, NDArray[np.int64], int]:
    """Launch calls of a device, those that are slow with room in the queue, and what they take beyond the median."""
    calls = distinct(work.api_call[work.api_call >= 0])
    if not len(calls):
        return 0, calls, 0
    start = ints(trace.api_calls, "ts")[calls]
    duration = np.maximum(ints(trace.api_calls, "dur", 0), 0)[calls]
    codes, names = texts(trace.api_calls, "name")
    plain = np.array(["LaunchKernel" in n for n in names] + [False])[codes[calls]]
    finished = np.searchsorted(np.sort(work.end[work.api_call >= 0]), start)
    submitted = np.searchsorted(np.sort(start), start)
    slow = (
        plain & (duration >= thresholds.SLOW_CALL_NS) & (submitted - finished < thresholds.LAUNCH_QUEUE - 2)
    )
    typical = int(np.median(duration[plain])) if plain.any() else 0
    return int(plain.sum()), calls[slow], int((duration[slow] - typical).sum())


def _other_python(trace: Trace, works: tuple[DeviceWork, ...]) -> tuple[int, int | None]:
    """Idle time with a busy Python thread beside the launching ones, and the row of its longest frame."""
    frames, api = trace.python_calls, trace.api_calls
    if not frames.num_rows or not works:
        return 0, None
    launching = distinct(np.concatenate([w.api_call[w.api_call >= 0] for w in works]))
    launchers = _threads(api.take(launching)) if len(launching) else set()
    parents = ints(frames, "parent")
    leaf = np.ones(frames.num_rows, np.bool_)
    leaf[parents[parents >= 0]] = False
    codes, names = texts(frames, "name")
    waits = np.array([_WAITS.search(n) is not None for n in names] + [True])[codes]
    rank, pid, tid = (ints(frames, c) for c in ("rank", "pid", "tid"))
    own = np.zeros(frames.num_rows, np.bool_)
    for r, p, t in launchers:
        own |= (rank == r) & (pid == p) & (tid == t)
    chosen = np.flatnonzero(leaf & ~waits & ~own & ~_without_end(trace))
    if not len(chosen) or not launchers:
        return 0, None
    start = ints(frames, "ts")[chosen]
    end = start + np.maximum(ints(frames, "dur", 0)[chosen], 0)
    spent = 0
    for work in works:
        busy = work.busy()
        mine = rank[chosen] == work.rank
        idle = gaps(busy, int(busy.start[0]), int(busy.end[-1])) if len(busy.start) else busy
        spent += total(intersect(idle, union(start[mine], end[mine])))
    return spent, int(chosen[(end - start).argmax()])


def _without_end(trace: Trace) -> NDArray[np.bool_]:
    """Frames as long as their recording: with nothing called and no return, they may as well be blocked."""
    frames = trace.python_calls
    rank, start = ints(frames, "rank"), ints(frames, "ts")
    end = start + np.maximum(ints(frames, "dur", 0), 0)
    endless = np.zeros(len(rank), np.bool_)
    for mine in group_rows(part_of(trace.recordings, rank, start)):
        recorded = int(end[mine].max() - start[mine].min())
        endless[mine] = (end - start)[mine] >= thresholds.ENDLESS_SHARE * recorded
    return endless


def _threads(calls: Any) -> set[tuple[int, int, int]]:
    keys: NDArray[np.int64] = np.unique(np.stack([ints(calls, c) for c in ("rank", "pid", "tid")]), axis=1)
    return {(r, p, t) for r, p, t in keys.T.tolist()}
