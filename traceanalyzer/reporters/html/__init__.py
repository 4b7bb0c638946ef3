"""The report page: one self-contained file that loads nothing and can be read without JavaScript."""

from __future__ import annotations

import base64
import re
import zlib
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from traceanalyzer.reporters import assets, devices, json_report, method, names, tables, timeline, units
from traceanalyzer.reporters.costs import work_lines
from traceanalyzer.reporters.facts import ReportFacts, before_steps, cause_text
from traceanalyzer.reporters.html import (
    charts,
    comparison,
    environment,
    figures,
    icicles,
    memory,
    plotly,
    policy,
    proofs,
)
from traceanalyzer.reporters.timeline.narrowed import Narrowed
from traceanalyzer.reporters.work_tables import work_rows
from traceanalyzer.text import Text, say
from traceanalyzer.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traceanalyzer.analyzers.results import DeviceBreakdown, ModuleRow, Step
    from traceanalyzer.analyzers.roofline_results import Roofline, RooflineRow
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Finding

MAX_STEPS = 200  # rows of the table of steps


@dataclass(frozen=True, slots=True)
class Device:
    """One device as the section "where the time went" shows it."""

    place: Text  # rank and number
    label: Text  # the same with its name
    breakdown: DeviceBreakdown
    segments: tuple[charts.Segment, ...]
    steps: charts.StepBars | None
    figure: figures.Figure | None  # the same, drawn when it is scrolled to
    table: tables.Sheet | None  # the same, in figures
    causes: tuple[tuple[str, int, int, float], ...]  # (words, ns, gaps, share of the wall time)
    outliers: tuple[Step, ...]
    before_steps: Text | None
    why: Text | None  # it is shown whole though there are many devices
    folded: bool  # it is one of many and like the others


@dataclass(frozen=True, slots=True)
class Opportunity:
    """A finding with what the page adds: its anchor and its saving as shares of the step."""

    finding: Finding
    anchor: str
    saving: str
    share: str
    proofs: tuple[proofs.Proof, ...]
    part_of: str = ""  # the anchor of the finding that counts most of its time


@dataclass(frozen=True, slots=True)
class Served:
    """The page for a server that hands out its parts one by one, relative to the page's own address.

    The page asks for the texts in `assets`, and for `timeline` and `report.json` with its own query string;
    the latter two are zlib streams. The timeline is None when there is no event to draw.
    """

    page: str
    timeline: bytes | None
    report_json: bytes


@dataclass(frozen=True, slots=True)
class Parts:
    """What the page shows and its scripts need: made once, delivered in either way."""

    facts: ReportFacts
    sheets: Mapping[str, tables.Sheet]
    devices: list[Device]
    memory: memory.MemoryView
    figures: list[figures.Figure]
    timeline: str | None

    @property
    def with_plotly(self) -> bool:
        """Whether anything is drawn by Plotly."""
        return bool(
            self.figures
            or any(d.figure for d in self.devices)
            or any(d.figure for d in self.memory.snapshots)
        )


def render(analysis: Analysis, *, top: int = 50) -> str:
    """The whole page. Equal analyses give equal bytes."""
    style, script = assets.text(assets.STYLE), "\n".join(map(assets.text, assets.SCRIPTS))
    parts = _parts(analysis, top)
    scripts = [script.encode(), *([plotly.script()] if parts.with_plotly else [])]
    return _page(
        analysis,
        top,
        parts,
        plotly=plotly.packed() if parts.with_plotly else "",
        raw_json=base64.b64encode(_raw_json(analysis)).decode(),
        style=Markup(style),
        script=Markup(script),
        policy=policy.inline(style, scripts, with_plotly=parts.with_plotly),
        served=False,
    )


def serve(analysis: Analysis, *, top: int = 50) -> Served:
    """The same page without anything inline, for hosts whose policy forbids inline scripts."""
    parts = _parts(analysis, top)
    page = _page(
        analysis,
        top,
        parts,
        scripts=assets.SCRIPTS,
        policy=policy.served(with_plotly=parts.with_plotly),
        served=True,
    )
    events = base64.b64decode(parts.timeline) if parts.timeline else None
    return Served(page, events, _raw_json(analysis))


def _parts(analysis: Analysis, top: int) -> Parts:
    facts = ReportFacts.of(analysis)
    sheets, of_memory = _sheets(facts, top), memory.view(facts, top)
    narrowed = Narrowed(
        _named(sheets),
        [(row.name, row.input_dims) for row in _rows_of(sheets, tables.OPS_BY_SHAPE)],
        [row.path for row in _rows_of(sheets, tables.MODULES)],
        of_memory.held,
        of_memory.held_by_snapshots,
    )
    return Parts(
        facts,
        sheets,
        _devices(facts),
        of_memory,
        _figures(analysis),
        timeline.embed(analysis, narrowed=narrowed),
    )


def _raw_json(analysis: Analysis) -> bytes:
    return zlib.compress(json_report.render(analysis).encode(), 7)


def _named(sheets: Mapping[str, tables.Sheet]) -> dict[str, list[str]]:
    """The names in the rows of the tables that a range of the timeline narrows."""
    return {id_: [row.name for row in sheets[id_].rows] for id_ in ("kernels", "ops") if id_ in sheets}


def _rows_of(sheets: Mapping[str, tables.Sheet], layout: tables.Layout) -> Sequence[Any]:
    return sheets[layout.id].rows if layout.id in sheets else ()


def _page(analysis: Analysis, top: int, parts: Parts, **delivery: Any) -> str:
    """The page from its template; `delivery` says how style, scripts and data reach it."""
    facts = parts.facts
    opportunities = _opportunities(parts)
    return environment.get().get_template("report.html.j2").render(
        facts=facts,
        analysis=analysis,
        version=__version__,
        links=analysis.source_links,
        devices=parts.devices,
        opportunities=opportunities,
        proven=proofs.proven([(o.finding.code, o.anchor, o.proofs) for o in opportunities]),
        sheets=parts.sheets,
        work_lines=work_lines(analysis.results),
        timeline=parts.timeline,
        icicles=_icicles(analysis),
        figures=parts.figures,
        with_plotly=parts.with_plotly,
        raw_name=re.sub(r"[^\w.-]+", "_", facts.title)[:80] + ".report.json",
        memory=parts.memory,
        queue_lines=_queues(facts),
        thresholds=method.all_thresholds(),
        diff=_diff(analysis, top),
        **delivery,
    )  # fmt: skip


def _diff(analysis: Analysis, top: int) -> comparison.View | None:
    """What changed since the baseline, where there is one."""
    if analysis.baseline is None:
        return None
    from traceanalyzer.rules.comparison import compare

    return comparison.view(compare(analysis.baseline, analysis), top)


def _figures(analysis: Analysis) -> list[figures.Figure]:
    """The figures that Plotly draws; those without data are left out."""
    results = analysis.results
    found = (
        figures.roofline(results.get("roofline")),
        figures.durations(analysis.trace, results.get("kernels")),
    )
    return [figure for figure in found if figure]


def _icicles(analysis: Analysis) -> list[icicles.Icicle]:
    results = analysis.results
    found = (
        icicles.modules(results.get("modules")),
        icicles.python_stacks(results.get("python_stacks"), analysis.source_links),
        icicles.samples(results.get("host_stacks")),
        icicles.system_calls(results.get("host_stacks")),
    )
    return [icicle for icicle in found if icicle]


def _devices(facts: ReportFacts) -> list[Device]:
    whole = {one.number: one.why for one in devices.shown(facts.devices)}
    return [
        _device(number, device, facts, why=whole.get(number), folded=number not in whole)
        for number, device in enumerate(facts.devices)
    ]


def _device(
    number: int, device: DeviceBreakdown, facts: ReportFacts, *, why: Text | None, folded: bool
) -> Device:
    several_ranks = len({d.rank for d in facts.devices}) > 1
    place = _gpu(device.rank if several_ranks else None, device.device)
    wall = device.whole.wall_ns
    outliers = [steps.steps[i] for i in steps.outliers] if (steps := facts.steps) else []
    bars = charts.step_bars(device, steps) if steps else None
    return Device(
        place,
        say("{device}: {name}", device=place, name=names.cut(device.name)) if device.name else place,
        device,
        charts.stack(device.whole),
        bars,
        figures.steps(number, bars, steps.median_ns if steps else None),
        _steps_sheet(number, device, [s for s in steps.steps if s.rank == device.rank]) if bars and steps else None,
        tuple((cause_text(c.cause), c.total_ns, c.gaps, c.total_ns / wall if wall else 0.0)
              for c in device.idle_causes),
        tuple(s for s in outliers if s.rank == device.rank),
        before_steps(device),
        why,
        folded,
    )  # fmt: skip


def _steps_sheet(number: int, device: DeviceBreakdown, own: Sequence[Step]) -> tables.Sheet:
    """A row per step of a device, the first MAX_STEPS of them."""
    layout = replace(tables.STEPS, id=f"steps-of-{number}")
    rows = [{"name": step.name, **asdict(part)} for step, part in zip(own, device.steps, strict=True)]
    return tables.sheet(layout, rows, MAX_STEPS)


def _gpu(rank: int | None, device: int) -> Text:
    """A device as headings name it; without the rank where there is only one."""
    if rank is None:
        return say("GPU {device}", device=device)
    return say("Rank {rank}, GPU {device}", rank=rank, device=device)


def _shelf(parts: Parts) -> list[proofs.Shelved]:
    """The tables of the page that evidence leads to."""
    return [
        *(proofs.Shelved(name, sheet) for name, sheet in parts.sheets.items()),
        *(
            proofs.Shelved("steps", d.table, d.breakdown.rank, d.breakdown.device)
            for d in parts.devices
            if d.table
        ),
        *(
            proofs.Shelved(name, sheet, view.device.rank, view.device.device)
            for view in parts.memory.snapshots
            for name, sheet in view.by_way.items()
        ),
    ]


def _opportunities(parts: Parts) -> list[Opportunity]:
    facts, prover = parts.facts, proofs.Prover(parts.facts.analysis, _shelf(parts))
    seen: dict[str, int] = {}
    anchors: dict[str | None, str] = {}
    result = []
    for finding in facts.findings:
        slug = re.sub(r"[^A-Za-z0-9-]+", "-", finding.code)[:40]
        seen[slug] = seen.get(slug, 0) + 1
        anchor = f"finding-{slug}" + (f"-{seen[slug]}" if seen[slug] > 1 else "")
        anchors[finding.code] = anchor
        share = facts.saving_share(finding)
        saving = units.saving(finding.saving_ns)
        if finding.saving_ns is None and finding.saving_bytes is not None:
            saving = units.size(finding.saving_bytes)
        proven_by = tuple(map(prover.proof, finding.evidence))
        part_of = anchors.get(finding.part_of, "")
        result.append(
            Opportunity(
                finding, anchor, saving, "" if share is None else units.share(share), proven_by, part_of
            )
        )
    return result


def _sheets(facts: ReportFacts, top: int) -> dict[str, tables.Sheet]:
    """Every table of the page by its id; those whose analyzer had nothing are left out."""
    found: list[tuple[tables.Layout, Sequence[Any] | None]] = [
        (tables.IDLE_GAPS, facts.breakdown.largest_gaps if facts.breakdown else None),
        (tables.IDLE_LINES, facts.breakdown.idle_lines if facts.breakdown else None),
        (tables.HOST_TIME, facts.host_time.rows if facts.host_time else None),
        (tables.KERNELS, facts.kernels.rows if facts.kernels else None),
        (tables.OPS, facts.ops.by_name if facts.ops else None),
        (tables.OPS_BY_SHAPE, facts.ops.by_shape if facts.ops else None),
        (tables.ROOFLINE, _longest(facts.roofline)),
        (tables.MODULES, _largest_modules(facts.modules.rows, top) if facts.modules else None),
        (tables.COPIES, facts.copies.rows if facts.copies else None),
        (tables.COLLECTIVES, facts.collectives.rows if facts.collectives else None),
        (tables.HOST_COMMUNICATION, facts.host_communication.rows if facts.host_communication else None),
        (tables.LAUNCHES, facts.launches.devices if facts.launches else None),
        (tables.API_CALLS, facts.launches.api if facts.launches else None),
    ]
    found += work_rows(facts.analysis.results)
    hidden = {tables.OPS.id, tables.OPS_BY_SHAPE.id, tables.MODULES.id}
    sheets = {
        layout.id: tables.sheet(
            layout, rows, top, facts.unknown_columns if layout.id in hidden else frozenset()
        )
        for layout, rows in found
        if rows
    }
    if facts.modules and "modules" in sheets:
        sheets["modules"] = replace(sheets["modules"], total=len(facts.modules.rows))
    return sheets


def _longest(found: Roofline | None) -> list[RooflineRow]:
    """The rows of the roofline with a known roof, the longest first."""
    rows = [r for r in found.rows if r.roof_ns is not None] if found else []
    return sorted(rows, key=lambda r: (-r.total_ns, r.kernel, r.input_dims or ""))


def _largest_modules(rows: Sequence[ModuleRow], top: int) -> list[ModuleRow]:
    """The modules with most device (or host) time and the modules around them, still depth first."""
    order = sorted(range(len(rows)), key=lambda i: (-rows[i].device_ns, -rows[i].host_ns, i))
    kept: set[int] = set()
    for i in order:
        family = {i, *_around(rows, i)} - kept
        if len(kept) + len(family) > top:
            break
        kept |= family
    return [rows[i] for i in sorted(kept)]


def _around(rows: Sequence[ModuleRow], i: int) -> list[int]:
    """Indexes of the modules that contain a module: the last row before it of each smaller depth."""
    found, depth = [], rows[i].depth
    for j in range(i - 1, -1, -1):
        if rows[j].depth < depth:
            found.append(j)
            depth = rows[j].depth
    return found


def _queues(facts: ReportFacts) -> list[tuple[Text, charts.Line, bool]]:
    """Devices with their queues, and whether they are folded away as one of many."""
    if not facts.launches:
        return []
    whole = {(one.device.rank, one.device.device) for one in devices.shown(facts.devices)}
    lines = []
    for place, points in sorted(facts.launches.queue.items()):
        line = charts.queue_line(points)
        if line:
            rank, device = place
            lines.append((_gpu(rank or None, device), line, place not in whole))
    return lines
