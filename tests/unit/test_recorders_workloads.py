"""Every workload runs one step, and what it is expected to show was written down for each."""

from __future__ import annotations

import gc

import pytest
import torch

from fixtures.recorders.expectations import expectations
from fixtures.recorders.workloads import WORKLOADS, Place

CPU = Place(torch.device("cpu"))
VARIANTS = [(w, variant) for w in WORKLOADS for variant in w.variants]


@pytest.fixture(autouse=True)
def as_before():
    precision = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(precision)
    gc.unfreeze()


@pytest.mark.parametrize(("workload", "variant"), VARIANTS, ids=lambda x: getattr(x, "name", x))
def test_a_step_runs_on_the_cpu_and_can_be_repeated(workload, variant):
    step = workload.variants[variant](CPU)
    step()
    step()


@pytest.mark.parametrize("name", ["item_loop", "pointwise_chain", "graph_breaks"])
def test_the_cure_calculates_the_same(name):
    workload = next(w for w in WORKLOADS if w.name == name)
    results = []
    for build in workload.variants.values():
        torch.manual_seed(1)
        results.append(torch.as_tensor(build(CPU)()))
    torch.testing.assert_close(*results, rtol=0.05, atol=0.5, check_dtype=False)


def test_broken_graphs_are_broken_and_whole_ones_are_not():
    broken, whole = next(w for w in WORKLOADS if w.name == "graph_breaks").variants.values()
    assert graphs(broken) == 2, "before the break and after it"
    assert graphs(whole) == 1


def graphs(build):
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    step = build(CPU)
    step()
    step()
    return torch._dynamo.utils.counters["stats"]["unique_graphs"]


def test_each_workload_has_an_expectation_and_no_other_has():
    assert sorted(w.name for w in WORKLOADS) == sorted(expectations())


def test_expectations_use_the_words_of_the_verdict():
    words = {"compute", "memory_bandwidth", "overhead", "copy", "communication", "latency"}
    assert {e.step for e in expectations().values()} <= words
    assert {e.kernel for e in expectations().values()} <= {"compute", "memory_bandwidth", "latency"}


def test_half_of_the_workloads_are_held_out_of_every_common_kind():
    rows = list(expectations().values())
    assert abs(2 * sum(e.held_out for e in rows) - len(rows)) <= 3
    for label in {e.step for e in rows}:
        of_kind = [e.held_out for e in rows if e.step == label]
        assert abs(2 * sum(of_kind) - len(of_kind)) <= 1, label


def test_a_finding_is_named_only_where_a_cure_can_be_measured_or_the_step_idles():
    fixed = {w.name for w in WORKLOADS if w.fixed}
    for name, expected in expectations().items():
        assert not expected.findings or name in fixed or expected.step == "overhead", name
