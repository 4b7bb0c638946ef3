"""The summary for a terminal: the verdict, where the time went, what to do first, the top kernels.

`render` gives plain text of a fixed width, `show` prints with colour where the terminal has it (rich honours
NO_COLOR, TERM and the width).
"""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text as Styled

from traceanalyzer.languages import spoken
from traceanalyzer.reporters import names, tables, units
from traceanalyzer.reporters.costs import work_lines
from traceanalyzer.reporters.devices import Shown, shown
from traceanalyzer.reporters.facts import PARTS, ReportFacts, before_steps, behind, cause_text, parts_of
from traceanalyzer.reporters.work_tables import MEASURED
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import ConsoleOptions, RenderResult

    from traceanalyzer.analyzers.results import Partition
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Finding

WIDTH = 100  # of plain text
MAX_CAUSES, MAX_NOTES = 4, 8
MAX_LINES = 2
MAX_BAR = 76  # a longer bar tells no more

_STYLE = {"compute": "blue", "communication": "magenta", "copy": "yellow", "idle": "bright_black"}
_GLYPH = {"compute": "█", "communication": "▓", "copy": "▒", "idle": "░"}  # the bar reads without colour, too


def render(analysis: Analysis, *, top: int = 5) -> str:
    """The summary as plain text."""
    out = StringIO()
    show(analysis, top=top, console=Console(file=out, width=WIDTH, color_system=None, force_terminal=False))
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def show(analysis: Analysis, *, top: int = 5, console: Console | None = None) -> None:
    """Print the summary on stdout, or on the given console."""
    console = console or Console(highlight=False, emoji=False)
    for block in _blocks(ReportFacts.of(analysis), top):
        console.print(block, highlight=False, emoji=False)


def _blocks(facts: ReportFacts, top: int) -> Iterator[RenderableType]:
    if facts.simulated:
        yield _said(
            say("SIMULATED: written by a simulator, not by a profiler on a GPU"), "bold yellow", end="\n"
        )
    yield _plain(facts.analysis.verdict.headline, "bold")
    yield Styled(_subtitle(facts), style="dim")
    yield Styled("")
    chosen = shown(facts.devices)
    for one in chosen:
        yield _device(one, several=len(facts.devices) > 1)
    if len(facts.devices) > len(chosen):
        yield _said(
            say("… and {count} more {count:device|devices}", count=len(facts.devices) - len(chosen)),
            "dim",
            end="\n",
        )
    about_work = work_lines(facts.analysis.results)
    yield from (_plain(line, "dim") for line in about_work)
    if about_work:
        yield Styled("")
    yield from _quality(facts)
    yield from _findings(facts, top)
    yield from _longest(facts, top)


def _findings(facts: ReportFacts, top: int) -> Iterator[RenderableType]:
    if not facts.findings:
        return
    yield _said(say("What to do"), "bold")
    for number, (finding, others) in enumerate(facts.told_once[:top], 1):
        yield _finding(number, finding, others, facts)
    if len(facts.told_once) > top:
        more = say("… and {count} more: trace-analyze findings", count=len(facts.told_once) - top)
        yield _said(more, "dim", end="\n")
    if facts.combined:
        yield Styled(spoken(facts.combined) + "\n")


def _longest(facts: ReportFacts, top: int) -> Iterator[RenderableType]:
    """The kernels with most time; where none was recorded, the ops."""
    if facts.kernels and facts.kernels.rows:
        yield SheetTable(tables.sheet(tables.KERNELS, facts.kernels.rows, top))
    elif facts.measured_only:
        yield SheetTable(tables.sheet(MEASURED, facts.measured, top, frozenset({"match"})))
    elif facts.ops and facts.ops.by_name:
        if facts.host_time and facts.host_time.rows:
            yield SheetTable(tables.sheet(tables.HOST_TIME, facts.host_time.rows, top))
            yield ""
        yield SheetTable(tables.sheet(tables.OPS, facts.ops.by_name, top, facts.unknown_columns))


def _plain(text: str, style: str = "") -> Styled:
    """Text of the trace: no markup in it is believed, no control character reaches the terminal."""
    return Styled(names.prose(text).replace("`", ""), style=style)


def _said(text: Text, style: str = "", *, end: str = "") -> Styled:
    return Styled(spoken(text) + end, style=style)


def _subtitle(facts: ReportFacts) -> str:
    parts = [
        _time(facts),
        say("GPU busy {share}", share=units.share(facts.busy_share)) if facts.devices else "",
        names.cut(facts.device_text, 60),
        ", ".join(f"{spoken(what)} {names.cut(version, 24)}" for what, version in facts.versions),
        names.cut(facts.title, 60),
        say("confidence {level}", level=word(facts.analysis.verdict.confidence)),
    ]
    return " · ".join(spoken(part) for part in parts if part)


def _time(facts: ReportFacts) -> str:
    """How long a step is, or the whole; nothing where no time was recorded, as in many snapshots."""
    if not facts.step_ns:
        return ""
    time = units.duration(facts.step_ns)
    if facts.has_steps and facts.steps:
        return say(
            "{step} per step (median of {count})", step=time, count=units.count(len(facts.steps.steps))
        )
    return (
        say("{time} traced", time=time)
        if facts.memory_only
        else say("{time} traced, taken as one step", time=time)
    )


class Bar:
    """A partition as one line of glyphs as wide as the console allows."""

    def __init__(self, partition: Partition) -> None:
        self.parts = parts_of(partition)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, MAX_BAR)
        whole = sum(ns for _, ns in self.parts)
        end = 0
        for key, ns in self.parts:
            begin, end = end, end + ns
            # Rounding the ends, not the lengths, makes the pieces fill the line exactly.
            cells = round(end * width / whole) - round(begin * width / whole) if whole else 0
            yield Segment(_GLYPH[key] * cells, Style.parse(_STYLE[key]))
        yield Segment.line()


def _device(one: Shown, *, several: bool) -> Group:
    device = one.device
    name = f": {names.cut(device.name, 60)}" if device.name else ""
    taken = units.duration(device.whole.wall_ns)
    where: str = say("rank {rank}, ", rank=device.rank) if several else ""
    gpu = say("{where}GPU {device}{name}, {time}", where=where, device=device.device, name=name, time=taken)
    title = _said(gpu, "bold")
    parts = parts_of(device.whole)
    legend = Table.grid(padding=(0, 2))
    legend.add_column()
    legend.add_column(justify="right")
    legend.add_column(justify="right")
    shares = units.shares_of_whole([ns for _, ns in parts])
    for (key, ns), share in zip(parts, shares, strict=True):
        legend.add_row(
            Styled(_GLYPH[key], _STYLE[key]) + Styled(f" {spoken(PARTS[key])}", "default"),
            units.duration(ns),
            share,
        )
    for cause in device.idle_causes[:MAX_CAUSES]:
        wall = device.whole.wall_ns
        legend.add_row(
            Styled(f"    {spoken(cause_text(cause.cause))}", style="dim"),
            Styled(units.duration(cause.total_ns), style="dim"),
            Styled(units.share(cause.total_ns / wall) if wall else units.UNKNOWN, style="dim"),
        )
    before = before_steps(device)
    above = [_said(line, "dim") for line in (one.why, before) if line]
    return Group(title, *above, Bar(device.whole), legend, Styled(""))


def _quality(facts: ReportFacts) -> Iterator[RenderableType]:
    if not facts.quality:
        return
    yield _said(say("About this trace"), "bold")
    notes = Table.grid(padding=(0, 1))
    told = [q for q in facts.quality if q.level != "missing"]
    for q in told[:MAX_NOTES]:
        line = _plain(q.message, "yellow" if q.level == "partial" else "")
        if q.remedy:
            line += Styled(f"  → {names.prose(q.remedy)}", style="dim")
        notes.add_row("  !" if q.level == "partial" else "  ·", line)
    missing = spoken(say(", ")).join(spoken(q.what) for q in facts.quality if q.level == "missing")
    if missing:
        notes.add_row("  ·", _said(say("Not recorded: {what}", what=missing)))
    yield notes
    if len(told) > MAX_NOTES:
        yield _said(say("  … and {count} more", count=len(told) - MAX_NOTES), "dim")
    yield Styled("")


def _finding(number: int, finding: Finding, others: Sequence[Finding], facts: ReportFacts) -> Group:
    head = (
        Styled(f"{number}. ")
        + _plain(finding.title, "bold")
        + Styled(f"  {names.cut(finding.code)}", style="dim")
    )
    if worth := facts.worth(finding):
        head += Styled(f"  {spoken(worth)}", style="green")
    where = [_said(_where(finding.lines), "dim")] if finding.lines else []
    same = [_said(behind(other), "dim") for other in others]
    body = [_plain(finding.claim), *where, *_fix(finding.fix), *same]
    return Group(head, *(Padding(line, (0, 0, 0, 3)) for line in body), Styled(""))


def _where(lines: tuple[str, ...]) -> Text:
    shown = ", ".join(names.tail(line) for line in lines[:MAX_LINES])
    if len(lines) > MAX_LINES:
        return say("at {lines} and {count} more", lines=shown, count=len(lines) - MAX_LINES)
    return say("at {lines}", lines=shown)


def _fix(fix: str) -> list[Styled]:
    """The fix without the fences around its code, which is indented instead."""
    lines, in_code = [], False
    for line in names.prose(fix).split("\n"):
        if line.startswith("```"):
            in_code = not in_code
        elif line.strip():
            lines.append(Styled("    " + line, style="cyan") if in_code else Styled(line.replace("`", "")))
    if lines:
        lines[0] = Styled("→ ", style="green") + lines[0]
    return lines


class SheetTable:
    """The brief columns of a sheet that fit the console: numbers are never cut, names give way, then whole columns."""

    def __init__(self, sheet: tables.Sheet) -> None:
        self.sheet = sheet

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        sheet = self.sheet
        columns = [c for c in sheet.columns if c.brief]
        cells = [[tables.text(tables.value(row, c), c.kind) for c in columns] for row in sheet.rows]
        titles = [spoken(c.title) for c in columns]
        widths = [max(map(cell_len, texts)) for texts in zip(titles, *cells, strict=True)]
        named = [i for i, c in enumerate(columns) if not c.numeric]
        least = [width if c.numeric else min(width, 12) for c, width in zip(columns, widths, strict=True)]
        while len(least) > 2 and sum(least) + 2 * len(least) > options.max_width:
            least.pop()  # the first columns say most
        columns, titles, widths = columns[: len(least)], titles[: len(least)], widths[: len(least)]
        cells, named = [texts[: len(least)] for texts in cells], [i for i in named if i < len(least)]
        excess = sum(widths) + 2 * len(widths) - options.max_width
        for i in sorted(named, key=lambda i: -widths[i]):  # the widest name gives way first
            given = min(max(excess, 0), max(widths[i] - 12, 0))
            widths[i], excess = widths[i] - given, excess - given
        yield Styled(spoken(tables.caption(sheet)), style="bold")
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
        for column, title, width in zip(columns, titles, widths, strict=True):
            justify: Literal["left", "right"] = "right" if column.numeric else "left"
            table.add_column(title, justify=justify, no_wrap=True, overflow="ellipsis", width=width)
        for row in cells:
            table.add_row(*map(Styled, row))
        yield table
