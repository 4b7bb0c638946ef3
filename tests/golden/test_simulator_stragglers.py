"""The simulated pair of ranks of which one has more work: the rule names it, with evidence per rank."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import fixtures
from fixtures.simulator.kineto import chrome_trace
from fixtures.simulator.workloads import Rank, exposed_allreduce, ranks_together
from traceanalyzer import analyze, load
from traceanalyzer.ingest.options import LoadOptions

if TYPE_CHECKING:
    from fixtures.simulator.machine import Machine
    from traceanalyzer.model.trace import Trace

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


def recorded(folder: Path, machines: tuple[Machine, ...]) -> Trace:
    for machine in machines:
        (folder / f"rank{machine.rank}.json").write_text(chrome_trace(machine, f"rank{machine.rank}"))
    return load(folder, options=LoadOptions(use_cache=False))


def test_the_verdict_names_the_rank_where_most_communication_is_waiting_for_it(tmp_path: Path) -> None:
    trace = recorded(
        tmp_path, ranks_together(3, [Rank(sample_us=1200 if number == 3 else 60) for number in range(6)])
    )
    analysis = analyze(trace)
    assert analysis.verdict.bottleneck == "communication"
    assert ", most of it in waiting for rank 3; up to " in analysis.verdict.headline
    saved = {f.code: f.saving_ns for f in analysis.findings}["COMM003"]
    assert saved is not None
    factor = 1 / (1 - saved[1] / analysis["steps"].median_ns)
    assert analysis.verdict.headline.endswith(f"up to {factor:.1f}×")


def test_where_all_ranks_are_alike_the_verdict_blames_none(tmp_path: Path) -> None:
    headline = analyze(recorded(tmp_path, exposed_allreduce(3))).verdict.headline
    assert "compute does not hide it" in headline
    assert "rank" not in headline
