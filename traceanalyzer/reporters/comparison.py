"""Two runs compared, in words and tables: text, Markdown and JSON; the page has its own room."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from traceanalyzer.languages import spoken
from traceanalyzer.reporters import markdown, names, tables, units
from traceanalyzer.reporters.facts import PARTS, ReportFacts, cause_text
from traceanalyzer.reporters.tables import Column, Layout
from traceanalyzer.rules.comparison import is_snapshot
from traceanalyzer.rules.comparison_results import Change
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.text import Text, join, say
from traceanalyzer.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from traceanalyzer.reporters import gates
    from traceanalyzer.rules.comparison_results import Comparison, LaunchChange


_TIMES = (
    Column("before_ns", say("Before"), "duration", brief=True, hint=say("mean per step")),
    Column("after_ns", say("After"), "duration", brief=True, hint=say("mean per step")),
    Column("change_ns", say("Change"), "change", brief=True),
    Column("share", say("Of the step's change"), "share_change", brief=True),
)
_COUNTS = (
    Column("before_count", say("Calls before"), "number", brief=True, hint=say("mean per step")),
    Column("after_count", say("Calls after"), "number", brief=True, hint=say("mean per step")),
)
_REMARK = (Column("remark", say("Remark"), "text", brief=True),)


def _layout(subject: str, title: Text, first: Column, *more: Column) -> Layout:
    return Layout(f"diff-{subject.replace('_', '-')}", title, (first, *more, *_TIMES, *_COUNTS, *_REMARK))


PARTS_LAYOUT = Layout(
    "diff-parts",
    say("Where the step's change comes from"),
    (Column("name", say("Part"), "text", brief=True), *_TIMES, *_REMARK),
)
IDLE_LAYOUT = Layout(
    "diff-idle",
    say("Idle time by cause"),
    (
        Column("name", say("Idle because of"), "text", brief=True),
        *_TIMES,
        Column("before_count", say("Gaps before"), "number", brief=True, hint=say("mean per step")),
        Column("after_count", say("Gaps after"), "number", brief=True, hint=say("mean per step")),
    ),
)
LAYOUTS: Mapping[str, Layout] = {
    "kernels": _layout("kernels", say("Kernels"), Column("name", say("Kernel"), "kernel", brief=True)),
    "copies": _layout("copies", say("Copies"), Column("name", say("Copy"), "name", brief=True)),
    "collectives": _layout("collectives", say("Communication"), Column("name", say("Kernel"), "kernel", brief=True)),
    "modules": _layout("modules", say("Modules, device time"), Column("name", say("Module"), "path", brief=True)),
    "ops": _layout("ops", say("Ops, device time"), Column("name", say("Op"), "name", brief=True)),
    "ops_by_shape": _layout(
        "ops_by_shape", say("Ops by shape, device time"), Column("name", say("Op"), "name", brief=True),
        Column("input_dims", say("Input shapes"), "name", brief=True),
    ),
    "host_ops": _layout("host_ops", say("Ops, own time on the host"), Column("name", say("Op"), "name", brief=True)),
    "api_calls": _layout("api_calls", say("Runtime calls"), Column("name", say("Function"), "name", brief=True)),
}  # fmt: skip
LAUNCHES_LAYOUT = Layout(
    "diff-launches",
    say("Launches"),
    tuple(Column(key, title, "text", brief=True) for key, title in
          (("name", say("What")), ("before", say("Before")), ("after", say("After")))),
)  # fmt: skip
MEMORY_LAYOUT = Layout(
    "diff-memory",
    say("Peaks of memory"),
    (
        Column("name", say("Peak"), "text", brief=True),
        Column("before_bytes", say("Before"), "bytes", brief=True),
        Column("after_bytes", say("After"), "bytes", brief=True),
        Column("change_bytes", say("Change"), "size_change", brief=True),
    ),
)
FINDINGS_LAYOUT = Layout(
    "diff-findings",
    say("Findings"),
    (
        Column("state", say("State"), "word", brief=True),
        Column("code", say("Code"), "text", brief=True),
        Column("title", say("What"), "text", brief=True),
    ),
)  # fmt: skip


def headline(found: Comparison) -> Text:
    """What changed, in a sentence."""
    step = found.step
    if step is None and (is_snapshot(found.before) or is_snapshot(found.after)):
        return _of_memory(found)
    if step is None or step.before_ns is None or step.after_ns is None:
        return say("Neither of the two can be told to be slower: one has no step.")
    before, after = units.duration(step.before_ns), units.duration(step.after_ns)
    if step.within_spread:
        return say("The step takes {after} against {before}: a difference within the spread over steps.",
                   after=after, before=before)  # fmt: skip
    if not step.change_ns:
        return say("The step takes {after}, as before.", after=after)
    values = {"change": units.duration(abs(step.change_ns)), "ratio": units.share(abs(step.ratio or 0.0)),
              "after": after, "before": before, "why": _why(found)}  # fmt: skip
    if step.change_ns > 0:
        return say("The step is {change} ({ratio}) slower, {after} instead of {before}{why}.", **values)
    return say("The step is {change} ({ratio}) faster, {after} instead of {before}{why}.", **values)


def _of_memory(found: Comparison) -> Text:
    """The peak that changed most, where a snapshot leaves nothing else to compare."""
    known = [peak for peak in found.memory if peak.change_bytes is not None]
    peak = max(known, key=lambda p: abs(p.change_bytes or 0), default=None)
    if peak is None or peak.before_bytes is None or peak.after_bytes is None:
        return say("A memory snapshot has no times, and no memory was recorded in both.")
    before, after = units.size(peak.before_bytes), units.size(peak.after_bytes)
    return say("The peak of memory ({name}) is {after}, {before} before. A memory snapshot has no times to compare.",
               name=peak.name, after=after, before=before)  # fmt: skip


_WITHIN_A_SENTENCE: Mapping[str, Text] = {
    "compute": say("compute work"),
    "communication": say("exposed communication"),
    "copy": say("exposed copies"),
    "idle": say("idle time"),
}


def _why(found: Comparison) -> Text | str:
    """The part that explains most of the change, and the cause of it where it is idle time."""
    part = max(found.parts, key=lambda p: p.share or 0.0, default=None)
    if part is None or not part.share or part.share <= 0:
        return ""
    name: str = _WITHIN_A_SENTENCE.get(part.name) or word(part.name)
    if (
        part.name == "idle"
        and found.idle_causes
        and (cause := found.idle_causes[0]).change_ns * part.change_ns > 0
    ):
        name = say("idle time ({cause})", cause=cause_text(cause.name))
    return say(": {part} explains {share} of it", part=name, share=units.share(part.share))


def sheets(found: Comparison, top: int) -> list[tables.Sheet]:
    """Every table that has rows, in the order in which they are read."""
    parts = [row(part) | {"name": PARTS.get(part.name) or word(part.name)} for part in found.parts]
    if parts and found.step:
        parts.append(row(found.step) | {"name": say("Step")})
    idle = [row(cause) | {"name": cause_text(cause.name)} for cause in found.idle_causes]
    kept = [(PARTS_LAYOUT, parts), (IDLE_LAYOUT, idle)]
    kept += [(LAYOUTS[s], [row(c) for c in found.tables[s] if is_change(c)]) for s in LAYOUTS]
    kept += [
        (LAUNCHES_LAYOUT, [_launch(change) for change in found.launches]),
        (MEMORY_LAYOUT, [asdict(peak) | {"change_bytes": peak.change_bytes} for peak in found.memory]),
        (FINDINGS_LAYOUT, [asdict(finding) for finding in found.findings]),
    ]
    return [tables.sheet(layout, rows, top) for layout, rows in kept if rows]


def is_change(change: Change) -> bool:
    """Whether a row differs at all between the runs."""
    return bool(change.change_ns) or change.before_count != change.after_count or change.matched != "name"


def row(change: Change) -> dict[str, Any]:
    """A change as tables show it."""
    return {**asdict(change), "remark": _remark(change)}


def _remark(change: Change) -> Text | str:
    if change.matched == "before":
        return say("only before")
    if change.matched == "after":
        return say("only after")
    kept = [say("within the spread")] if change.within_spread else []
    if change.matched == "family":
        before, after = change.variants
        kept.append(
            say("{before} {before:name|names} before, {after} after", before=len(before), after=len(after))
        )
    return join("; ", kept) if kept else ""


def _launch(change: LaunchChange) -> dict[str, Any]:
    printed = units.duration if change.unit == "ns" else units.number
    return {"name": change.name, "before": printed(change.before), "after": printed(change.after)}


def text_lines(found: Comparison, top: int) -> Iterator[tuple[str, tables.Sheet | None]]:
    """(a line, a table under it or None)."""
    yield headline(found), None
    for what, analysis in ((say("BEFORE"), found.before), (say("AFTER"), found.after)):
        facts, steps = ReportFacts.of(analysis), units.count(len(analysis["steps"].steps))
        line = say("{side} {trace}: {device}, {steps} {steps:step|steps}", side=what, trace=names.cut(facts.title),
                   device=names.cut(facts.device_text), steps=steps)  # fmt: skip
        yield line, None
    for note in found.notes:
        yield say("! {note}", note=names.prose(note)), None
    for sheet in sheets(found, top):
        yield sheet.layout.title, sheet


def gate(found: Comparison, limit: float) -> tuple[bool, Text]:
    """Whether the step is slower by no more than `limit` (a share), or by no more than noise; and why."""
    slower, step = found.slower, found.step
    if step is None or slower is None:
        return False, say("The gate failed: one of the runs has no step to compare.")
    values = {"slower": units.share_change(slower), "limit": units.share(limit)}
    if slower <= limit:
        return True, say("The gate passed: the step changed by {slower}, {limit} are allowed.", **values)
    if step.within_spread:
        return True, say("The gate passed: the step changed by {slower}, which is within the spread over steps.",
                         **values)  # fmt: skip
    return False, say("The gate failed: the step changed by {slower}, {limit} are allowed.", **values)


def render(found: Comparison, form: str, *, top: int, limit: float | None = None) -> str:
    """The comparison as text, json, csv, markdown, html, github or junit.

    `limit` is the share by which the step may be slower, for the last two.
    """
    match form:
        case "json":
            return as_json(found)
        case "csv":
            return as_csv(found)
        case "markdown":
            return as_markdown(found, top=top)
        case "html":
            from traceanalyzer.reporters.html.comparison import page

            return page(found, top=top)
        case "github" | "junit":
            from traceanalyzer.reporters import gates

            return gates.FORMATS[form](_cases(found, limit))
    return _as_text(found, top)


def _cases(found: Comparison, limit: float | None) -> gates.Suite:
    """The step, and every finding of a rule that found nothing before, as checks of a gate."""
    from traceanalyzer.reporters.gates import Case, Suite

    passed, why = gate(found, limit) if limit is not None else (True, headline(found))
    cases = [Case("step", "diff", str(why), "passed" if passed else "failed", "error")]
    cases += [
        Case(finding.code, "diff.findings", f"{finding.title}: {claim}", "failed", "warning")
        for finding in found.findings
        if finding.state == "new"
        for claim in finding.after
    ]
    return Suite("trace-analyze diff", tuple(cases))


def _as_text(found: Comparison, top: int) -> str:
    lines: list[str] = []
    for line, sheet in text_lines(found, top):
        if sheet is None:
            lines.append(spoken(line))
            continue
        columns = [c for c in sheet.columns if c.brief]
        lines += ["", spoken(line), "\t".join(spoken(c.title) for c in columns)]
        lines += ["\t".join(tables.text(tables.value(r, c), c.kind) for c in columns) for r in sheet.rows]
    return "\n".join(lines) + "\n"


def as_csv(found: Comparison) -> str:
    """All rows of all tables with times, the subject first; empty for unknown."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    keys = [f.name for f in fields(Change) if f.name != "variants"]
    writer.writerow(["subject", *keys])
    step = (found.step,) if found.step else ()
    subjects = {"step": step, "parts": found.parts, "idle_causes": found.idle_causes, **found.tables}
    for subject, rows in subjects.items():
        writer.writerows([subject, *(getattr(change, key) for key in keys)] for change in rows)
    return out.getvalue()


def as_markdown(found: Comparison, *, top: int = 10) -> str:
    """A summary and folded tables, for a pull request."""
    lines = [f"## {markdown.prose(headline(found))}", ""]
    for what, analysis in ((say("Before"), found.before), (say("After"), found.after)):
        facts = ReportFacts.of(analysis)
        device = markdown.escape(names.cut(facts.device_text))
        lines.append(f"- {spoken(what)}: {markdown.code(names.cut(facts.title))}, {device}")
    lines += [f"- {markdown.prose(note)}" for note in found.notes]
    lines.append("")
    for sheet in sheets(found, top):
        lines += markdown.table(sheet, folded=sheet.layout is not PARTS_LAYOUT)
    about = say("traceanalyzer {version}; means per step; – means not measured", version=__version__)
    lines.append(f"<sub>{spoken(about)}</sub>")
    return "\n".join(lines) + "\n"


def document(found: Comparison) -> dict[str, Any]:
    """Everything, as plain values: ns, bytes and None for unknown."""
    return {
        "headline": str(headline(found)),
        "before": _side(found.before),
        "after": _side(found.after),
        "notes": [str(note) for note in found.notes],
        "step": asdict(found.step) | {"ratio": found.step.ratio} if found.step else None,
        "parts": [asdict(part) for part in found.parts],
        "idle_causes": [asdict(cause) for cause in found.idle_causes],
        **{subject: [asdict(change) for change in rows] for subject, rows in found.tables.items()},
        "launches": [asdict(change) for change in found.launches],
        "memory": [asdict(peak) | {"change_bytes": peak.change_bytes} for peak in found.memory],
        "findings": [asdict(finding) for finding in found.findings],
    }


def _side(analysis: Any) -> dict[str, Any]:
    return {
        "sources": [{"path": s.path, "sha256": s.sha256} for s in analysis.trace.sources],
        "steps": len(analysis["steps"].steps),
        "headline": str(analysis.verdict.headline),
    }


def as_json(found: Comparison) -> str:
    """The document as indented JSON that ends with a newline."""
    whole = {"schema_version": 1, "trace_diff": document(found)}
    return json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
