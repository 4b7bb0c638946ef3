"""The rules of nsys: asked about its exports only, with its definitions."""

from __future__ import annotations

from typing import Any

import pytest
from linked import Linked
from written_cases import CASES, Case

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.rules import ALL_RULES, ON_HOST_ALONE, RULES, Judgement, judge, nsight


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


def evidence(code: str, b: Linked) -> list[Any]:
    (finding,) = [f for f in judged(b).findings if f.code == code]
    return list(finding.evidence)


def two_ranks_of_one_pid() -> Linked:
    """As in two containers; rank 2 made no call that was recorded."""
    b = Linked()
    for rank in range(3):
        b.kernel("gemm", 0, 5, rank=rank)
        b.kernel("gemm", 700_000 + rank, 800_000, rank=rank)
    for rank in range(2):
        call = b.call("cudaMemcpyAsync", 5, 900 + rank, rank=rank, pid=100)
        b.copy("HtoD", 5, 900 + rank, "pageable", "device", rank=rank, api_call=call, bytes=10)
        b.call("cudaDeviceSynchronize", 1000, 2000 + rank, rank=rank, pid=100)
    b.step(1, 0, 800_000)
    return b


@pytest.mark.parametrize(
    ("code", "ranks"),
    [("NSYS001", [1, 0]), ("NSYS004", [1, 0]), ("NSYS005", [2, 0, 1]), ("NSYS006", [2, 0, 1])],
)
def test_evidence_has_the_rank_of_its_row_whatever_its_process_is_called(code: str, ranks: list[int]) -> None:
    assert [e.rank for e in evidence(code, two_ranks_of_one_pid())] == ranks


def test_other_traces_are_not_asked() -> None:
    asked = judged(synced("cudaDeviceSynchronize"), format="chrome")
    codes = {row.code for group in asked[1:4] for row in group}
    assert not codes & {rule.code for rule in nsight.RULES}
    assert set(ALL_RULES) - set(RULES) == {*nsight.RULES, *ON_HOST_ALONE}
