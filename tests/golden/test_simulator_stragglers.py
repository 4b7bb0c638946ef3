"""The simulated pair of ranks of which one has more work: the rule names it, with evidence per rank."""

from __future__ import annotations

from pathlib import Path

import pytest

import fixtures
from traceanalyzer import analyze, load

SIMULATED = Path(fixtures.__file__).parent / "simulated"


def test_the_slow_rank_is_named() -> None:
    trace = load(*(SIMULATED / f"sim_straggler_rank{rank}.json.gz" for rank in (0, 1)))
    (finding,) = [f for f in analyze(trace).findings if f.code == "COMM003"]
    assert "wait for rank 1 in 4 of 4 collectives" in finding.claim
    assert finding.saving_basis == "replay"
    assert finding.saving_ns is not None
    assert finding.saving_ns[1] == pytest.approx(32_275_836 / 4, rel=0.02)  # what rank 0 waits, of four steps
    by_rank = [e.text for e in finding.evidence]
    assert by_rank[0].startswith("rank 0:")
    assert "is the last in 0" in by_rank[0]
    assert by_rank[1].startswith("rank 1:")
    assert "waits 0 ns in collectives, is the last in 4" in by_rank[1]


def test_one_rank_alone_says_nothing_of_stragglers() -> None:
    analysis = analyze(load(SIMULATED / "sim_straggler_rank0.json.gz"))
    assert "COMM003" not in [f.code for f in analysis.findings]
    assert "all ranks" in next(n.needs for n in analysis.not_assessed if n.code == "COMM003")
