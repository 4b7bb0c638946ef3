"""What the page's memory section shows: errors, the curve, what memory was for, where it lies and who holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traceanalyzer.analyzers.oom.whatif import told
from traceanalyzer.analyzers.snapshot.groups import grouped, line_of
from traceanalyzer.analyzers.snapshot.state import timeline
from traceanalyzer.reporters import tables
from traceanalyzer.reporters.devices import MOST
from traceanalyzer.reporters.html import charts, figures, icicles, memory_charts
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.analyzers.results import MemoryTimeline
    from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot, Moment, Oom, SegmentMap
    from traceanalyzer.reporters.facts import ReportFacts
    from traceanalyzer.source_links import SourceLinks

GROUPED = (
    ("category", say("By use"), say("Use")),
    ("module", say("By module"), say("Module")),
    ("line", say("By line"), say("Line")),
    ("stack", say("By stack"), say("Stack")),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """One device's timeline with its drawing and who held its peak."""

    timeline: MemoryTimeline
    line: charts.Line | None
    holders: tables.Sheet | None
    folded: bool  # it is one of many, without an error, and another has a higher peak


@dataclass(frozen=True, slots=True)
class DeviceView:
    """One device of a snapshot at the moment that matters: the error, where there was one, else the peak."""

    device: DeviceSnapshot
    moment: Moment
    curve: Curve
    composition: memory_charts.Areas | None
    figure: figures.Figure | None  # the same, drawn when it is scrolled to
    map: memory_charts.Map | None
    stacks: icicles.Icicle | None
    sheets: tuple[tables.Sheet, ...]

    @property
    def by_way(self) -> dict[str, tables.Sheet]:
        """The tables by what their rows are added up by: held-by-line and so on."""
        return {f"held-by-{by}": sheet for (by, *_), sheet in zip(GROUPED, self.sheets, strict=False)}


@dataclass(frozen=True, slots=True)
class OomView:
    """An error with what other settings of the allocator would have done."""

    oom: Oom
    what_if: Text | None


@dataclass(frozen=True, slots=True)
class MemoryView:
    """The section; all empty when nothing of memory was recorded."""

    ooms: tuple[OomView, ...]
    snapshots: tuple[DeviceView, ...]
    curves: tuple[Curve, ...]  # of the profiler's own memory events

    @property
    def held(self) -> dict[str, tuple[MemoryTimeline, tuple[Any, ...]]]:
        """The tables of who held a peak, by id, with the curve and the rows of each."""
        return {c.holders.layout.id: (c.timeline, c.holders.rows) for c in self.curves if c.holders}

    @property
    def held_by_snapshots(self) -> dict[str, tuple[DeviceSnapshot, str, tuple[str, ...]]]:
        """The same of snapshots: the device, what its holders are added up by, and the keys of the rows."""
        return {
            sheet.layout.id: (view.device, by, tuple(row.key for row in sheet.rows))
            for view in self.snapshots
            for (by, *_), sheet in zip(GROUPED, view.sheets, strict=False)
        }


def view(facts: ReportFacts, top: int) -> MemoryView:
    """Everything that the section shows of an analysis."""
    results = facts.analysis.results
    devices = results["snapshot"].devices if "snapshot" in results else ()
    ooms = results["oom"].rows if "oom" in results else ()
    of_snapshots = [timeline(device) for device in devices]
    with_error = {(oom.rank, oom.device) for oom in ooms}
    whole = _whole(of_snapshots, [n for n, d in enumerate(devices) if (d.rank, d.device) in with_error])
    others = [t for t in (facts.memory.timelines if facts.memory else ()) if t not in of_snapshots]
    return MemoryView(
        tuple(OomView(oom, told(oom.what_if) if oom.what_if else None) for oom in ooms),
        tuple(
            _device(
                number, device, ooms, top, facts.analysis.source_links,
                Curve(line, charts.memory_line(line), None, number not in whole),
            )
            for number, (device, line) in enumerate(zip(devices, of_snapshots, strict=True))
        ),
        tuple(
            Curve(line, charts.memory_line(line), _holders(number, line, top), number not in _whole(others))
            for number, line in enumerate(others)
        ),
    )  # fmt: skip


def _whole(lines: Sequence[MemoryTimeline], with_error: Sequence[int] = ()) -> frozenset[int]:
    """Which are shown whole: all of a few, of many the one with the highest peak and those with an error."""
    if len(lines) <= MOST:
        return frozenset(range(len(lines)))
    highest = max(range(len(lines)), key=lambda number: lines[number].peak_allocated_bytes or 0)
    return frozenset((highest, *with_error))


def _holders(number: int, line: MemoryTimeline, top: int) -> tables.Sheet | None:
    layout = tables.HOLDERS
    suffix = f"-{number}" if number else ""
    renamed = tables.Layout(layout.id + suffix, layout.title, layout.columns)
    return tables.sheet(renamed, line.live_at_peak, top) if line.live_at_peak else None


def _device(
    number: int,
    device: DeviceSnapshot,
    ooms: tuple[Oom, ...],
    top: int,
    links: SourceLinks | None,
    curve: Curve,
) -> DeviceView:
    mine = [o for o in ooms if o.moment is not None and (o.rank, o.device) == (device.rank, device.device)]
    moment = mine[-1].moment if mine and mine[-1].moment is not None else device.peak
    return DeviceView(
        device,
        moment,
        curve,
        memory_charts.areas(device.composition, timed=device.timed),
        figures.composition(number, device.composition, timed=device.timed),
        memory_charts.map_of(_map(device, mine)),
        _stacks(number, moment, links),
        tuple(_sheet(number, moment, way, top) for way in GROUPED if moment.holders),
    )


def _map(device: DeviceSnapshot, ooms: list[Oom]) -> SegmentMap | None:
    """At the same moment; at the end where the entries do not tell."""
    return (ooms[-1].map if ooms else device.map_at_peak) or device.map_at_end


def _stacks(number: int, moment: Moment, links: SourceLinks | None) -> icicles.Icicle | None:
    """Call stacks of what is held, outermost line first; each line is as wide as the memory allocated under it."""
    rows: dict[tuple[str, ...], int] = {}
    held: list[int] = []
    for holder in moment.holders:
        path = holder.path[::-1] or (line_of(holder),)
        for depth in range(1, len(path) + 1):
            row = rows.setdefault(path[:depth], len(rows))
            if row == len(held):
                held.append(0)
            held[row] += holder.bytes
    parents = [rows[path[:-1]] if len(path) > 1 else -1 for path in rows]
    summary = say(
        "Each line within its caller, as wide as the memory that it holds; frames of libraries are counted."
    )
    labels = [path[-1] for path in rows]
    return icicles.tree(
        f"held-{number}", say("Call stacks"), summary, labels, parents, {say("held"): held}, "bytes", links
    )


def _sheet(number: int, moment: Moment, way: tuple[str, Text, Text], top: int) -> tables.Sheet:
    by, title, head = way
    by_use = by == "category"
    columns = (
        tables.Column("key", head, "word" if by_use else "name", brief=True),
        tables.Column("bytes", say("Bytes"), "bytes", brief=True, bar=True),
        tables.Column("requested_bytes", say("Asked for"), "bytes"),
        tables.Column("count", say("Blocks"), "count", brief=True),
        tables.Column(
            "beside", say("Told by") if by_use else say("Largest use"), "text" if by_use else "word"
        ),
    )
    return tables.sheet(
        tables.Layout(f"held-by-{by}-{number}", title, columns), grouped(moment.holders, by), top
    )
