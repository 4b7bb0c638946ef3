"""When device work was launched, also where the launch itself was not recorded: a stream keeps its order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.work import COMPUTE, COPY
from traceanalyzer.model.columns import ints

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.analyzers.work import DeviceWork
    from traceanalyzer.model.trace import Trace

BEFORE_THE_RECORDING = np.iinfo(np.int64).min


def launch_moments(work: DeviceWork, trace: Trace) -> NDArray[np.int64]:
    """The moment of each piece of work's launch, ns; shape (rows,).

    Without a launch of its own it is that of the work before it on its stream; what comes before all launches of
    its stream was launched `BEFORE_THE_RECORDING`. On a stream of which no launch is known, work counts as launched
    when it began.
    """
    known = work.api_call >= 0
    moment = work.start.copy()
    moment[known] = ints(trace.api_calls, "ts")[work.api_call[known]]
    stream = _streams(work, trace)
    for number in np.unique(stream[~known]).tolist():
        rows = np.flatnonzero(stream == number)
        rows = rows[np.lexsort((moment[rows], ~known[rows], work.end[rows], work.start[rows]))]
        if known[rows].any():
            launched = np.where(known[rows], moment[rows], BEFORE_THE_RECORDING)
            moment[rows] = np.where(known[rows], moment[rows], np.maximum.accumulate(launched))
    return moment


def main_stream(work: DeviceWork, trace: Trace) -> NDArray[np.bool_]:
    """Which work ran on the stream where compute kernels take most time; shape (rows,)."""
    streams, code = np.unique(_streams(work, trace), return_inverse=True)
    kernel_ns = np.where(work.kind == COMPUTE, work.end - work.start, 0)
    main = int(np.bincount(code, weights=kernel_ns, minlength=len(streams)).argmax())
    return np.asarray(code == main)


def _streams(work: DeviceWork, trace: Trace) -> NDArray[np.int64]:
    stream = np.empty(len(work.row), np.int64)
    copies = work.kind == COPY
    stream[copies] = ints(trace.copies, "stream")[work.row[copies]]
    stream[~copies] = ints(trace.kernels, "stream")[work.row[~copies]]
    return stream
