"""Runs tests/rules/*.yml: every rule written there speaks of the problem, and is silent without it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import memory_situations
import pyarrow.compute as pc
import pytest
from written_cases import CASES, Case

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.rules import ALL_RULES, judge

if TYPE_CHECKING:
    from traceanalyzer.rules import Judgement

OTHER_INPUT = dict.fromkeys(memory_situations.CASES, "needs a memory snapshot, which is no list of events")


def test_every_rule_has_a_case_with_the_problem_and_one_without() -> None:
    assert {rule.code for rule in ALL_RULES} == {*CASES, *OTHER_INPUT}
    for code, case in CASES.items():
        assert case["problem"] != case["fine"], code


def judged(case: dict[str, Any], which: str) -> Judgement:
    trace = Case(case[which], case.get("ranks", 1)).trace()
    return judge(trace, run_analyzers(trace)[0])


@pytest.mark.parametrize("code", CASES)
def test_the_problem_is_found(code: str) -> None:
    trace = Case(CASES[code]["problem"], CASES[code].get("ranks", 1)).trace()
    results = run_analyzers(trace)[0]
    devices = results["breakdown"].devices
    step_ns = sum(d.whole.wall_ns for d in devices) // max(1, sum(len(d.steps) for d in devices))
    step_ns = step_ns or results["steps"].median_ns  # on the host alone
    findings = judge(trace, results).findings
    found = [f for f in findings if f.code == code]
    assert found
    for finding in findings:
        assert finding.title
        assert finding.claim.endswith(".")
        assert finding.fix
        assert finding.saving_ns is not None or finding.saving_reason
        assert finding.saving_ns is None or 0 <= finding.saving_ns[0] <= finding.saving_ns[1] <= step_ns
    for part in CASES[code].get("says", ()):
        assert any(part in f.claim or any(part in e.text for e in f.evidence) for f in found), part


@pytest.mark.parametrize("code", CASES)
def test_its_absence_passes(code: str) -> None:
    found = judged(CASES[code], "fine")
    assert code not in [f.code for f in found.findings]
    assert code in [p.code for p in found.passed]


@pytest.mark.parametrize("code", CASES)
def test_without_what_it_requires_it_is_not_assessed(code: str) -> None:
    (rule,) = [r for r in ALL_RULES if r.code == code]
    trace = Case(CASES[code]["problem"]).trace()
    for missing in rule.requires:
        without = replace(trace, capabilities=trace.capabilities - {missing})
        if missing == "steps":
            continue  # annotations called ProfilerStep bring them back
        assert code in [n.code for n in judge(without, run_analyzers(without)[0]).not_assessed]


@pytest.mark.parametrize("code", CASES)
def test_without_steps_shares_are_of_the_trace(code: str) -> None:
    marked = Case(CASES[code]["problem"], CASES[code].get("ranks", 1)).trace()
    names = pc.cast(marked.annotations.column("name"), "string")
    unmarked = marked.annotations.filter(pc.invert(pc.starts_with(names, "ProfilerStep")))
    trace = replace(marked, tables={**marked.tables, "annotations": unmarked})
    results = run_analyzers(trace)[0]
    assert results["steps"].kind == "window"
    found = judge(trace, results)
    for finding in found.findings:
        said = [finding.claim, finding.saving_reason, *(e.text for e in finding.evidence)]
        assert not [text for text in said if "of the step" in text]
    assert "of the step" not in found.verdict.headline
