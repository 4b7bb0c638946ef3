"""The summary as Markdown, good to paste into a pull request: verdict, bar in words, findings, top tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from traceanalyzer.languages import spoken
from traceanalyzer.reporters import names, tables, units
from traceanalyzer.reporters.costs import work_lines
from traceanalyzer.reporters.devices import Shown, shown
from traceanalyzer.reporters.facts import PARTS, ReportFacts, before_steps, behind, cause_text, parts_of
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.text import join, said, say
from traceanalyzer.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Finding

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~!@])")
_CODE_OR_FENCE = re.compile(r"(```[^\n`]*\n.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
MAX_ROWS = 10  # per table: more belongs into the page


def render(analysis: Analysis, *, top: int = 10) -> str:
    """The whole document, ending with a newline."""
    return "\n".join(_lines(ReportFacts.of(analysis), min(top, MAX_ROWS))) + "\n"


def escape(text: str) -> str:
    """Text in which nothing is markup, a mention or a link: names come from untrusted files."""
    return _MARKUP.sub(r"\\\1", names.visible(text))


def code(text: str) -> str:
    """A name in code spans; a fence long enough that the name cannot end it."""
    text = names.visible(text).replace("|", "\\|")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def prose(text: str) -> str:
    """Text of a rule: its code spans and blocks stay, everything else is escaped."""
    pieces = _CODE_OR_FENCE.split(names.prose(text))
    return "".join(piece if i % 2 else _MARKUP.sub(r"\\\1", piece) for i, piece in enumerate(pieces))


def _lines(facts: ReportFacts, top: int) -> Iterator[str]:
    verdict = facts.analysis.verdict
    yield f"## {_one_line(verdict.headline)}"
    yield ""
    if facts.simulated:
        yield "> " + spoken(say("**Simulated**: written by a simulator, not by a profiler on a GPU."))
        yield ""
    step = say("Step, median") if facts.has_steps else say("Whole trace")
    busy = units.share(facts.busy_share)
    yield _row([step, say("GPU busy"), say("Device"), say("Limited by"), say("Confidence")])
    yield "| ---: | ---: | --- | --- | --- |"
    device = escape(names.cut(facts.device_text))
    limit, sure = word(verdict.bottleneck), word(verdict.confidence)
    yield _row([units.duration(facts.step_ns), busy, device, limit, sure])
    yield ""
    chosen = shown(facts.devices)
    for one in chosen:
        yield from _device(one)
    if len(facts.devices) > len(chosen):
        yield spoken(say("… and {count} more {count:device|devices}", count=len(facts.devices) - len(chosen)))
        yield ""
    yield from (_one_line(line) + "\n" for line in work_lines(facts.analysis.results))
    yield from _findings(facts, top)
    yield from _quality(facts)
    for layout, rows in (
        (tables.KERNELS, facts.kernels.rows if facts.kernels else ()),
        (tables.OPS, facts.ops.by_name if facts.ops else ()),
        (tables.COLLECTIVES, facts.collectives.rows if facts.collectives else ()),
    ):
        if rows:
            unknown = facts.unknown_columns if layout is tables.OPS else frozenset[str]()
            yield from table(tables.sheet(layout, rows, top, unknown))
    about = say("traceanalyzer {version}; – means not measured", version=__version__)
    yield f"<sub>{escape(names.cut(facts.title))}, {spoken(about)}</sub>"


def _quality(facts: ReportFacts) -> Iterator[str]:
    if facts.quality:
        yield "### " + spoken(say("About this trace"))
        yield ""
        for q in facts.quality:
            yield f"- {_one_line(q.message)}" + (f" → {_one_line(q.remedy)}" if q.remedy else "")
        yield ""


def _one_line(text: str) -> str:
    return prose(" ".join(spoken(text).split()))


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(spoken, cells))} |"


def _device(one: Shown) -> Iterator[str]:
    device = one.device
    parts = parts_of(device.whole)
    shares = units.shares_of_whole([ns for _, ns in parts])
    wall = units.duration(device.whole.wall_ns)
    head = say(
        "**Rank {rank}, GPU {device}**, {time} of wall time",
        rank=device.rank,
        device=device.device,
        time=wall,
    )
    yield spoken(head)
    yield ""
    for line in (one.why, before_steps(device)):
        if line:
            yield spoken(line)
            yield ""
    yield _row(PARTS[key] for key, _ in parts)
    yield "|" + " ---: |" * len(parts)
    cells = (f"{units.duration(ns)} ({share})" for (_, ns), share in zip(parts, shares, strict=True))
    yield "| " + " | ".join(cells) + " |"
    yield ""
    if device.idle_causes:
        causes = [
            say("{cause} ({time})", cause=escape(cause_text(c.cause)), time=units.duration(c.total_ns))
            for c in device.idle_causes
        ]
        yield spoken(say("Idle because: {causes}.", causes=join("; ", causes)))
        yield ""


def _findings(facts: ReportFacts, top: int) -> Iterator[str]:
    if not facts.findings:
        return
    yield "### " + spoken(say("What to do"))
    yield ""
    for number, (finding, others) in enumerate(facts.told_once[:top], 1):
        yield from _finding(number, finding, facts)
        for other in others:
            yield f"   {_one_line(behind(other))}"
            yield ""
    if len(facts.told_once) > top:
        yield spoken(say("… and {count} more.", count=len(facts.told_once) - top))
        yield ""
    if facts.combined:
        yield prose(facts.combined)
        yield ""


def _finding(number: int, finding: Finding, facts: ReportFacts) -> Iterator[str]:
    parts = [said(escape(finding.code)), facts.worth(finding)]
    what = join(", ", [part for part in parts if part])
    about = say("{what}; {level} confidence", what=what, level=word(finding.confidence))
    yield f"{number}. **{_one_line(finding.title)}** ({spoken(about)})"
    yield ""
    for text in (finding.claim, finding.fix):
        if text.strip():
            yield from ("   " + line if line else "" for line in prose(text).split("\n"))
            yield ""


def table(sheet: tables.Sheet, *, folded: bool = True) -> Iterator[str]:
    """The brief columns of a sheet, behind its title or under it."""
    columns = [c for c in sheet.columns if c.brief]
    title = spoken(tables.caption(sheet))
    yield f"<details><summary>{title}</summary>" if folded else f"### {title}"
    yield ""
    yield _row(c.title for c in columns)
    yield "| " + " | ".join("---:" if c.numeric else "---" for c in columns) + " |"
    for row in sheet.rows:
        texts = ((c, tables.value(row, c), tables.text(tables.value(row, c), c.kind)) for c in columns)
        cells = (code(t) if c.named and v is not None else escape(t) for c, v, t in texts)
        yield "| " + " | ".join(cells) + " |"
    yield ""
    if folded:
        yield "</details>"
        yield ""
