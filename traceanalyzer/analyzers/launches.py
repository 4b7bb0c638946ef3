"""How far the host runs ahead of each device, and what its API calls cost.

The delay of a kernel is the time from the start of its launching call to its own start. With an empty queue
it is the latency of a launch; with a full one it is the time in the queue. The depth of the queue counts
work from the start of its API call to its end on the device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.results import ApiRow, DeviceLaunches, Launches
from traceanalyzer.analyzers.work import COPY, DeviceWork, device_work
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import distinct

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace

CHART_POINTS = 2000


class LaunchesAnalyzer:
    """Launch delay and queue depth per device, API calls by name."""

    name: ClassVar[str] = "launches"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Launches:  # noqa: ARG002
        """The launches of all ranks, over the whole trace."""
        start = ints(trace.api_calls, "ts")
        duration = np.maximum(ints(trace.api_calls, "dur", 0), 0)
        work = device_work(trace)
        return Launches(
            devices=tuple(_device(w, start, duration) for w in work),
            api=_api_rows(trace, duration),
            queue={(w.rank, w.device): _thinned(*_depth(w, start)) for w in work if (w.api_call >= 0).any()},
        )


def _device(
    work: DeviceWork, call_start: NDArray[np.int64], call_duration: NDArray[np.int64]
) -> DeviceLaunches:
    kernels = work.kind != COPY
    linked = kernels & (work.api_call >= 0)
    delay = work.start[linked] - call_start[work.api_call[linked]]
    p5, p50, p95 = (_percentile(delay, q) for q in (5, 50, 95))
    time, depth = _depth(work, call_start)
    launches = distinct(call_start[work.api_call[work.api_call >= 0]])
    at_launch = depth[np.searchsorted(time, launches, side="right") - 1]
    length = (work.end - work.start)[kernels]
    return DeviceLaunches(
        rank=work.rank,
        device=work.device,
        kernels=int(kernels.sum()),
        linked=int(linked.sum()),
        delay_p5_ns=p5,
        delay_p50_ns=p50,
        delay_p95_ns=p95,
        queue_p50=_percentile(at_launch, 50),
        queue_max=int(at_launch.max()) if len(at_launch) else None,
        launch_call_p50_ns=_percentile(call_duration[distinct(work.api_call[linked])], 50),
        tiny_share=float((length < thresholds.TINY_KERNEL_NS).mean()) if len(length) else None,
        bound=_bound(p5, p50),
    )


def _bound(p5: int | None, p50: int | None) -> str:
    """Which side waits for the other: with a median delay near its floor the queue is empty."""
    if p5 is None or p50 is None:
        return "unknown"
    if p50 > thresholds.DEEP_QUEUE_DELAY_NS:
        return "device"
    if p50 <= max(thresholds.EMPTY_QUEUE_DELAY_NS, 2 * p5):
        return "host"
    return "unknown"


def _depth(work: DeviceWork, call_start: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The times at which the depth of the queue changes, ascending, and the depth from then on."""
    linked = work.api_call >= 0
    launched = call_start[work.api_call[linked]]
    # A clock that puts the end before the launch must not make the depth negative.
    done = np.maximum(work.end[linked], launched)
    time = np.concatenate((launched, done))
    change = np.concatenate((np.ones(len(launched), np.int64), np.full(len(done), -1)))
    order = np.argsort(time, kind="stable")
    time, depth = time[order], np.cumsum(change[order])
    last = np.append(np.diff(time) > 0, True)[: len(time)]  # one answer per time: after all changes at it
    return time[last], depth[last]


def _thinned(time: NDArray[np.int64], depth: NDArray[np.int64]) -> tuple[tuple[int, int], ...]:
    """At most CHART_POINTS (time, depth) points; of each stretch the deepest one."""
    if len(time) > CHART_POINTS:
        edges = np.linspace(0, len(time), CHART_POINTS, endpoint=False).astype(np.int64)
        deepest = np.maximum.reduceat(depth, edges)
        time, depth = time[edges], deepest
    return tuple(zip(time.tolist(), depth.tolist(), strict=True))


def _api_rows(trace: Trace, duration: NDArray[np.int64]) -> tuple[ApiRow, ...]:
    codes, names = texts(trace.api_calls, "name")
    rows = [
        ApiRow(names[codes[group[0]]], len(group), int(duration[group].sum()), int(duration[group].max()))
        for group in group_rows(codes)
        if codes[group[0]] >= 0
    ]
    return tuple(sorted(rows, key=lambda row: (-row.total_ns, row.name)))


def _percentile(values: NDArray[np.int64], percent: int) -> int | None:
    return round(float(np.percentile(values, percent))) if len(values) else None
