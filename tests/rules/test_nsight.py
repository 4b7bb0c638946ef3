"""The rules of nsys: asked about its exports only, with its definitions."""

from __future__ import annotations

from typing import Any

import pytest
from linked import Linked

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.rules import ALL_RULES, RULES, Judgement, judge, nsight

MS = 1_000


def judged(b: Linked, **source: Any) -> Judgement:
    trace = b.trace(**{"format": "nsys", "metadata": {"capture_offset_ns": 500}, **source})
    return judge(trace, run_analyzers(trace)[0])


def copied(api: str, direction: str = "HtoD", src: str = "pageable", kind: str = "memcpy") -> Linked:
    b = Linked()
    call = b.call(api, 0, 50)
    b.copy(
        direction, 10, 40, src, "device" if kind == "memcpy" else src, api_call=call, bytes=1 << 20, kind=kind
    )
    b.launch("gemm", called=60, start=70, end=100)
    b.step(1, 0, 100)
    return b


def gapped(gap_us: int) -> Linked:
    b = Linked()
    b.launch("gemm", called=0, start=5, end=500 * MS)
    b.launch("gemm", called=10, start=500 * MS + gap_us, end=2_000 * MS)
    b.step(1, 0, 2_000 * MS)
    return b


def synced(api: str) -> Linked:
    b = Linked()
    b.launch("gemm", called=0, start=5, end=500)
    b.call(api, 10, 510)
    b.step(1, 0, 510)
    return b


CASES = {
    "NSYS001": (copied("cudaMemcpyAsync"), copied("cudaMemcpyAsync", src="pinned")),
    "NSYS002": (copied("cudaMemcpy", src="pinned"), copied("cudaMemcpy", "DtoD", src="device")),
    "NSYS003": (
        copied("cudaMemset", src="pinned", kind="memset"),
        copied("cudaMemset", src="device", kind="memset"),
    ),
    "NSYS004": (synced("cudaDeviceSynchronize"), synced("cudaEventSynchronize")),
    "NSYS005": (gapped(501 * MS), gapped(499 * MS)),
    "NSYS006": (gapped(400 * MS), gapped(10)),
}


@pytest.mark.parametrize("code", CASES)
def test_the_problem_is_found_and_its_absence_passes(code: str) -> None:
    found = {f.code: f for f in judged(CASES[code][0]).findings}
    assert code in found
    assert found[code].saving_ns is None
    assert found[code].saving_reason
    passed = judged(CASES[code][1])
    assert code not in {f.code for f in passed.findings}
    assert code in {p.code for p in passed.passed}


def test_evidence_stands_on_the_trace_s_own_axis() -> None:
    (finding,) = [f for f in judged(synced("cudaDeviceSynchronize")).findings if f.code == "NSYS004"]
    assert finding.evidence[0].start_ns == 10_000
    assert finding.evidence[0].text == "500 µs, cudaDeviceSynchronize, thread 1"


def test_other_traces_are_not_asked() -> None:
    asked = judged(synced("cudaDeviceSynchronize"), format="chrome")
    codes = {row.code for group in asked[1:4] for row in group}
    assert not codes & {rule.code for rule in nsight.RULES}
    assert set(ALL_RULES) - set(RULES) == set(nsight.RULES)
