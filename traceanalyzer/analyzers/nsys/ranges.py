"""The tables of `nsys stats` about named ranges, and their projection on the device.

Ranges are NVTX's, with those that emit_nvtx wrote for ops; in a torch trace, the annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceanalyzer.analyzers.device_time import up_the_tree
from traceanalyzer.analyzers.nsys.summary import grouped, summary
from traceanalyzer.analyzers.nsys.table import Labels, StatsTable, in_order, known
from traceanalyzer.analyzers.nsys.tables import capture_start
from traceanalyzer.model.columns import ints, present, text_column, texts
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
    label: Labels
    push_pop: NDArray[np.bool_]

    def only(self, rows: NDArray[Any]) -> _Ranges:
        """Some of the ranges, told by their numbers or by flags."""
        return _Ranges(
            self.rank[rows], self.pid[rows], self.tid[rows], self.start[rows], self.duration[rows],
            self.number[rows], self.label.at(rows), self.push_pop[rows],
        )  # fmt: skip


def _ranges(trace: Trace) -> _Ranges:
    found: _Ranges = trace.once("nsys_ranges", _all_ranges)
    return found


def _all_ranges(trace: Trace) -> _Ranges:
    annotations, ops = trace.annotations, trace.ops
    host = ~np.asarray(annotations["on_gpu"].combine_chunks().fill_null(False))
    style, styles = texts(annotations, "style")
    is_mark = np.array([*(s == "mark" for s in styles), False])[style]
    kept = np.flatnonzero(host & present(annotations, "dur") & ~is_mark)
    written = np.flatnonzero(present(ops, "range_text") & present(ops, "dur"))
    domain, domains = texts(annotations, "domain")
    name, names = texts(annotations, "name")
    spelled, texts_of_ops = texts(ops, "range_text")
    pairs = codes_of(domain.astype(np.int64) + 1, name.astype(np.int64))
    distinct, first, code = np.unique(pairs[kept], return_index=True, return_inverse=True)
    labels = [
        _label(domains[domain[i]] if domain[i] >= 0 else None, names[name[i]] if name[i] >= 0 else "")
        for i in kept[first].tolist()
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
    return _Ranges(
        rank,
        pid,
        tid,
        start,
        duration,
        number,
        _one_per_text(label[order], [*labels, *texts_of_ops]),
        push_pop[order],
    )


def _one_per_text(codes: Ints, names: list[str]) -> Labels:
    """An annotation and a range that was written for an op may have the same text."""
    distinct = pa.array(names, pa.string()).dictionary_encode()
    return Labels(np.asarray(distinct.indices, np.int64)[codes], distinct.dictionary.to_pylist())


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
    groups = grouped(ranges.label.codes * 2 + ranges.push_pop, ranges.duration)
    style = Labels(ranges.push_pop[groups.first].astype(np.int64), (_START_END, _PUSH_POP))
    labels = {"Style": style} if with_style else {}
    return summary(name, groups, labels | {"Range": ranges.label.at(groups.first)})


def nvtx_gpu_proj_trace(trace: Trace) -> StatsTable:
    """Push/pop ranges in which work was launched, with the time from the first to the last of that work.

    Work belongs to a range when the call that launched it lies wholly inside, on the same thread. Times count from
    the beginning of the capture.
    """
    found: StatsTable = trace.once("nvtx_gpu_proj_trace", _projections)
    return found


def _projections(trace: Trace) -> StatsTable:
    ranges = _ranges(trace)
    ranges = ranges.only(ranges.push_pop)
    parent, depth, count, first, last = _projected(ranges, trace)
    rows = np.flatnonzero(count)
    place = np.full(len(count) + 1, -1, np.int64)
    place[rows] = np.arange(len(rows))
    ranges, depth, parent = ranges.only(rows), depth[rows], place[parent[rows]]
    offset = capture_start(trace)
    columns = {
        "Name": ranges.label.column,
        "Projected Start (ns)": first[rows] + offset,
        "Projected Duration (ns)": last[rows] - first[rows],
        "Orig Start (ns)": ranges.start + offset,
        "Orig Duration (ns)": ranges.duration,
        "Style": text_column(np.zeros(len(rows), np.int64), [_PUSH_POP]),
        "PID": ranges.pid,
        "TID": ranges.tid,
        "NumGPUOps": count[rows],
        "Lvl": depth,
        "NumChild": np.bincount(parent[parent >= 0], minlength=len(rows)),
        "RangeId": ranges.number,
        "ParentId": known(np.append(ranges.number, -1)[parent], parent >= 0),
        "RangeStack": _stacks(parent, depth, ranges.number),
    }
    order = (ranges.start, -ranges.duration, ranges.number)
    return StatsTable("nvtx_gpu_proj_trace", in_order(columns, *order))


def _stacks(parent: Ints, depth: Ints, number: Ints) -> pa.Array:
    """The numbers of the ranges around each range and its own: `:3:17`."""
    nothing, colon = (pa.scalar(text, pa.large_string()) for text in ("", ":"))
    own = pc.binary_join_element_wise(nothing, pa.array(number).cast(pa.large_string()), colon)
    levels = [np.flatnonzero(depth == level) for level in range(int(depth.max(initial=-1)) + 1)]
    stacks = [own.take(rows) for rows in levels[:1]]
    for above, rows in pairwise(levels):
        around = stacks[-1].take(np.searchsorted(above, parent[rows]))
        stacks.append(pc.binary_join_element_wise(around, own.take(rows), nothing))
    if not stacks:
        return own
    return pa.concat_arrays(stacks).take(np.argsort(np.concatenate(levels)))


def nvtx_gpu_proj_sum(trace: Trace) -> StatsTable:
    """The projected ranges by name."""
    projected = nvtx_gpu_proj_trace(trace).cells
    label = Labels.of(projected, "Name")
    on_gpu, on_host, operations, level, children = (
        grouped(label.codes, ints(projected, column))
        for column in ("Projected Duration (ns)", "Orig Duration (ns)", "NumGPUOps", "Lvl", "NumChild")
    )
    label = label.at(on_gpu.first)
    columns = {
        "Range": label.column,
        "Style": text_column(np.zeros(len(label.codes), np.int64), [_PUSH_POP]),
        "Total Proj Time (ns)": on_gpu.total,
        "Total Range Time (ns)": on_host.total,
        "Range Instances": on_gpu.count,
        **on_gpu.spread("Proj "),
        "Total GPU Ops": operations.total,
        "Avg GPU Ops": operations.mean,
        "Avg Range Lvl": level.mean,
        "Avg Num Child": children.mean,
    }
    return StatsTable("nvtx_gpu_proj_sum", in_order(columns, -on_gpu.total, label.alphabetical))


def _projected(ranges: _Ranges, trace: Trace) -> tuple[Ints, Ints, Ints, Ints, Ints]:
    """Parent and depth of each range, and number, first start and last end of the work launched in it."""
    calls = trace.api_calls
    lanes = codes_of(
        *(
            np.concatenate((mine, ints(calls, column)))
            for mine, column in ((ranges.rank, "rank"), (ranges.pid, "pid"), (ranges.tid, "tid"))
        )
    )
    lane, call_lane = lanes[: len(ranges.start)], lanes[len(ranges.start) :]
    parent, levels = nest(lane, ranges.start, ranges.duration)
    depth = levels.astype(np.int64)
    call, low, high = _launched(trace)
    called = ints(calls, "ts")[call]
    inner = enclosing(lane, ranges.start, ranges.duration, parent, call_lane[call], called)
    inner = _wholly_inside(inner, parent, ranges, called + ints(calls, "dur", 0)[call])
    inside = inner >= 0
    return parent, depth, *_up(parent, depth, inner[inside], low[inside], high[inside])


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


def _up(parent: Ints, depth: Ints, inner: Ints, low: Ints, high: Ints) -> tuple[Ints, Ints, Ints]:
    """Number, first start and last end of the work in each range and the ranges inside it."""
    size = len(parent)
    count = up_the_tree(parent, depth, np.bincount(inner, minlength=size).astype(np.int64))
    first, last = np.full(size, np.iinfo(np.int64).max), np.full(size, np.iinfo(np.int64).min)
    np.minimum.at(first, inner, low)
    np.maximum.at(last, inner, high)
    for level in range(int(depth.max(initial=0)), 0, -1):
        rows = np.flatnonzero(depth == level)
        np.minimum.at(first, parent[rows], first[rows])
        np.maximum.at(last, parent[rows], last[rows])
    return count, first, last
