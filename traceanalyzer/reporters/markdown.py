"""The summary as Markdown, good to paste into a pull request: verdict, bar in words, findings, top tables."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from traceanalyzer.reporters import names, tables, units
from traceanalyzer.reporters.costs import work_lines
from traceanalyzer.reporters.facts import PARTS, Facts, cause_text, parts_of
from traceanalyzer.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceanalyzer.analyzers.results import DeviceBreakdown
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Finding

_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~!@])")
_CODE_OR_FENCE = re.compile(r"(```[^\n`]*\n.*?(?:```|\Z)|`[^`\n]+`)", re.DOTALL)
MAX_ROWS = 10  # per table: more belongs into the page


def render(analysis: Analysis, *, top: int = 10) -> str:
    """The whole document, ending with a newline."""
    return "\n".join(_lines(Facts.of(analysis), min(top, MAX_ROWS))) + "\n"


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


def _lines(facts: Facts, top: int) -> Iterator[str]:
    verdict = facts.analysis.verdict
    yield f"## {_one_line(verdict.headline)}"
    yield ""
    if facts.simulated:
        yield "> **Simulated**: written by a simulator, not by a profiler on a GPU."
        yield ""
    step = "Step, median" if facts.has_steps else "Whole trace"
    busy = units.share(facts.busy_share)
    yield f"| {step} | GPU busy | Device | Limited by | Confidence |"
    yield "| ---: | ---: | --- | --- | --- |"
    device = escape(names.cut(facts.device_text))
    bottleneck = verdict.bottleneck.replace("_", " ")
    yield f"| {units.duration(facts.step_ns)} | {busy} | {device} | {bottleneck} | {verdict.confidence} |"
    yield ""
    for d in facts.devices:
        yield from _device(d)
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
    yield f"<sub>{escape(names.cut(facts.title))}, traceanalyzer {__version__}; – means not measured</sub>"


def _quality(facts: Facts) -> Iterator[str]:
    if facts.quality:
        yield "### About this trace"
        yield ""
        for q in facts.quality:
            yield f"- {_one_line(q.message)}" + (f" → {_one_line(q.remedy)}" if q.remedy else "")
        yield ""


def _one_line(text: str) -> str:
    return prose(" ".join(text.split()))


def _device(device: DeviceBreakdown) -> Iterator[str]:
    parts = parts_of(device.whole)
    shares = units.shares_of_whole([ns for _, ns in parts])
    yield f"**Rank {device.rank}, GPU {device.device}**, {units.duration(device.whole.wall_ns)} of wall time"
    yield ""
    yield "| " + " | ".join(PARTS[key] for key, _ in parts) + " |"
    yield "|" + " ---: |" * len(parts)
    cells = (f"{units.duration(ns)} ({share})" for (_, ns), share in zip(parts, shares, strict=True))
    yield "| " + " | ".join(cells) + " |"
    yield ""
    if device.idle_causes:
        causes = (f"{escape(cause_text(c.cause))} ({units.duration(c.total_ns)})" for c in device.idle_causes)
        yield "Idle because: " + "; ".join(causes) + "."
        yield ""


def _findings(facts: Facts, top: int) -> Iterator[str]:
    if not facts.findings:
        return
    yield "### What to do"
    yield ""
    for number, finding in enumerate(facts.findings[:top], 1):
        yield from _finding(number, finding, facts)
    if len(facts.findings) > top:
        yield f"… and {len(facts.findings) - top} more."
        yield ""
    if facts.combined:
        yield prose(facts.combined)
        yield ""


def _finding(number: int, finding: Finding, facts: Facts) -> Iterator[str]:
    saving, share = units.saving(finding.saving_ns), facts.saving_share(finding)
    worth = f", saves {saving}" if finding.saving_ns else ""
    if worth and share is not None:
        worth += f", up to {units.share(share)}"
    if not worth and finding.saving_bytes is not None:
        worth = f", saves {units.size(finding.saving_bytes)}"
    about = f"{escape(finding.code)}{worth}; {finding.confidence} confidence"
    yield f"{number}. **{_one_line(finding.title)}** ({about})"
    yield ""
    for text in (finding.claim, finding.fix):
        if text.strip():
            yield from ("   " + line if line else "" for line in prose(text).split("\n"))
            yield ""


def table(sheet: tables.Sheet, *, folded: bool = True) -> Iterator[str]:
    """The brief columns of a sheet, behind its title or under it."""
    columns = [c for c in sheet.columns if c.brief]
    more = f" (first {len(sheet.rows)} of {sheet.total:,})" if sheet.total > len(sheet.rows) else ""
    title = f"{sheet.layout.title}{more}"
    yield f"<details><summary>{title}</summary>" if folded else f"### {title}"
    yield ""
    yield "| " + " | ".join(c.title for c in columns) + " |"
    yield "| " + " | ".join("---:" if c.numeric else "---" for c in columns) + " |"
    for row in sheet.rows:
        texts = ((c, tables.value(row, c), tables.text(tables.value(row, c), c.kind)) for c in columns)
        cells = (code(t) if c.named and v is not None else escape(t) for c, v, t in texts)
        yield "| " + " | ".join(cells) + " |"
    yield ""
    if folded:
        yield "</details>"
        yield ""
