"""Programs drawn from seeds: the analyzers against the simulator's truth where nobody planned what happens."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from fixtures.simulator.kineto import chrome_trace
from fixtures.simulator.random_program import random_program
from fixtures.simulator.truth import truth
from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.pipeline import load

if TYPE_CHECKING:
    from pathlib import Path

SEEDS = range(8)
CLEAR_NS = 20_000
CLEAR_LEAD = 1.25
"""A cause must be told when the gap is longer than this, and the first activity so far before the second.

Below, the few us that leave no row (waking up, handing over to the autograd thread) decide.
"""


@cache
def simulated(seed: int) -> SimpleNamespace:
    machine = random_program(seed)
    return SimpleNamespace(machine=machine, truth=truth(machine))


def analysed(seed: int, folder: Path) -> SimpleNamespace:
    known = simulated(seed)
    path = folder / f"sim_random_{seed}.json"
    path.write_text(chrome_trace(known.machine, "simulated_random"))
    results, _ = run_analyzers(load(path), step=None)
    offset = known.truth["steps"][0]["start_ns"] - results["steps"].steps[0].start_ns
    return SimpleNamespace(results=results, truth=known.truth, machine=known.machine, offset=offset)


@pytest.fixture(params=SEEDS)
def run(request, tmp_path) -> SimpleNamespace:
    return analysed(request.param, tmp_path)


def test_the_partition_of_every_step(run):
    (device,) = run.results["breakdown"].devices
    for part, known in zip(
        (device.whole, *device.steps), (run.truth["whole"], *run.truth["partition_by_step"]), strict=True
    ):
        assert {name: getattr(part, name) for name in known} == known


def test_every_op(run):
    columns = ("count", "total_ns", "self_ns", "device_ns", "self_device_ns", "kernels")
    found = {row.name: {c: getattr(row, c) for c in columns} for row in run.results["ops"].by_name}
    assert found == {row["name"]: {c: row[c] for c in columns} for row in run.truth["ops"]}


def test_the_cause_of_every_gap_that_is_clear(run):
    known = {gap["start_ns"]: gap for gap in run.truth["gaps"]}
    pairs = [(g.cause, known[g.start_ns + run.offset]) for g in run.results["breakdown"].largest_gaps]
    assert [(found, gap) for found, gap in pairs if is_clear(gap) and found != gap["cause"]] == []
    assert sum(is_clear(gap) for _, gap in pairs) > 20


def test_a_graph_that_is_still_being_launched_depends_on_nothing(tmp_path):
    for run in (analysed(seed, tmp_path) for seed in SEEDS):
        graphs = {w.start_ns for w in run.machine.device.work if "graph id" in w.args and w.held_by == "host"}
        known = {gap["start_ns"]: gap["cause"] for gap in run.truth["gaps"]}
        for gap in run.results["breakdown"].largest_gaps:
            start_ns = gap.start_ns + run.offset
            if start_ns + gap.duration_ns in graphs and known[start_ns] == "launch_latency":
                assert gap.cause == "launch_latency"


def is_clear(gap) -> bool:
    if "host_ns" not in gap:
        return gap["cause"] == "dependency"
    first, second, *_ = sorted([*gap["host_ns"].values(), 0, 0], reverse=True)
    return gap["duration_ns"] >= CLEAR_NS and first >= CLEAR_LEAD * second
