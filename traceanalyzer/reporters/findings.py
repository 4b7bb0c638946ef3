"""Findings alone, for gates and editors: text, JSON, Markdown, SARIF 2.1.0 and what continuous integration reads."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from traceanalyzer.languages import current, speaking, spoken
from traceanalyzer.reporters import names, units
from traceanalyzer.reporters.facts import ReportFacts, same_time
from traceanalyzer.reporters.gates import Case, Suite, github, junit
from traceanalyzer.reporters.json_report import plain
from traceanalyzer.rules.explain import page_of
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.text import join, say
from traceanalyzer.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Finding
    from traceanalyzer.text import Text

_SARIF_LEVEL = {"high": "error", "medium": "warning", "low": "note", "info": "note"}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def text(analysis: Analysis) -> str:
    """What was found with evidence and fix, then what was fine and what could not be checked."""
    return "\n".join(map(spoken, _text_lines(analysis))) + "\n"


def _text_lines(analysis: Analysis) -> Iterator[str]:
    facts = ReportFacts.of(analysis)
    for finding in analysis.findings:
        head = say(
            "{code} {title} [{severity}, {confidence} confidence]",
            code=finding.code,
            title=finding.title,
            severity=word(finding.severity),
            confidence=word(finding.confidence),
        )
        yield join(" ", [part for part in (head, facts.worth(finding)) if part])
        yield f"    {names.prose(finding.claim)}"
        yield from (f"    - {names.prose(evidence.text)}" for evidence in finding.evidence)
        for line in names.prose(finding.fix).split("\n"):
            if not line.startswith("```"):
                yield f"    > {line}"
        yield ""
    if facts.combined:
        yield from (facts.combined, "")
    if not analysis.findings:
        yield say("Nothing found.")
    for needs, codes in _unchecked(analysis):
        yield say("Could not be checked: {codes}; to check: {needs}", codes=", ".join(codes), needs=needs)
    if analysis.passed:
        yield say("Checked and fine: {codes}", codes=", ".join(check.code for check in analysis.passed))


def _unchecked(analysis: Analysis) -> Iterator[tuple[Text, tuple[str, ...]]]:
    """The rules that could not look, by what they lack: one recording often serves many."""
    for needs in dict.fromkeys(check.needs for check in analysis.not_assessed):
        yield needs, tuple(check.code for check in analysis.not_assessed if check.needs == needs)


def markdown(analysis: Analysis) -> str:
    """A table to paste, then every fix."""
    heads = (say("Code"), say("What"), say("Saves per step"), say("Confidence"))
    lines = [f"| {' | '.join(map(spoken, heads))} |", "| --- | --- | ---: | --- |"]
    for finding in analysis.findings:
        saving = spoken(_saving(finding))
        sure = spoken(word(finding.confidence))
        lines.append(f"| {finding.code} | {_cell(finding.claim)} | {saving} | {sure} |")
    if combined := ReportFacts.of(analysis).combined:
        lines += ["", _cell(combined)]
    for finding in analysis.findings:
        lines += ["", f"**{finding.code} {_cell(finding.title)}**", "", names.prose(finding.fix)]
    unchecked = "; ".join(f"{', '.join(codes)} ({_cell(needs)})" for needs, codes in _unchecked(analysis))
    lines += ["", spoken(say("Could not check: {what}.", what=unchecked or say("nothing")))]
    return "\n".join(lines) + "\n"


def _saving(finding: Finding) -> str:
    saving = units.saving(finding.saving_ns)
    return join("; ", [saving, same_time(finding)]) if finding.part_of else saving


def _cell(text_: str) -> str:
    flat = " ".join(names.prose(text_).split())
    for special in "\\|<>[]*_#@":
        flat = flat.replace(special, f"\\{special}")
    return flat


def as_json(analysis: Analysis) -> str:
    """The parts of the JSON report that findings are: same keys, same schema_version."""
    content = {
        "schema_version": 1,
        "verdict": asdict(analysis.verdict),
        "findings": [plain(finding) for finding in analysis.findings],
        "combined_saving": asdict(analysis.combined) if analysis.combined else None,
        "not_assessed": [asdict(check) for check in analysis.not_assessed],
        "passed": [check.code for check in analysis.passed],
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def sarif(analysis: Analysis) -> str:
    """SARIF 2.1.0: one result per finding, at its lines of code and the trace it was found in."""
    rules: list[dict[str, Any]] = []
    for code, title in {f.code: f.title for f in analysis.findings}.items():
        page = page_of(code)
        rules.append(
            {
                "id": code,
                "shortDescription": {"text": title},
                "fullDescription": {"text": page.summary if page else title},
                "help": {"text": page.text if page else title},
            }
        )
    run = {
        "tool": {"driver": {"name": "traceanalyzer", "version": __version__, "rules": rules}},
        "results": [_sarif_result(finding, analysis) for finding in analysis.findings],
        "columnKind": "unicodeCodePoints",
    }
    content = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _sarif_result(finding: Finding, analysis: Analysis) -> dict[str, Any]:
    same = [same_time(finding)] if finding.part_of else []
    lines = [finding.claim, *same, *(evidence.text for evidence in finding.evidence), f"Fix: {finding.fix}"]
    traces = [
        {"physicalLocation": {"artifactLocation": {"uri": source.path}}} for source in analysis.trace.sources
    ]
    locations = [*map(_sarif_line, finding.lines), *traces]
    properties = {
        "confidence": finding.confidence,
        "saving_ns": None if finding.saving_ns is None else list(finding.saving_ns),
        "saving_bytes": finding.saving_bytes,
        "part_of": finding.part_of,
    }
    return {
        "ruleId": finding.code,
        "level": _SARIF_LEVEL[finding.severity],
        "message": {"text": "\n".join(names.prose(line) for line in lines)},
        "locations": locations,
        "properties": properties,
    }


def _sarif_line(place: str) -> dict[str, Any]:
    path, _, line = place.rpartition(":")
    region = {"startLine": int(line)} if line.isdecimal() and int(line) else {}
    return {
        "physicalLocation": {"artifactLocation": {"uri": quote(path)}}
        | ({"region": region} if region else {})
    }


_GATE_LEVEL: Mapping[str, Literal["error", "warning", "notice"]] = {
    "high": "error",
    "medium": "warning",
    "low": "notice",
    "info": "notice",
}


def suite(analysis: Analysis) -> Suite:
    """Every rule as a check: what it found, that it found nothing, or why it could not look."""
    cases = [
        Case(
            f.code,
            "findings",
            f"{f.title}: {f.claim}\n{f.fix}",
            "failed",
            _GATE_LEVEL[f.severity],
            f.lines[0] if f.lines else "",
        )
        for f in analysis.findings
    ]
    cases += [Case(n.code, "findings", n.needs, "skipped") for n in analysis.not_assessed]
    cases += [Case(p.code, "findings", p.title, "passed") for p in analysis.passed]
    return Suite("trace-analyze findings", tuple(cases))


_FORMATS: Mapping[str, Callable[[Analysis], str]] = {
    "text": text,
    "json": as_json,
    "markdown": markdown,
    "sarif": sarif,
    "github": lambda analysis: github(suite(analysis)),
    "junit": lambda analysis: junit(suite(analysis)),
}
_FOR_PEOPLE = ("text", "markdown")


def render(analysis: Analysis, form: str) -> str:
    """The findings in one of the forms; those for programs are English."""
    with speaking(current() if form in _FOR_PEOPLE else "en"):
        return _FORMATS[form](analysis)
