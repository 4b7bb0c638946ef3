"""Every finding leads to the time, the lane or the row that proves it, and the page has what it leads to."""

from __future__ import annotations

import base64
import json
import re
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
import situations
from linked import Linked
from written_cases import CASES, Case

from traceanalyzer.model.schema import TABLES
from traceanalyzer.pipeline import analyze
from traceanalyzer.reporters import render, timeline
from traceanalyzer.rules import ALL_RULES
from traceanalyzer.text import Text

if TYPE_CHECKING:
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Evidence

WITHOUT = {
    "CAPT001": "about what was not recorded",
    "QUAL002": "about a file that could not be read to its end",
}
"""The rules whose findings have neither a time nor a row, and why."""
EVERY = sorted({*CASES, *situations.CASES})


@cache
def problem(code: str) -> Analysis:
    if code in CASES:
        return analyze(Case(CASES[code]["problem"], CASES[code].get("ranks", 1)).trace())
    return analyze(situations.CASES[code][0]().trace())


def test_every_rule_is_looked_at() -> None:
    assert sorted(rule.code for rule in ALL_RULES) == EVERY


def of_code(analysis: Analysis, code: str) -> list[Evidence]:
    return [e for f in analysis.findings if f.code == code for e in f.evidence]


@pytest.mark.parametrize("code", EVERY)
def test_a_finding_has_a_place_or_a_row(code: str) -> None:
    found = of_code(problem(code), code)
    assert any(e.start_ns is not None or e.row is not None or e.sheet for e in found) is (code not in WITHOUT)
    for evidence in found:
        if evidence.start_ns is not None:
            assert evidence.rank is not None, "whose lane"


def english_alone(text: str) -> list[str]:
    """What of a sentence no catalogue could say in another language."""
    if not isinstance(text, Text):
        return [text] if re.fullmatch(r"unknown|[ ;,.]*[a-z]+( [a-z0-9]+)+×?", text) else []
    return [left for value in text.values.values() if isinstance(value, str) for left in english_alone(value)]


def mostly_waiting() -> Linked:
    """The host launches a kernel of 500 µs, does nothing for 20 ms, and launches another."""
    b = Linked()
    b.launch("gemm", called=0, start=5, end=500)
    b.launch("gemm", called=20_500, start=20_505, end=21_000)
    b.call("cudaDeviceSynchronize", 20_600, 21_000)
    b.step(1, 0, 21_000)
    return b


MORE = {
    "more than ten times as fast": mostly_waiting,
    "grids without an occupancy": lambda: Case(
        [
            {"times": 10, "every": 100, "repeat": [["launch", "reduce", 0, 5, 100,
             {"grid": [16, 1, 1], "block": [256, 1, 1]}]]},
            ["step", 1, 0, 1000],
        ]
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", [*EVERY, *MORE])
def test_all_that_a_finding_says_can_be_said_in_another_language(name: str) -> None:
    analysis = analyze(MORE[name]().trace()) if name in MORE else problem(name)
    said = [analysis.verdict.headline]
    for f in analysis.findings:
        said += [f.title, f.claim, f.fix, f.saving_reason, *(e.text for e in f.evidence)]
    assert [left for text in said for left in english_alone(text)] == []


@pytest.mark.parametrize("code", EVERY)
def test_a_place_is_that_of_its_row(code: str) -> None:
    trace = problem(code).trace
    for evidence in of_code(problem(code), code):
        if evidence.row is None or evidence.table not in {t.name for t in TABLES}:
            continue
        row: dict[str, Any] = trace.tables[evidence.table].slice(evidence.row, 1).to_pylist()[0]
        assert evidence.start_ns == row["ts"]
        assert (evidence.duration_ns or 0) >= 0
        for lane in ("rank", "device", "stream", "pid", "tid"):
            assert getattr(evidence, lane) == row.get(lane)


@pytest.mark.parametrize("code", EVERY)
def test_every_link_of_a_finding_has_a_target(code: str) -> None:
    page = render(problem(code), "html")
    finding = re.search(rf'<article class="finding[^>]*id="finding-{code}".*?</article>', page, re.DOTALL)
    assert finding is not None
    links = re.findall(r'<a href="#([^"]+)" class="(?:at|search|row)"', finding[0])
    assert bool(links) is (code not in WITHOUT)
    assert set(links) <= set(re.findall(r'\bid="([^"]+)"', page))
    lanes = set(re.findall(r'class="at" [^>]*data-lane="([^"]+)"', finding[0]))
    assert lanes <= drawn(problem(code))


def test_without_a_known_gpu_the_device_is_the_row() -> None:
    case = Case(CASES["EFF001"]["problem"])
    case.rows["devices"] = [{"rank": 0, "device": 0, "name": "A GPU of tomorrow"}]
    analysis = analyze(case.trace())
    (evidence,) = of_code(analysis, "EFF001")
    assert (evidence.sheet, evidence.rank, evidence.device) == ("launches", 0, 0)
    assert '<tr id="launches-row-0">' in render(analysis, "html")


def drawn(analysis: Analysis) -> set[str]:
    """What the lanes of the timeline are called, those of idle time with them."""
    embedded = timeline.embed(analysis)
    if embedded is None:
        return set()
    packed = zlib.decompress(base64.b64decode(embedded))
    head = json.loads(packed[4 : 4 + int.from_bytes(packed[:4], "little")])
    return {lane["label"] for lane in head["lanes"]} | {gap["of"] for gap in head["gaps"]}
