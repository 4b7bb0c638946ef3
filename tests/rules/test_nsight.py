"""The rules of nsys: asked about its exports only, with its definitions."""

from __future__ import annotations

from typing import Any

import pytest
from linked import Linked
from written_cases import CASES, Case

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.rules import ALL_RULES, RULES, Judgement, judge, nsight


def judged(b: Linked, **source: Any) -> Judgement:
    trace = b.trace(**{"format": "nsys", "metadata": {"capture_offset_ns": 500}, **source})
    return judge(trace, run_analyzers(trace)[0])


def synced(api: str) -> Linked:
    b = Linked()
    b.launch("gemm", called=0, start=5, end=500)
    b.call(api, 10, 510)
    b.step(1, 0, 510)
    return b


@pytest.mark.parametrize("rule", nsight.RULES, ids=lambda rule: rule.code)
def test_they_promise_no_saving(rule: Any) -> None:
    problem = CASES[rule.code]["problem"]
    (finding,) = [f for f in judged(Case(problem)).findings if f.code == rule.code]
    assert finding.saving_ns is None
    assert finding.saving_reason


def test_evidence_stands_on_the_trace_s_own_axis() -> None:
    (finding,) = [f for f in judged(synced("cudaDeviceSynchronize")).findings if f.code == "NSYS004"]
    assert finding.evidence[0].start_ns == 10_000
    assert finding.evidence[0].text == "500 µs, cudaDeviceSynchronize, thread 1"


def test_other_traces_are_not_asked() -> None:
    asked = judged(synced("cudaDeviceSynchronize"), format="chrome")
    codes = {row.code for group in asked[1:4] for row in group}
    assert not codes & {rule.code for rule in nsight.RULES}
    assert set(ALL_RULES) - set(RULES) == set(nsight.RULES)
