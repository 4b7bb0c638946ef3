"""The geometry of the small charts that the page carries as SVG, in per cent or user units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceanalyzer.analyzers.results import DeviceBreakdown, MemoryTimeline, Partition, Steps
from traceanalyzer.reporters import units
from traceanalyzer.reporters.facts import PARTS, parts_of
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BARS = 160  # steps side by side before neighbours are averaged
CHART_WIDTH, CHART_HEIGHT = 1000, 160  # user units of a line chart
MAX_POINTS = 1200  # of a line: more do not show


@dataclass(frozen=True, slots=True)
class Segment:
    """One part of a stacked bar; `x` and `width` in per cent of the bar."""

    key: str
    label: Text
    ns: int
    percent: str
    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Bar:
    """One step, or several averaged; parts as (key, y, height) in per cent of the chart's height."""

    title: Text
    x: float
    width: float
    parts: tuple[tuple[str, float, float], ...]
    outlier: bool


@dataclass(frozen=True, slots=True)
class StepBars:
    """Stacked columns with their scale; `means` are what they show: (names of the steps, their mean)."""

    means: tuple[tuple[str, Partition], ...]
    bars: tuple[Bar, ...]
    top_ns: int
    median_y: float | None
    averaged: int  # steps per bar


@dataclass(frozen=True, slots=True)
class Line:
    """A step line as an SVG path, with its scale. `gap` paths are broken where nothing was measured."""

    paths: tuple[tuple[str, str], ...]  # (class, d)
    top: int
    start_ns: int
    end_ns: int
    mark: tuple[float, float] | None = None  # per cent: where the peak is


def stack(partition: Partition) -> tuple[Segment, ...]:
    """The parts of a partition side by side; the printed percentages sum to 100.0."""
    parts = parts_of(partition)
    percents = units.shares_of_whole([ns for _, ns in parts])
    whole = max(1, sum(ns for _, ns in parts))
    segments, x = [], 0.0
    for (key, ns), percent in zip(parts, percents, strict=True):
        width = ns * 100 / whole
        segments.append(Segment(key, PARTS[key], ns, percent, round(x, 3), round(width, 3)))
        x += width
    return tuple(segments)


def step_bars(device: DeviceBreakdown, steps: Steps) -> StepBars | None:
    """A stacked column per step of the device's rank; None when there is nothing to compare."""
    own = [(i, s) for i, s in enumerate(steps.steps) if s.rank == device.rank]
    if len(device.steps) < 2 or len(own) != len(device.steps):
        return None
    group = -(-len(own) // MAX_BARS)
    groups = [range(i, min(i + group, len(own))) for i in range(0, len(own), group)]
    means = [_mean([device.steps[i] for i in members]) for members in groups]
    top = max(1, *(m.wall_ns for m in means))
    slot = 100 / len(groups)
    bars, named = [], []
    for at, (members, mean) in enumerate(zip(groups, means, strict=True)):
        first, last = own[members[0]][1].name, own[members[-1]][1].name
        steps_of = first if len(members) == 1 else say("{first} … {last} (mean)", first=first, last=last)
        shares = [
            say("{part}: {time}", part=PARTS[k], time=units.duration(ns)) for k, ns in parts_of(mean) if ns
        ]
        named.append((steps_of, mean))
        bars.append(
            Bar(
                say(
                    "{steps}: {time} – {parts}",
                    steps=steps_of,
                    time=units.duration(mean.wall_ns),
                    parts=join("; ", shares),
                ),
                round(at * slot + slot * 0.08, 3),
                round(slot * 0.84, 3),
                _piled(mean, top),
                any(own[i][0] in steps.outliers for i in members),
            )
        )
    median = 100 - steps.median_ns * 100 / top if 0 < steps.median_ns <= top else None
    return StepBars(tuple(named), tuple(bars), top, median, group)


def _piled(mean: Partition, top: int) -> tuple[tuple[str, float, float], ...]:
    parts, y = [], 100.0
    for key, ns in parts_of(mean):
        height = ns * 100 / top
        y -= height
        if ns:
            parts.append((key, round(y, 3), round(height, 3)))
    return tuple(parts)


def _mean(parts: Sequence[Partition]) -> Partition:
    n = len(parts)
    keys = ("wall_ns", "compute_ns", "exposed_communication_ns", "exposed_copy_ns", "idle_ns")
    return Partition(*(sum(getattr(p, k) for p in parts) // n for k in keys))


def memory_line(timeline: MemoryTimeline) -> Line | None:
    """Allocated and reserved bytes over time; None when no totals were recorded."""
    points = timeline.points
    values = [v for p in points for v in p[1:] if v is not None]
    if not values or len(points) < 2:
        return None
    start, end = points[0][0], points[-1][0]
    top = max(1, *values)
    series = [("allocated", [(p[0], p[1]) for p in points]), ("reserved", [(p[0], p[2]) for p in points])]
    paths = [(name, _steps_path(s, start, end, top)) for name, s in series]
    mark = None
    if timeline.peak_allocated_ns is not None and timeline.peak_allocated_bytes is not None and end > start:
        x = (timeline.peak_allocated_ns - start) * 100 / (end - start)
        mark = (round(x, 2), round(100 - timeline.peak_allocated_bytes * 100 / top, 2))
    return Line(tuple((n, d) for n, d in paths if d), top, start, end, mark)


def queue_line(points: Sequence[tuple[int, int]]) -> Line | None:
    """Queue depth over time."""
    if len(points) < 2:
        return None
    start, end = points[0][0], points[-1][0]
    top = max(1, *(depth for _, depth in points))
    return Line((("queue", _steps_path(list(points), start, end, top)),), top, start, end)


def _steps_path(points: Sequence[tuple[int, int | None]], start: int, end: int, top: int) -> str:
    """A step line through the points; broken where the value is None."""
    scale = CHART_WIDTH / max(1, end - start)
    out: list[str] = []
    pen_up = True
    for at, level in _thinned(points):
        if level is None:
            pen_up = True
            continue
        x, y = round((at - start) * scale, 1), round(CHART_HEIGHT - level * CHART_HEIGHT / top, 1)
        out.append(f"M{x} {y}" if pen_up else f"H{x}V{y}")
        pen_up = False
    return "".join(out)


def _thinned(points: Sequence[tuple[int, int | None]]) -> Sequence[tuple[int, int | None]]:
    """First, lowest, highest and last of every slice, in order, when there are more points than pixels."""
    if len(points) <= MAX_POINTS:
        return points
    width = -(-len(points) * 4 // MAX_POINTS)
    kept: list[tuple[int, int | None]] = []
    for i in range(0, len(points), width):
        piece = range(i, min(i + width, len(points)))
        known = [j for j in piece if points[j][1] is not None]
        extremes = (
            {min(known, key=lambda j: points[j][1] or 0), max(known, key=lambda j: points[j][1] or 0)}
            if known
            else set()
        )
        kept += [points[j] for j in sorted({piece[0], piece[-1]} | extremes)]
    return kept
