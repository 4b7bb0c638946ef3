"""The tables of `nsys stats` about named ranges, and their projection on the device.

Ranges are NVTX's, with those that emit_nvtx wrote for ops; in a torch trace, the annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.device_time import up_the_tree
from traceanalyzer.analyzers.nsys.tables import StatsTable, capture_start, grouped, name_of
from traceanalyzer.model.columns import ints, present, texts
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.tree import enclosing, nest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

_PUSH_POP, _START_END = "PushPop", "StartEnd"


@dataclass(frozen=True)
class _Ranges:
    """All closed host ranges in the order of rank, start and length; arrays of shape (ranges,)."""

    rank: Ints
    pid: Ints
    tid: Ints
    start: Ints
    duration: Ints
    number: Ints  # the profiler's, else the row number
    label: Ints
    labels: list[str]
    push_pop: NDArray[np.bool_]

    def only(self, rows: NDArray[np.bool_]) -> _Ranges:
        """Some of the ranges."""
        return _Ranges(
            self.rank[rows], self.pid[rows], self.tid[rows], self.start[rows], self.duration[rows],
            self.number[rows], self.label[rows], self.labels, self.push_pop[rows],
        )  # fmt: skip


def _ranges(trace: Trace) -> _Ranges:
    annotations, ops = trace.annotations, trace.ops
    host = ~np.asarray(annotations["on_gpu"].combine_chunks().fill_null(False))
    style, styles = texts(annotations, "style")
    is_mark = np.array([*(s == "mark" for s in styles), False])[style]
    kept = np.flatnonzero(host & present(annotations, "dur") & ~is_mark)
    written = np.flatnonzero(present(ops, "range_text") & present(ops, "dur"))
    domain, domains = texts(annotations, "domain")
    name, names = texts(annotations, "name")
    name_of_row = name_of(name, names)
    spelled, texts_of_ops = texts(ops, "range_text")
    pairs = codes_of(domain.astype(np.int64) + 1, name.astype(np.int64))
    distinct, first, code = np.unique(pairs[kept], return_index=True, return_inverse=True)
    labels = [
        _label(domains[domain[i]] if domain[i] >= 0 else None, name_of_row(i)) for i in kept[first].tolist()
    ]
    started = np.array([*(s == "start_end" for s in styles), False])[style]
    columns = [
        np.concatenate((ints(annotations, c)[kept], ints(ops, c)[written]))
        for c in ("rank", "pid", "tid", "ts", "dur", "ev_idx")
    ]
    columns[5] = np.where(columns[5] < 0, np.arange(len(columns[5])), columns[5])
    label = np.concatenate((code.astype(np.int64), spelled[written].astype(np.int64) + len(distinct)))
    push_pop = np.concatenate((~started[kept], np.ones(len(written), bool)))
    order = np.lexsort((columns[5], -columns[4], columns[3], columns[0]))
    rank, pid, tid, start, duration, number = (c[order] for c in columns)
    names_of_all = [*labels, *texts_of_ops]
    return _Ranges(rank, pid, tid, start, duration, number, label[order], names_of_all, push_pop[order])


def _label(domain: str | None, name: str) -> str:
    return name if domain in {None, "user_annotation"} else f"{domain}:{name}"


def nvtx_sum(trace: Trace) -> StatsTable:
    """Closed ranges by style and name."""
    return _summed("nvtx_sum", _ranges(trace), with_style=True)


def nvtx_pushpop_sum(trace: Trace) -> StatsTable:
    """Ranges that were pushed and popped, by name."""
    ranges = _ranges(trace)
    return _summed("nvtx_pushpop_sum", ranges.only(ranges.push_pop))


def nvtx_startend_sum(trace: Trace) -> StatsTable:
    """Ranges that were started and ended, by name."""
    ranges = _ranges(trace)
    return _summed("nvtx_startend_sum", ranges.only(~ranges.push_pop))


def _summed(name: str, ranges: _Ranges, *, with_style: bool = False) -> StatsTable:
    groups = grouped(ranges.label * 2 + ranges.push_pop, ranges.duration)
    everything = int(groups.total.sum())
    rows = []
    for i, first in enumerate(groups.first.tolist()):
        style = (_PUSH_POP if ranges.push_pop[first] else _START_END,) if with_style else ()
        total = int(groups.total[i])
        share = 100 * total / everything if everything else 0.0
        label = ranges.labels[ranges.label[first]]
        rows.append((share, total, int(groups.count[i]), *groups.spread(i), *style, label))
    rows.sort(key=lambda r: (-r[1], *r[8:]))
    columns = ("Time (%)", "Total Time (ns)", "Instances", "Avg (ns)", "Med (ns)", "Min (ns)", "Max (ns)",
               "StdDev (ns)", *(("Style",) if with_style else ()), "Range")  # fmt: skip
    return StatsTable(name, columns, tuple(rows))


def nvtx_gpu_proj_trace(trace: Trace) -> StatsTable:
    """Push/pop ranges in which work was launched, with the time from the first to the last of that work.

    Work belongs to a range when the call that launched it lies wholly inside, on the same thread. Times count from
    the beginning of the capture.
    """
    ranges = _ranges(trace)
    ranges = ranges.only(ranges.push_pop)
    offset = capture_start(trace)
    calls = trace.api_calls
    lanes = codes_of(
        *(
            np.concatenate((mine, ints(calls, column)))
            for mine, column in ((ranges.rank, "rank"), (ranges.pid, "pid"), (ranges.tid, "tid"))
        )
    )
    lane, call_lane = lanes[: len(ranges.start)], lanes[len(ranges.start) :]
    parent, depth = nest(lane, ranges.start, ranges.duration)
    call, low, high = _launched(trace)
    inner = enclosing(lane, ranges.start, ranges.duration, parent, call_lane[call], ints(calls, "ts")[call])
    inner = _wholly_inside(inner, parent, ranges, ints(calls, "ts")[call] + ints(calls, "dur", 0)[call])
    known = inner >= 0
    count, first, last = _up(parent, depth, inner[known], low[known], high[known])
    children = np.bincount(parent[(parent >= 0) & (count > 0)], minlength=len(parent))
    rows = []
    stack: dict[int, str] = {}
    for row in range(len(parent)):  # parents come before their children
        stack[row] = f"{stack.get(int(parent[row]), '')}:{int(ranges.number[row])}"
        if count[row]:
            rows.append((
                ranges.labels[ranges.label[row]], int(first[row]) + offset, int(last[row] - first[row]),
                int(ranges.start[row]) + offset, int(ranges.duration[row]), _PUSH_POP, int(ranges.pid[row]),
                int(ranges.tid[row]), int(count[row]), int(depth[row]), int(children[row]),
                int(ranges.number[row]), int(ranges.number[parent[row]]) if parent[row] >= 0 else None, stack[row],
            ))  # fmt: skip
    rows.sort(key=lambda r: (r[3], -r[4], r[11]))
    columns = ("Name", "Projected Start (ns)", "Projected Duration (ns)", "Orig Start (ns)", "Orig Duration (ns)",
               "Style", "PID", "TID", "NumGPUOps", "Lvl", "NumChild", "RangeId", "ParentId",
               "RangeStack")  # fmt: skip
    return StatsTable("nvtx_gpu_proj_trace", columns, tuple(rows))


def nvtx_gpu_proj_sum(trace: Trace) -> StatsTable:
    """The projected ranges by name."""
    projected = nvtx_gpu_proj_trace(trace).rows
    names = sorted({row[0] for row in projected})
    code_of = {name: i for i, name in enumerate(names)}
    code = np.array([code_of[row[0]] for row in projected], np.int64)
    on_gpu, on_host, operations, level, children = (
        grouped(code, np.array([row[column] for row in projected], np.int64)) for column in (2, 4, 8, 9, 10)
    )
    rows = [
        (
            names[i], _PUSH_POP, int(on_gpu.total[i]), int(on_host.total[i]), int(on_gpu.count[i]), *on_gpu.spread(i),
            int(operations.total[i]), float(operations.mean[i]), float(level.mean[i]), float(children.mean[i]),
        )
        for i in range(len(names))
    ]  # fmt: skip
    rows.sort(key=lambda r: (-r[2], r[0]))
    columns = ("Range", "Style", "Total Proj Time (ns)", "Total Range Time (ns)", "Range Instances", "Proj Avg (ns)",
               "Proj Med (ns)", "Proj Min (ns)", "Proj Max (ns)", "Proj StdDev (ns)", "Total GPU Ops", "Avg GPU Ops",
               "Avg Range Lvl", "Avg Num Child")  # fmt: skip
    return StatsTable("nvtx_gpu_proj_sum", columns, tuple(rows))


def _launched(trace: Trace) -> tuple[Ints, Ints, Ints]:
    """Call, start and end of each kernel and copy whose call is known."""
    parts = []
    for table in (trace.kernels, trace.copies):
        call, start = ints(table, "api_call"), ints(table, "ts")
        known = call >= 0
        parts.append((call[known], start[known], (start + np.maximum(ints(table, "dur", 0), 0))[known]))
    call, low, high = (np.concatenate(c) for c in zip(*parts, strict=True))
    return call, low, high


def _wholly_inside(inner: Ints, parent: Ints, ranges: _Ranges, end: Ints) -> Ints:
    if not len(parent):
        return inner
    while True:
        outlasts = (inner >= 0) & (ranges.start[inner] + ranges.duration[inner] < end)
        if not outlasts.any():
            return inner
        inner = np.where(outlasts, parent[inner], inner)


def _up(
    parent: Ints, depth: NDArray[np.int32], inner: Ints, low: Ints, high: Ints
) -> tuple[Ints, Ints, Ints]:
    """Number, first start and last end of the work in each range and the ranges inside it."""
    size = len(parent)
    count = up_the_tree(parent, depth.astype(np.int64), np.bincount(inner, minlength=size).astype(np.int64))
    first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
    np.minimum.at(first, inner, low)
    np.maximum.at(last, inner, high)
    for level in range(int(depth.max(initial=0)), 0, -1):
        rows = np.flatnonzero(depth == level)
        np.minimum.at(first, parent[rows], first[rows])
        np.maximum.at(last, parent[rows], last[rows])
    return count, first, last
