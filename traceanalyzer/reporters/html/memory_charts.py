"""Geometry of the memory section's drawings: uses over time as stacked areas, and blocks in their segments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceanalyzer.analyzers.snapshot.map import told_empty
from traceanalyzer.reporters import units
from traceanalyzer.reporters.html.charts import CHART_HEIGHT, CHART_WIDTH
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.analyzers.snapshot.results import Composition, SegmentMap, SegmentRow

MIN_WIDTH = 0.05  # percent of the drawing: half a pixel


@dataclass(frozen=True, slots=True)
class Areas:
    """(use, path) from the bottom up, the legend as (use, bytes where the sum is highest), and the axis."""

    paths: tuple[tuple[str, str], ...]
    legend: tuple[tuple[str, int], ...]
    top: int
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class Bar:
    """One segment: its title, width in percent, and (x, width, use) of what is in it."""

    title: Text
    width: float
    parts: tuple[tuple[float, float, str], ...]


@dataclass(frozen=True, slots=True)
class Map:
    """Segments in use, those with most free memory first; `more` are not drawn. `uses` are those that occur."""

    bars: tuple[Bar, ...]
    more: int
    uses: tuple[str, ...]
    empty: Text | None


def areas(found: Composition, *, timed: bool) -> Areas | None:
    """Stacked step areas; None with fewer than two moments."""
    if len(found.at) < 2 or not found.by_category:
        return None
    sums = [sum(column) for column in zip(*found.by_category.values(), strict=True)]
    top, peak = max(1, *sums), sums.index(max(sums))
    start, end = found.at[0], found.at[-1]
    scale = CHART_WIDTH / max(1, end - start)
    xs = [round((at - start) * scale, 1) for at in found.at]
    paths, floor = [], [0] * len(xs)
    for name, values in found.by_category.items():
        ceiling = [f + v for f, v in zip(floor, values, strict=True)]
        paths.append((name, _area(xs, floor, ceiling, top)))
        floor = ceiling
    legend = sorted(
        ((name, v[peak]) for name, v in found.by_category.items()), key=lambda item: (-item[1], item[0])
    )
    ends = [units.duration(at) if timed else say("entry {entry}", entry=at) for at in (start, end)]
    return Areas(tuple(paths), tuple(legend), top, *ends)


def _area(xs: Sequence[float], floor: Sequence[int], ceiling: Sequence[int], top: int) -> str:
    """Up along the ceiling and back along the floor; a level lasts until the next moment."""
    y = [round(CHART_HEIGHT - level * CHART_HEIGHT / top, 1) for level in ceiling]
    base = [round(CHART_HEIGHT - level * CHART_HEIGHT / top, 1) for level in floor]
    there = "".join(f"H{x}V{level}" for x, level in zip(xs[1:], y[1:], strict=True))
    back = "".join(f"V{level}H{x}" for x, level in zip(reversed(xs[:-1]), reversed(base[:-1]), strict=True))
    return f"M{xs[0]} {y[0]}{there}V{base[-1]}{back}Z"


def map_of(found: SegmentMap | None) -> Map | None:
    """Bars as long as their segments; None without segments in use."""
    if found is None or not found.rows:
        return None
    widest = max(row.bytes for row in found.rows)
    bars = tuple(_bar(row, 100 / widest) for row in found.rows)
    uses = sorted({use for bar in bars for *_, use in bar.parts})
    more = found.count - found.empty_count - len(bars)
    return Map(bars, more, tuple(uses), told_empty(found) if found.empty_count else None)


def _bar(row: SegmentRow, percent: float) -> Bar:
    parts = tuple(
        (round(offset * percent, 2), round(max(size * percent, MIN_WIDTH), 2), use)
        for offset, size, use in row.runs
    )
    pool = "" if row.pool in (None, "0,0") else say(", pool {pool}", pool=row.pool)
    title = say(
        "{size} at {address}, stream {stream}{pool}: {active} in {blocks} {blocks:block|blocks}",
        size=units.size(row.bytes),
        address=f"{row.address:#x}",
        stream=row.stream,
        pool=pool,
        active=units.size(row.active_bytes),
        blocks=row.blocks,
    )
    return Bar(title, round(row.bytes * percent, 2), parts)
