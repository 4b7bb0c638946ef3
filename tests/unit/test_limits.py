"""Labels of ops, modules, steps and the run: those of their kernels, weighted with their time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compute_situations import FAST, STREAM, Computing

from traceanalyzer.analyzers import run_analyzers

if TYPE_CHECKING:
    from traceanalyzer.analyzers.limits_results import Limit, Limits

BIG = [1 << 13, 1 << 13]


def limits(b: Computing) -> Limits:
    found: Limits = run_analyzers(b.done().trace())[0]["limits"]
    return found


def mixed() -> Computing:
    """A product at its roof and an addition at its roof; the product takes three quarters of the time."""
    b = Computing()
    b.work("aten::mm", FAST, 450, [5792, 5792], [5792, 5792])
    return b.work("aten::add", STREAM, 150, BIG, BIG)


def of(rows: tuple, name: str) -> Limit:
    (found,) = [row.limit for row in rows if row.name == name]
    return found


def test_each_op_has_its_own_label() -> None:
    found = limits(mixed())
    assert of(found.ops, "aten::mm").bound == "compute"
    assert of(found.ops, "aten::add").bound == "memory_bandwidth"
    assert of(found.ops, "aten::add").evidence == f"{STREAM} (aten::add)"
    assert [row.name for row in found.ops] == ["aten::mm", "aten::add"]


def test_the_run_and_its_step_are_what_most_of_their_time_is() -> None:
    found = limits(mixed())
    assert found.run.limit.bound == found.steps[0].limit.bound == "compute"
    assert found.run.limit.by_bound["compute"] == 450_000
    assert sum(found.steps[0].limit.by_bound.values()) == found.steps[0].limit.total_ns == 610_000


def test_without_a_lead_it_is_mixed_and_less_sure() -> None:
    b = Computing().work("aten::mm", FAST, 460, [5792, 5792], [5792, 5792])
    for _ in range(3):
        b.work("aten::add", STREAM, 160, BIG, BIG)
    b.work("aten::mul", "k", 400)  # told by nothing
    run = limits(b).run.limit
    assert (run.bound, run.confidence) == ("mixed", "medium")
    assert run.efficiency is not None
    assert 0.6 < run.costed < 0.75


def test_idle_time_is_weighed_against_the_kernels() -> None:
    b = mixed()
    b.now += 5000
    b.work("aten::add", STREAM, 150, BIG, BIG)
    found = limits(b).run.limit
    assert (found.bound, found.confidence) == ("overhead", "high")


def test_modules_hold_the_modules_inside_them() -> None:
    b = mixed()
    for row, path in zip(b.rows["kernels"], ("Model_0/Linear_0", "Model_0"), strict=True):
        row["module"] = path
    found = limits(b).modules
    assert [(row.name, row.limit.bound, row.limit.total_ns) for row in found] == [
        ("Model_0", "compute", 600_000),
        ("Model_0/Linear_0", "compute", 450_000),
    ]
