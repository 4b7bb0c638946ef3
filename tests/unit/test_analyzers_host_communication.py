"""Communication that the host runs itself: what waiting for them costs, and for which rank."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from linked import Linked

import traceanalyzer as ta
from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules import judge

if TYPE_CHECKING:
    from traceanalyzer.analyzers.host_time import HostTime

RECORDED = Path(__file__).parents[2] / "fixtures" / "recorded"
GLOO = 7  # the thread of a collective
ON_CPU = set(Capability) - {Capability.DEVICE_WORK, Capability.LAUNCHES}


def reduced(traced: Linked, begin: float, end: float, rank: int = 0) -> None:
    """An all-reduce that a rank asks for at `begin`."""
    traced.op("c10d::allreduce_", begin, begin + 10, rank=rank)
    traced.annotation("gloo:all_reduce", begin, end, rank=rank, tid=GLOO)


def spent(traced: Linked) -> HostTime:
    found: HostTime = run_analyzers(traced.trace(ON_CPU))[0]["host_time"]
    return found


def step(traced: Linked, end: float, rank: int = 0) -> None:
    traced.annotation("ProfilerStep#1", 0, end, rank=rank)


def test_a_collective_is_waited_for_while_nothing_is_computed():
    traced = Linked()
    step(traced, 1000)
    reduced(traced, 100, 600)
    traced.op("aten::mm", 200, 350)
    assert spent(traced).of("host_communication").total_ns == 350_000
    assert spent(traced).of("ops").total_ns == 150_000


def test_a_node_of_autograd_that_waits_for_a_collective_does_not_compute():
    traced = Linked()
    step(traced, 1000)
    node = traced.op("autograd::engine::evaluate_function: RowParallelBackward", 100, 900, depth=0)
    inner = traced.op("RowParallelBackward", 110, 890, depth=1, parent=node)
    traced.op("aten::mm", 120, 220, depth=2, parent=inner)
    traced.op("c10d::allreduce_", 230, 240, depth=2, parent=inner)
    traced.annotation("gloo:all_reduce", 240, 840, tid=GLOO)
    assert spent(traced).of("host_communication").total_ns == 600_000


def test_an_op_that_communicates_itself_does_not_compute():
    traced = Linked()
    step(traced, 1000)
    op = traced.op("vllm::all_reduce", 100, 700, depth=0)
    traced.op("c10d::allreduce_", 110, 120, depth=1, parent=op)
    traced.annotation("gloo:all_reduce", 120, 620, tid=GLOO)
    traced.op("_c10d_functional::wait_tensor", 700, 800, depth=0)
    assert spent(traced).of("host_communication").total_ns == 500_000


def test_what_another_thread_asked_for_is_not_waited_for():
    traced = Linked()
    step(traced, 1000)
    traced.op("c10d::allgather_", 100, 110, tid=3)
    traced.annotation("gloo:all_gather", 110, 900, tid=GLOO)
    traced.op("aten::mm", 0, 50)
    assert spent(traced).of("host_communication").total_ns == 0


def test_without_a_sign_of_who_asked_it_is_the_program():
    traced = Linked()
    step(traced, 1000)
    traced.op("aten::empty", 0, 10)
    traced.annotation("gloo:all_reduce", 100, 900, tid=GLOO)
    traced.annotation("gloo:all_reduce", 100, 900, tid=GLOO, pid=200)  # of another process
    assert spent(traced).of("host_communication").total_ns == 800_000


def test_the_thread_of_a_collective_is_not_taken_for_the_program():
    traced = Linked()
    traced.op("aten::mm", 0, 100)
    reduced(traced, 100, 900)
    traced.op("aten::mm", 900, 1000)
    assert spent(traced).of("ops").total_ns == 200_000
    assert spent(traced).of("host_communication").total_ns == 800_000


def test_the_rank_that_comes_last_makes_the_others_wait():
    traced = Linked()
    for begin in (0, 1000):
        for rank in (0, 1, 2):
            reduced(traced, begin + (700 if rank == 2 else 100), begin + 800, rank)
    first, second, late = run_analyzers(traced.trace(ON_CPU))[0]["host_communication"].ranks
    assert (first.wait_ns, second.wait_ns, late.wait_ns) == (1_200_000, 1_200_000, 0)
    assert (late.caused_ns, late.last, late.joined) == (1_200_000, 2, 2)


def test_ranks_that_did_not_run_the_same_are_not_compared():
    traced = Linked()
    reduced(traced, 0, 800)
    reduced(traced, 900, 1000)
    reduced(traced, 0, 900, 1)
    found = run_analyzers(traced.trace(ON_CPU))[0]["host_communication"]
    assert found.ranks == ()
    assert [(row.name, row.count, row.total_ns, row.min_ns, row.max_ns) for row in found.rows] == [
        ("gloo:all_reduce", 3, 1_800_000, 100_000, 900_000)
    ]


def test_sending_and_receiving_is_no_collective_that_ranks_join():
    traced = Linked()
    for rank, first, second in ((0, "send", "recv"), (1, "recv", "send")):
        traced.annotation(f"gloo:{first}", 0, 100 + 800 * rank, rank=rank, tid=GLOO)
        traced.annotation(f"gloo:{second}", 900, 1700 - 700 * rank, rank=rank, tid=GLOO)
    found = run_analyzers(traced.trace(ON_CPU))[0]["host_communication"]
    assert found.ranks == ()
    assert {row.name for row in found.rows} == {"gloo:recv", "gloo:send"}


def test_a_device_that_idles_for_it_is_told_so_with_the_late_rank():
    traced = Linked()
    for rank in (0, 1):
        joins = 100 if rank == 0 else 700
        traced.launch("gemm", 0, 5, 90, rank=rank)
        reduced(traced, joins, 800, rank)
        traced.launch("gemm", 810, 815, 1000, rank=rank)
        step(traced, 1000, rank)
    trace = traced.trace()
    results = run_analyzers(trace)[0]
    causes = {cause.cause for cause in results["breakdown"].devices[0].idle_causes}
    assert "host_communication" in causes
    (finding,) = [f for f in judge(trace, results).findings if f.code == "COMM006"]
    assert finding.claim.endswith("mostly for rank 1.")


@pytest.fixture(scope="module")
def recorded() -> ta.Analysis:
    return ta.analyze(ta.load(*sorted(RECORDED.glob("gloo_rank*.json.gz"))))


def test_a_recorded_job_waits_for_its_late_rank(recorded):
    assert "other ranks are waited for during" in recorded.verdict.headline
    assert recorded.findings[0].code == "HOST005"
    assert "the others wait for rank 1" in recorded.findings[0].claim


def test_what_an_early_rank_saves_was_measured(recorded):
    times = json.loads((RECORDED / "gloo.times.json").read_text())
    measured = 1 - times["fixed_ms"] / times["plain_ms"]
    low, high = (ns / recorded["steps"].median_ns for ns in recorded.findings[0].saving_ns)
    assert low < measured < high
