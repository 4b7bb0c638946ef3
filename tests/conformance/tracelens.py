"""AMD TraceLens' definitions, on our tables.

`gpu_timeline` of TraceLens splits the time between the first and the last device row of a trace. Its rules,
found in its sources and confirmed to the last printed digit on six traces:

- a device row counts only when TraceLens could hang it below an API call: the call must lie in the window
  **and** an `ac2g` arrow must start at it; kernels of a graph launch need no arrow. So kernels launched
  before the window drop out, and on ROCm also every memset: the profiler draws no arrow for hipMemsetAsync.
- a kernel named `rccl`, `nccl` or `cross_device_reduce` is communication, `gpu_memcpy` is copying, and
  everything else, memset too, is computation.
- times are float64 microseconds as the file has them; milliseconds are printed.
- with its recompute option, rows launched below torch's `recompute_fn` are reported apart from the rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic

import numpy as np
import pyarrow as pa

from traceanalyzer.model.columns import ints, texts

from .intervals import Interval, Number, difference, total, union

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

COMPUTATION, COMMUNICATION, COPY = range(3)


@dataclass(frozen=True)
class Choices:
    """Where definitions of a timeline differ. The default is TraceLens."""

    only_launched: bool = True
    memset: int = COMPUTATION
    is_communication: Callable[[str], object] = re.compile("rccl|nccl|cross_device_reduce").search


@dataclass(frozen=True)
class DeviceRows:
    """Kernels and copies in one sequence: `ts` and `end` in ns, `kind` one of the constants above."""

    ts: NDArray[np.int64]
    end: NDArray[np.int64]
    kind: NDArray[np.int64]
    correlation: NDArray[np.int64]

    def only(self, mask: NDArray[np.bool_]) -> DeviceRows:
        """The rows of a mask."""
        return DeviceRows(self.ts[mask], self.end[mask], self.kind[mask], self.correlation[mask])


@dataclass(frozen=True)
class Timeline(Generic[Number]):
    """The parts of the timeline, disjoint and in order of time; in the unit that they were made of."""

    computation: list[Interval[Number]]
    communication: list[Interval[Number]]
    copy: list[Interval[Number]]
    busy: list[Interval[Number]]

    @property
    def exposed_communication(self) -> list[Interval[Number]]:
        """Communication that no computation hides."""
        return difference(self.communication, self.computation)

    @property
    def exposed_copy(self) -> list[Interval[Number]]:
        """Copies that neither computation nor communication hides."""
        return difference(difference(self.copy, self.computation), self.communication)


def device_rows(trace: Trace, choices: Choices) -> DeviceRows:
    """The rows that count under these choices."""
    codes, names = texts(trace.kernels, "name")
    by_name = np.array(
        [COMMUNICATION if choices.is_communication(n) else COMPUTATION for n in names], np.int64
    )
    copy_codes, copy_kinds = texts(trace.copies, "kind")
    by_kind = np.array([choices.memset if k == "memset" else COPY for k in copy_kinds], np.int64)

    def both(column: str, fill: int = -1) -> NDArray[np.int64]:
        return np.concatenate((ints(trace.kernels, column, fill), ints(trace.copies, column, fill)))

    ts = both("ts")
    kind = np.concatenate((by_name[codes], by_kind[copy_codes]))
    rows = DeviceRows(ts, ts + both("dur", 0), kind, both("correlation"))
    return rows.only(np.isin(rows.correlation, launched(trace))) if choices.only_launched else rows


def launched(trace: Trace) -> NDArray[np.int64]:
    """Correlations of launches that TraceLens can follow to the device."""
    calls = ints(trace.api_calls, "correlation")
    codes, names = texts(trace.api_calls, "name")
    of_a_graph = np.isin(
        codes, [i for i, n in enumerate(names) if n in {"cudaGraphLaunch", "hipGraphLaunch"}]
    )
    kind, kinds = texts(trace.flows, "kind")
    end, ends = texts(trace.flows, "end")
    starts = np.isin(kind, _where(kinds, "ac2g")) & np.isin(end, _where(ends, "s"))
    arrows = ints(trace.flows, "flow_id")[starts]
    return calls[(np.isin(calls, arrows) | of_a_graph) & (calls >= 0)]


def recomputed(trace: Trace) -> NDArray[np.int64]:
    """Correlations of launches made while torch.utils.checkpoint computed activations again."""
    codes, names = texts(trace.python_calls, "name")
    frames = np.isin(codes, [i for i, n in enumerate(names) if n.endswith(": recompute_fn")])
    inside = np.zeros(trace.api_calls.num_rows, bool)
    at, tid = ints(trace.api_calls, "ts"), ints(trace.api_calls, "tid")
    for row in trace.python_calls.filter(pa.array(frames)).select(["ts", "dur", "tid"]).to_pylist():
        inside |= (tid == row["tid"]) & (at >= row["ts"]) & (at < row["ts"] + row["dur"])
    return ints(trace.api_calls, "correlation")[inside]


def timeline(start: list[Number], end: list[Number], kind: NDArray[np.int64]) -> Timeline[Number]:
    """The timeline of device rows, whatever their unit of time."""
    intervals = list(zip(start, end, strict=True))

    def of_kind(wanted: int) -> list[Interval[Number]]:
        return union(i for i, k in zip(intervals, kind.tolist(), strict=True) if k == wanted)

    return Timeline(of_kind(COMPUTATION), of_kind(COMMUNICATION), of_kind(COPY), union(intervals))


def gpu_timeline(rows: DeviceRows, start_ns: int) -> dict[str, tuple[float, float]]:
    """TraceLens' table: milliseconds and percent of the total, by its names of the parts.

    Args:
        rows: the device rows that count.
        start_ns: the file's time of `ts == 0`.
    """
    start = file_us(rows.ts, start_ns)
    duration = [ns / 1000 for ns in (rows.end - rows.ts).tolist()]
    end = [s + d for s, d in zip(start, duration, strict=True)]
    parts = timeline(start, end, rows.kind)
    window = parts.busy[-1][1] - parts.busy[0][0]
    busy = total(parts.busy)
    us = {
        "computation_time": total(parts.computation),
        "exposed_comm_time": total(parts.exposed_communication),
        "exposed_memcpy_time": total(parts.exposed_copy),
        "busy_time": busy,
        "idle_time": window - busy,
        "total_time": window,
        "total_comm_time": total(parts.communication),
        "total_memcpy_time": total(parts.copy),
    }
    return {name: (time / 1e3, time / window * 100) for name, time in us.items()}


def file_us(ts: NDArray[np.int64], start_ns: int) -> list[float]:
    """Times as a JSON reader sees them: the float64 next to the file's decimal microseconds.

    Python divides integers exactly and rounds once, as a JSON reader does.
    """
    return [(start_ns + t) / 1000 for t in ts.tolist()]


def _where(dictionary: list[str], text: str) -> list[int]:
    return [i for i, entry in enumerate(dictionary) if entry == text]
