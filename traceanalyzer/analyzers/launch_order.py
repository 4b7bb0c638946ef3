"""When device work was launched, also where the launch itself was not recorded: a stream keeps its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.work import COMPUTE, streams
from traceanalyzer.model.annotations import host_ranges
from traceanalyzer.model.columns import ints
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.recordings import recording_at

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.analyzers.work import DeviceWork
    from traceanalyzer.model.trace import Trace

BEFORE_THE_RECORDING, LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


def launch_moments(work: DeviceWork, trace: Trace) -> NDArray[np.int64]:
    """The moment of each piece of work's launch, ns; shape (rows,).

    Without a launch of its own, work counts as launched when it began, or with the first launch of what follows it on
    its stream, if that was called earlier: then the device was behind. Where none of its recording comes before it, the
    call lies `BEFORE_THE_RECORDING`.
    """
    known = work.api_call >= 0
    moment = work.start.copy()
    moment[known] = ints(trace.api_calls, "ts")[work.api_call[known]]
    recording = recording_at(trace.recordings, np.full(len(moment), work.rank), work.start)
    moment[~known & (work.start < _host_begins(work.rank, trace)[recording])] = BEFORE_THE_RECORDING
    part = codes_of(streams(work, trace), recording)
    for number in np.unique(part[~known]).tolist():
        rows = np.flatnonzero(part == number)
        rows = rows[np.lexsort((moment[rows], ~known[rows], work.end[rows], work.start[rows]))]
        called = np.where(known[rows], moment[rows], LAST)
        following = np.minimum.accumulate(called[::-1])[::-1]
        behind = ~known[rows] & (following <= work.start[rows])
        first = ~np.logical_or.accumulate(known[rows])
        moment[rows[behind]] = np.where(first[behind], BEFORE_THE_RECORDING, following[behind])
    return moment


def _host_begins(rank: int, trace: Trace) -> NDArray[np.int64]:
    """When the first row of the host begins in each recording of a rank, ns; the least number where there is none."""
    begins = np.full(1 + sum(r.rank == rank for r in trace.recordings), LAST)
    for table, rows in ((trace.api_calls, slice(None)), (trace.annotations, host_ranges(trace.annotations))):
        ts = ints(table, "ts")[rows][ints(table, "rank")[rows] == rank]
        np.minimum.at(begins, recording_at(trace.recordings, np.full(len(ts), rank), ts), ts)
    return np.where(begins == LAST, BEFORE_THE_RECORDING, begins)


def main_stream(work: DeviceWork, trace: Trace) -> NDArray[np.bool_]:
    """Which work ran on the stream where compute kernels take most time; shape (rows,)."""
    code = np.unique(streams(work, trace), return_inverse=True)[1]
    kernel_ns = np.where(work.kind == COMPUTE, work.end - work.start, 0)
    main = int(np.bincount(code, weights=kernel_ns).argmax())
    return np.asarray(code == main)
