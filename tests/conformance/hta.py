"""HolisticTraceAnalysis' definitions, on our tables.

HTA works in whole microseconds on the rows that survive its filter:

- rounding: a start is rounded up, an end down, after both were float64 microseconds of the file; so a row may
  be 0 us long, and one that is shorter than its rounding is negative.
- the last ProfilerStep is dropped (unless asked for): host rows count when they start before it does, device
  rows when a host row that counts has their correlation. With fewer than two steps everything counts.
- by name, a device row is communication (nccl…Kernel), memory (Memcpy…, Memset…, dma…), or computation unless
  its name holds Memcpy or Sync. Communication of other libraries is computation.

The analyses are in the functions below, each with its rule.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.model.columns import ints, texts

from .intervals import Interval, intersection, total, union

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

LAUNCHES = frozenset({
    "cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cudaMemcpyAsync", "cudaMemsetAsync",
    "hipLaunchKernel", "hipExtModuleLaunchKernel", "hipMemsetAsync", "hipMemcpyAsync", "hipMemcpyWithStream",
})  # fmt: skip
"""The API calls that its queue length counts; cudaGraphLaunch and cooperative launches are not among them."""

CONSECUTIVE_KERNEL_US = 30
"""A shorter gap between two kernels that were both queued counts as the cost of launching."""


@dataclass(frozen=True)
class Choices:
    """Where definitions of the rows that count differ. The default is HTA."""

    whole_us: bool = True
    keep_last_step: bool = False
    keep_without_launch: bool = False


HTA = Choices()


@dataclass(frozen=True)
class Rows:
    """The device rows that count, in order of start; times are us of the file (ns when not rounded).

    `launch` is the start of the API call with the same correlation, `queued` whether HTA's queue length
    counts it.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    stream: NDArray[np.int64]
    kind: NDArray[np.str_]
    launch: NDArray[np.int64]
    queued: NDArray[np.bool_]

    def only(self, chosen: NDArray[Any]) -> Rows:
        """The rows of a mask, or of indices in their order."""
        columns: tuple[NDArray[Any], ...] = (
            self.start, self.end, self.stream, self.kind, self.launch, self.queued,
        )  # fmt: skip
        return Rows(*(column[chosen] for column in columns))

    def streams(self) -> Iterator[tuple[int, Rows]]:
        """Each stream with its rows."""
        for stream in sorted(set(self.stream.tolist())):
            yield stream, self.only(self.stream == stream)

    def merged(self, kind: str | None = None) -> list[Interval[int]]:
        """The union of the rows of a kind, or of all."""
        mine = self if kind is None else self.only(self.kind == kind)
        return union(zip(mine.start.tolist(), mine.end.tolist(), strict=True))


def device_rows(trace: Trace, start_ns: int, choices: Choices = HTA) -> Rows:
    """The filter and the rounding.

    Args:
        trace: one rank.
        start_ns: the file's time of `ts == 0`.
        choices: what to count, and in which unit.
    """
    clock = _rounded if choices.whole_us else _exact
    launch, has_steps = _launches(trace, start_ns, choices)
    parts = []
    for table in (trace.kernels, trace.copies):
        codes, names = texts(table, "name")
        kinds = np.array([_kind(n) for n in names], np.str_)
        start, end = clock(ints(table, "ts"), ints(table, "dur", 0), start_ns)
        correlation = ints(table, "correlation")
        parts.append(
            (start, end, ints(table, "stream"), kinds[codes] if names else np.array([], np.str_), correlation)
        )
    start, end, stream, kind, correlation = map(np.concatenate, zip(*parts, strict=True))
    found = [launch.get(c) for c in correlation.tolist()]
    rows = Rows(
        start, end, stream, kind,
        np.array([f[0] if f else 0 for f in found], np.int64),
        np.array([bool(f and f[1]) for f in found]),
    )  # fmt: skip
    if has_steps:
        counts = np.array([f is not None for f in found])
        if choices.keep_without_launch:
            counts |= ~np.isin(correlation, ints(trace.api_calls, "correlation"))
        rows = rows.only(counts)
    return rows.only(np.argsort(rows.start, kind="stable"))


def temporal_breakdown(rows: Rows) -> dict[str, float]:
    """How the time between the first start and the last end was spent, by HTA's column names.

    Compute is the union of computation over all streams; idle is what no row covers; the rest is non-compute.
    So copies and communication that run beside computation are hidden, as they are with us.
    """
    busy = rows.merged()
    window = busy[-1][1] - busy[0][0]
    idle = window - total(busy)
    compute = total(rows.merged("computation"))
    parts = {"idle_time": idle, "compute_time": compute, "non_compute_time": window - compute - idle}
    return {
        **{f"{name}(us)": time for name, time in parts.items()},
        "kernel_time(us)": window,
        **{f"{name}_pctg": round(100 * (time / window), 2) for name, time in parts.items()},
    }


def overlap_percent(rows: Rows) -> float | None:
    """The share of communication time in which computation runs too; None without communication."""
    communication = rows.merged("communication")
    if not communication:
        return None
    both = total(intersection(communication, rows.merged("computation")))
    return round(100 * (both / total(communication)), 2)


@dataclass(frozen=True)
class Idle:
    """The gaps of one stream that HTA gives one cause."""

    time_us: int
    share: float | None
    gaps: int


def idle_breakdown(rows: Rows) -> dict[tuple[int, str], Idle]:
    """Each gap before a row of a stream, by cause.

    host_wait: the call that launched the row started after the previous row had ended. kernel_wait: else,
    when the gap is under 30 us. other: else; the first row of a stream is counted here, with no gap.
    """
    result: dict[tuple[int, str], Idle] = {}
    for stream, mine in rows.streams():
        gap = mine.start[1:] - mine.end[:-1]
        host = mine.launch[1:] > mine.end[:-1]
        kernel = ~host & (gap < CONSECUTIVE_KERNEL_US)
        causes = {"host_wait": host, "kernel_wait": kernel, "other": ~host & ~kernel}
        whole = int(gap.sum())
        for cause, chosen in causes.items():
            if chosen.any() or cause == "other":
                time = int(gap[chosen].sum())
                share = round(time / whole, 2) if whole else None
                result[stream, cause] = Idle(time, share, int(chosen.sum()))
    return result


@dataclass(frozen=True)
class Queue:
    """The queue length of a stream after each change: the lowest and the highest that HTA may report.

    HTA sorts launches and starts by whole microseconds with an unstable sort, so which comes first within one
    microsecond depends on the processor's vector units. `low` has the starts first, `high` the launches;
    every order in between lies between them, change by change.
    """

    low: NDArray[np.int64]
    high: NDArray[np.int64]


def queue_length(rows: Rows) -> dict[int, Queue]:
    """+1 where a call launches a row of the stream, -1 where the row starts."""
    result = {}
    for stream, mine in rows.only(rows.queued).streams():
        time = np.concatenate((mine.launch, mine.start))
        change = np.repeat([1, -1], len(mine.start))
        low, high = (np.cumsum(change[np.lexsort((first, time))]) for first in (change, -change))
        result[stream] = Queue(low, high)
    return result


def _kind(name: str) -> str:
    if name.startswith("nccl") and "Kernel" in name:
        return "communication"
    if name.startswith(("Memcpy", "Memset", "dma")):
        return "memory"
    return "other" if "Memcpy" in name or "Sync" in name else "computation"


def _launches(trace: Trace, start_ns: int, choices: Choices) -> tuple[dict[int, tuple[int, bool]], bool]:
    """The API calls that count, by correlation: start in us, and whether the queue length knows them.

    The second part says whether there are steps to count by.
    """
    calls = trace.api_calls
    codes, names = texts(calls, "name")
    start = _rounded(ints(calls, "ts"), ints(calls, "dur", 0), start_ns)[0].tolist()
    steps = _steps(trace, start_ns)
    has_steps = len({name for name, _, _ in steps}) > 1
    before = math.inf
    if has_steps:
        last_start, last_end = max(at for _, at, _ in steps), max(end for _, _, end in steps)
        before = last_end + 1 if choices.keep_last_step else last_start
    found = {
        correlation: (at, names[code] in LAUNCHES)
        for correlation, at, code in zip(
            ints(calls, "correlation").tolist(), start, codes.tolist(), strict=True
        )
        if correlation >= 0 and at < before
    }
    return found, has_steps


def _steps(trace: Trace, start_ns: int) -> list[tuple[str, int, int]]:
    """Name, start and end of each ProfilerStep; old traces record them as ops."""
    found = []
    for table in (trace.annotations, trace.ops):
        codes, names = texts(table, "name")
        start, end = _rounded(ints(table, "ts"), ints(table, "dur", 0), start_ns)
        chosen = np.isin(codes, [i for i, n in enumerate(names) if n.startswith("ProfilerStep")])
        found += [(names[codes[i]], int(start[i]), int(end[i])) for i in np.flatnonzero(chosen)]
    return found


def _rounded(
    ts: NDArray[np.int64], dur: NDArray[np.int64], start_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end in us: up and down, from the float64 sum that a JSON reader would form."""
    start = np.array([(start_ns + t) / 1000 for t in ts.tolist()], np.float64)
    end = start + np.array([d / 1000 for d in dur.tolist()], np.float64)
    return np.ceil(start).astype(np.int64), np.floor(end).astype(np.int64)


def _exact(
    ts: NDArray[np.int64], dur: NDArray[np.int64], start_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Start and end in ns."""
    return ts + start_ns, ts + start_ns + dur
