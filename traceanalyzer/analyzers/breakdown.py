"""Where the time went on each device: compute, exposed communication, exposed copies or idle, and why idle.

Every nanosecond of the window gets exactly one label. Over all streams of the device: compute when any
compute kernel runs; else communication when any communication kernel runs; else copy when a memcpy or
memset runs; else idle. The window of a rank reaches from where the host begins its first step to the end of its
last step's work; what the device still does of earlier steps then is in the window, but in no step, and what
ran before the first recorded work is unknown, not idle. A rank that was recorded several times has a window for each
recording: what lies between them is in none.
"""

from __future__ import annotations

from dataclasses import astuple
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.evidence import Evidence, text_at
from traceanalyzer.analyzers.groups import longest_of
from traceanalyzer.analyzers.host import HostActivity
from traceanalyzer.analyzers.idle import CAUSES, Gaps, explain
from traceanalyzer.analyzers.lines import idle_lines
from traceanalyzer.analyzers.results import (
    Breakdown,
    DeviceBreakdown,
    IdleCause,
    IdleGap,
    Partition,
    Step,
    Steps,
)
from traceanalyzer.analyzers.work import COMMUNICATION, COMPUTE, COPY, DeviceWork, device_work
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import covered, join, subtract
from traceanalyzer.model.recordings import recording_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace

LARGEST_GAPS = 200


class BreakdownAnalyzer:
    """The exact partition of the window per device and per step, and the causes of the idle part."""

    name: ClassVar[str] = "breakdown"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Breakdown:
        """The breakdown of every device that executed anything, by rank and device."""
        steps: Steps = results["steps"]
        host = HostActivity.of(trace)
        device_names = _device_names(trace)
        devices: list[DeviceBreakdown] = []
        gaps: list[Gaps] = []
        for work in device_work(trace):
            own = [s for s in steps.steps if s.rank == work.rank]
            if not own:
                continue
            layers = _Layers(work)
            windows = _windows(work, own, trace)
            found = [explain(work, layers.any, window, host) for window in windows]
            gaps += found
            name = device_names.get((work.rank, work.device))
            devices.append(_breakdown(layers, own, windows, found, name))
        return Breakdown(tuple(devices), _largest(gaps, trace, host), idle_lines(gaps, trace, host))


class _Layers:
    """The four exclusive layers of one device's time."""

    def __init__(self, work: DeviceWork) -> None:
        self.work = work
        self.any = work.busy()
        self.compute = work.busy(COMPUTE)
        self.communication = work.busy(COMMUNICATION)
        self.copy = work.busy(COPY)
        self.exposed_communication = subtract(self.communication, self.compute)
        self.exposed_copy = subtract(self.copy, join(self.compute, self.communication))

    def partition(self, start: NDArray[np.int64], end: NDArray[np.int64]) -> tuple[Partition, ...]:
        """One partition per window; idle is what nothing covers, so the parts sum to the window."""
        parts = [
            covered(p, start, end) for p in (self.compute, self.exposed_communication, self.exposed_copy)
        ]
        columns = (end - start, *parts, end - start - covered(self.any, start, end))
        return tuple(Partition(*row) for row in np.stack(columns, axis=1).tolist())


def _windows(work: DeviceWork, steps: list[Step], trace: Trace) -> list[tuple[int, int]]:
    """Of each recording: from the host's first step, or the first work recorded if it is earlier steps', to the end."""
    found = []
    recording = recording_at(trace.recordings, np.full(len(work.start), work.rank), work.start)
    for number, part in groupby(steps, key=lambda step: step.recording):
        own, recorded = list(part), work.start[recording == number]
        low = own[0].host_start_ns
        if own[0].start_ns > low and len(recorded):
            low = min(max(low, int(recorded[0])), own[0].start_ns)
        found.append((low, own[-1].window_end_ns))
    return found


def _breakdown(
    layers: _Layers, steps: list[Step], windows: list[tuple[int, int]], gaps: list[Gaps], name: str | None
) -> DeviceBreakdown:
    start = np.array([s.start_ns for s in steps], np.int64)
    end = np.array([s.window_end_ns for s in steps], np.int64)
    lows, highs = np.array(windows, np.int64).T
    parts = layers.partition(lows, highs)
    return DeviceBreakdown(
        rank=layers.work.rank,
        device=layers.work.device,
        name=name,
        window_start_ns=windows[0][0],
        whole=Partition(*(sum(column) for column in zip(*map(astuple, parts), strict=True))),
        steps=layers.partition(start, end),
        communication_ns=int(covered(layers.communication, lows, highs).sum()),
        copy_ns=int(covered(layers.copy, lows, highs).sum()),
        idle_causes=_causes(gaps),
    )


def _causes(gaps: list[Gaps]) -> tuple[IdleCause, ...]:
    """The causes that occur, most time first."""
    cause = np.concatenate([g.cause for g in gaps])
    time, count = np.zeros(len(CAUSES), np.int64), np.bincount(cause, minlength=len(CAUSES))
    np.add.at(time, cause, np.concatenate([g.end - g.start for g in gaps]))
    rows = [IdleCause(cause, int(time[i]), int(count[i])) for i, cause in enumerate(CAUSES) if count[i]]
    return tuple(sorted(rows, key=lambda row: -row.total_ns))


def _largest(gaps: list[Gaps], trace: Trace, host: HostActivity) -> tuple[IdleGap, ...]:
    """The longest gaps of all devices, and the longest of each cause, with what is known about each."""
    candidates = [(int(g.end[i] - g.start[i]), int(g.start[i]), g, i) for g in gaps for i in _longest(g)]
    candidates.sort(key=lambda c: (-c[0], c[1], c[2].work.rank, c[2].work.device))
    found: list[IdleGap] = []
    causes: set[int] = set()
    evidence = Evidence(trace, host)
    for number, (_, _, g, i) in enumerate(candidates):
        if number < LARGEST_GAPS or g.cause[i] not in causes:
            causes.add(int(g.cause[i]))
            found.append(_described(g, i, trace, evidence))
    return tuple(found)


def _longest(gaps: Gaps) -> list[int]:
    """The longest gaps of a device and the longest of each cause."""
    length = gaps.end - gaps.start
    of_cause = longest_of(gaps.cause, length, len(CAUSES))
    of_all = np.argsort(-length, kind="stable")[:LARGEST_GAPS]
    found: list[int] = np.union1d(of_all, of_cause[of_cause >= 0]).tolist()
    return found


def _described(gaps: Gaps, i: int, trace: Trace, evidence: Evidence) -> IdleGap:
    start, end, host_end = int(gaps.start[i]), int(gaps.end[i]), int(gaps.host_end[i])
    cause = tuple(CAUSES)[gaps.cause[i]]
    call, follower = int(gaps.call[i]), int(gaps.next_work[i])
    next_work = module = host_call = python = None
    if follower >= 0:
        table = trace.copies if gaps.work.kind[follower] == COPY else trace.kernels
        row = int(gaps.work.row[follower])
        next_work, module = text_at(table, "name", row), text_at(table, "module", row)
    if call >= 0 and host_end > start:
        launcher = int(evidence.host.api_calls.thread[call])
        crew = sorted(evidence.host.crew(launcher), key=lambda thread: (thread != launcher, thread))
        if cause in ("host_sync", "host_copy"):  # the wait that drained the queue, where there is one
            waits = [evidence.wait_at(thread, start) for thread in crew]
            host_call, python = next((w for w in waits if w[0] is not None), (None, None))
        host_call = host_call or _first(evidence.host_call(thread, start, host_end) for thread in crew)
        python = python or _first(evidence.python_line(thread, start, host_end) for thread in crew)
    return IdleGap(
        gaps.work.rank, gaps.work.device, start, end - start, cause, next_work, host_call, python, module
    )


def _first(answers: Iterable[str | None]) -> str | None:
    return next((a for a in answers if a is not None), None)


def _device_names(trace: Trace) -> dict[tuple[int, int], str]:
    codes, names = texts(trace.devices, "name")
    keys = zip(ints(trace.devices, "rank").tolist(), ints(trace.devices, "device").tolist(), strict=True)
    return {key: names[code] for key, code in zip(keys, codes.tolist(), strict=True) if code >= 0}
