"""Steps: the iterations of the program on each rank.

`ProfilerStep#N` ranges when the program called `prof.step()`; the ranges that the user names instead, when
they are named; otherwise the whole window counts as one step. A step ends when its host range has ended and
the last device work launched in it is done (torch-tb-profiler's definition), but its window runs to the
start of the next step, so that windows tile the time. The last step is kept, unless nothing happens in it (see
`_without_empty_end`): its window ends with its work.

A host that does not wait runs ahead: it may launch three steps while the device does the first. So a window
begins where the host's range does, or later: when the main stream, where compute kernels take most time,
has done what was launched before. Other streams do not count, as what runs beside the next step belongs to no
one step's pace.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.launch_order import launch_moments, main_stream
from traceanalyzer.analyzers.results import Step, Steps
from traceanalyzer.analyzers.work import DeviceWork, by_row, device_work
from traceanalyzer.errors import UsageError
from traceanalyzer.model.annotations import host_ranges
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.recordings import recording_at
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace

PROFILER_STEP = re.compile(r"ProfilerStep\s*#\s*\d+")
WHOLE_WINDOW = "whole trace"


@dataclass(frozen=True)
class StepsAnalyzer:
    """Finds the steps; `step` is the name, glob or regular expression of the annotations that count."""

    step: str | None = None
    name: ClassVar[str] = "steps"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Steps:  # noqa: ARG002
        """The steps of every rank, in order of rank and start."""
        work = device_work(trace)
        if self.step is not None:
            kind, ranges = "annotation", _named(trace, self.step)
        else:
            kind, ranges = "profiler_step", _profiler_steps(trace)
        if not ranges:
            kind, ranges = "window", _whole_window(trace)
        moments = [launch_moments(device, trace) for device in work]
        launched = tuple(zip(work, moments, strict=True))
        parts = _by_recording(ranges)
        if kind == "profiler_step":
            parts = (_without_empty_end(part, trace) for part in parts)
        timed = (_timed(part, trace, launched, follow=kind != "window") for part in parts)
        steps = tuple(_counted(step for part in timed for step in part))
        durations = np.array([s.duration_ns for s in steps], np.int64)
        median = int(np.median(durations)) if len(durations) else 0
        return Steps(kind, steps, median, _outliers(durations, median), by_row(work, moments, trace))


def step_of(work: pa.Table, steps: Steps) -> NDArray[np.int64]:
    """The step in whose window each row of kernels or copies begins, counted on its rank; -1 outside of all."""
    rank, start = ints(work, "rank"), ints(work, "ts")
    found = np.full(len(rank), -1, np.int64)
    for r in np.unique(rank).tolist():
        own = [step for step in steps.steps if step.rank == r]
        rows = np.flatnonzero(rank == r)
        begins = np.array([step.start_ns for step in own], np.int64)
        ends = np.array([*(step.window_end_ns for step in own), -1], np.int64)
        index = np.searchsorted(begins, start[rows], side="right") - 1
        found[rows] = np.where(start[rows] < ends[index], index, -1)
    return found


@dataclass(frozen=True, slots=True)
class _Range:
    rank: int
    recording: int
    name: str
    start: int
    end: int


def _profiler_steps(trace: Trace) -> list[_Range]:
    # Traces of 2021 hold the steps among the ops.
    for table in (trace.annotations, trace.ops):
        names = {n for n in texts(table, "name")[1] if n is not None and PROFILER_STEP.fullmatch(n)}
        found = _ranges(trace, table, names)
        if found:
            return found
    return []


def _named(trace: Trace, wanted: str) -> list[_Range]:
    """The host ranges of that exact name; if there are none, those that match as glob, then as regex.

    Raises:
        UsageError: nothing matches; the message lists the most frequent names.
    """
    table = trace.annotations
    codes, names = texts(table, "name")
    host = host_ranges(table)
    count = Counter(names[c] for c in codes[host & (codes >= 0)].tolist())
    chosen = {n for n in count if n == wanted} or {n for n in count if fnmatchcase(n, wanted)}
    if not chosen:
        try:
            pattern = re.compile(wanted)
        except re.error as error:
            raise UsageError(
                say(
                    "--step {wanted!r} is not a valid regular expression: {error}", wanted=wanted, error=error
                )
            ) from None
        chosen = {n for n in count if pattern.search(n)}
    if not chosen:
        frequent = ", ".join(
            repr(n) for n, _ in sorted(count.items(), key=lambda item: (-item[1], item[0]))[:8]
        )
        raise UsageError(
            say(
                "no annotation matches {wanted!r}; the trace has {names}",
                wanted=wanted,
                names=frequent or say("no annotations at all"),
            )
        )
    return _ranges(trace, table, chosen)


def _ranges(trace: Trace, table: pa.Table, names: set[str]) -> list[_Range]:
    if not names:
        return []
    codes, dictionary = texts(table, "name")
    wanted = np.array([n in names for n in dictionary] + [False])
    rows = np.flatnonzero(wanted[codes] & host_ranges(table))
    rank, ts = ints(table, "rank")[rows], ints(table, "ts")[rows]
    recording = recording_at(trace.recordings, rank, ts)
    columns = (rank, recording, codes[rows], ts, _ends(trace, table, rows))
    return [
        _Range(r, number, dictionary[c], start, end)
        for r, number, c, start, end in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _ends(trace: Trace, table: pa.Table, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """When the ranges end: one that an error cut off, with the next one or with the last that its rank recorded."""
    rank, ts, duration = (ints(table, column)[rows] for column in ("rank", "ts", "dur"))
    end = ts + np.maximum(duration, 0)
    for i in np.flatnonzero(duration < 0).tolist():
        later = ts[(rank == rank[i]) & (ts > ts[i])]
        end[i] = later.min() if len(later) else max(_last(trace, int(rank[i])), int(ts[i]))
    return end


def _last(trace: Trace, rank: int) -> int:
    """The end of the last row of a rank."""
    last = 0
    for table in trace.tables.values():
        if {"rank", "ts"} <= set(table.column_names):
            end = ints(table, "ts")
            if "dur" in table.column_names:
                end = end + np.maximum(ints(table, "dur", 0), 0)
            last = max(last, int(end[ints(table, "rank") == rank].max(initial=0)))
    return last


def _whole_window(trace: Trace) -> list[_Range]:
    """From the first row to the end of the last, per rank and recording.

    Python frames count only when there is nothing else: they often reach out of the window into the profiler.
    """
    extent: dict[tuple[int, int], tuple[int, int]] = {}
    for names in (("ops", "api_calls", "kernels", "copies"), ("annotations", "python_calls")):
        for name in names:
            table = trace.tables[name]
            rank, ts = ints(table, "rank"), ints(table, "ts")
            end = ts + np.maximum(ints(table, "dur", 0), 0)
            recording = recording_at(trace.recordings, rank, ts)
            for rows in group_rows(rank, recording):
                part = int(rank[rows[0]]), int(recording[rows[0]])
                low, high = extent.get(part, (np.iinfo(np.int64).max, 0))
                extent[part] = min(low, int(ts[rows].min())), max(high, int(end[rows].max()))
        if extent:
            break
    return [_Range(*part, WHOLE_WINDOW, low, high) for part, (low, high) in extent.items()]


def _counted(steps: Iterable[Step]) -> Iterator[Step]:
    """The steps with their indexes, which go on from one recording of a rank to the next."""
    count: Counter[int] = Counter()
    for step in steps:
        yield replace(step, index=count[step.rank])
        count[step.rank] += 1


def _by_recording(ranges: list[_Range]) -> Iterator[list[_Range]]:
    """The outermost ranges of each recording: one that begins inside another is a part of it, no step."""
    for rank, recording in sorted({(r.rank, r.recording) for r in ranges}):
        outermost: list[_Range] = []
        own = (r for r in ranges if (r.rank, r.recording) == (rank, recording))
        for r in sorted(own, key=lambda r: (r.start, -r.end)):
            if not outermost or r.start >= outermost[-1].end:
                outermost.append(r)
        yield outermost


def _without_empty_end(ranges: list[_Range], trace: Trace) -> list[_Range]:
    """Without a last range in which no op begins: the program left the profiler right after `prof.step()`."""
    rank = ranges[0].rank
    first, last = np.searchsorted(ints(trace.ops, "rank"), (rank, rank + 1))
    begun = ints(trace.ops, "ts")[first:last]  # rows are in order of rank and start
    ops = np.diff(np.searchsorted(begun, [(r.start, r.end) for r in ranges]))
    return ranges[:-1] if ops[-1] == 0 and ops.any() else ranges


def _timed(
    ranges: list[_Range], trace: Trace, works: Sequence[tuple[DeviceWork, NDArray[np.int64]]], *, follow: bool
) -> Iterator[Step]:
    """The steps of one recording with the end of the work launched in them; windows that may `follow` the device."""
    host_start = np.array([r.start for r in ranges], np.int64)
    host_end = np.array([r.end for r in ranges], np.int64)
    end, start = host_end.copy(), host_start.copy()
    for device, launched in works:
        if device.rank != ranges[0].rank:
            continue
        step = np.searchsorted(host_start, launched, side="right") - 1
        inside = (step >= 0) & (launched <= host_end[np.maximum(step, 0)])
        np.maximum.at(end, step[inside], device.end[inside])
        main = main_stream(device, trace)
        launching = np.unique(step[main & (step >= 0)])
        if not follow or 2 * len(launching) < len(ranges):
            continue  # one launch for many steps sets no pace
        before = np.zeros(len(ranges) + 1, np.int64)
        np.maximum.at(before, step[main] + 1, device.end[main])
        start = np.maximum(start, np.maximum.accumulate(before)[:-1])
    end = np.maximum(end, start)
    window_end = np.concatenate((start[1:], end[-1:]))
    for i, r in enumerate(ranges):
        times = (r.start, r.end, int(start[i]), int(end[i]), int(window_end[i]))
        yield Step(i, r.name, r.rank, *times, r.recording)


def _outliers(durations: NDArray[np.int64], median: int) -> tuple[int, ...]:
    if len(durations) < 3:
        return ()
    away = np.abs(durations - median)
    scaled_mad = 1.4826 * float(np.median(away))
    limit = max(thresholds.STEP_OUTLIER_DEVIATIONS * scaled_mad, thresholds.STEP_OUTLIER_SHARE * median)
    return tuple(np.flatnonzero(away > limit).tolist())
