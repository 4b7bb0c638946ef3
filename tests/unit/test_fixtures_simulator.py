"""The simulator's own laws: what it says is true must follow from how its machine works."""

from __future__ import annotations

import gzip
import json
from functools import cache
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from fixtures.simulator import kernels
from fixtures.simulator.__main__ import files
from fixtures.simulator.catalogue import WORKLOADS
from fixtures.simulator.device import QUEUE_LIMIT, Device
from fixtures.simulator.machine import Machine
from fixtures.simulator.torch_like import FLOAT, Tensor
from fixtures.simulator.truth import idle_gaps, partition, step_windows, truth

SIMULATED = Path(__file__).parents[2] / "fixtures" / "simulated"
LONG_KERNEL = kernels.gemm(4096, 4096, 4096)
SHORT_KERNEL = kernels.pointwise("add", 1024, 2)
RANKS = [(w.name, rank) for w in WORKLOADS for rank in range(1 + (w.name == "straggler"))]


@cache
def simulated(workload: str) -> tuple[Machine, ...]:
    return next(w for w in WORKLOADS if w.name == workload).run(2)


@pytest.fixture
def machine() -> Machine:
    return Machine(seed=1)


each_rank = pytest.mark.parametrize(("workload", "rank"), RANKS)


# --- device ---


def test_work_on_one_stream_never_overtakes(machine):
    for _ in range(20):
        machine.cuda.launch(SHORT_KERNEL)
    work = machine.device.work
    assert all(a.end_ns < b.start_ns for a, b in pairwise(work))


def test_work_on_two_streams_overlaps(machine):
    first, second = machine.cuda.launch(LONG_KERNEL, 7), machine.cuda.launch(LONG_KERNEL, 20)
    assert second.start_ns < first.end_ns


def test_a_stream_that_waits_for_an_event_starts_after_it(machine):
    first = machine.cuda.launch(LONG_KERNEL, 7)
    machine.cuda.wait(20, machine.cuda.record(7))
    second = machine.cuda.launch(SHORT_KERNEL, 20)
    assert second.start_ns > first.end_ns
    assert second.held_by == "event"


def test_an_event_does_not_wait_for_work_launched_after_it(machine):
    machine.cuda.launch(SHORT_KERNEL, 7)
    event = machine.cuda.record(7)
    long = machine.cuda.launch(LONG_KERNEL, 7)
    machine.cuda.wait(20, event)
    assert machine.cuda.launch(SHORT_KERNEL, 20).start_ns < long.end_ns


@each_rank
def test_nothing_starts_before_it_is_launched(workload, rank):
    assert all(w.called_ns < w.start_ns < w.end_ns for w in simulated(workload)[rank].device.work)


def test_a_full_launch_queue_blocks_the_host(machine):
    for _ in range(QUEUE_LIMIT + 50):
        machine.cuda.launch(LONG_KERNEL)
    depths = [w.depth_at_launch for w in machine.device.work]
    assert max(depths) == QUEUE_LIMIT
    blocked = machine.device.work[-1].call
    assert blocked.end_ns - blocked.start_ns > LONG_KERNEL.mean_ns / 2


def test_a_collective_ends_only_after_its_last_peer_has_started():
    device = Device(Random(1), 0)
    work = kernels.all_reduce(1 << 20, 2, 1, kernels.NVLINK_BUS).work(Random(1), 20)
    device.enqueue(work, 1_000, peers_start_ns=9_000_000)
    assert work.start_ns < 10_000
    assert work.end_ns == 9_000_000 + work.duration_ns


def test_the_kernels_of_a_graph_share_one_correlation_and_run_in_order(machine):
    machine.cuda.graph_launch([SHORT_KERNEL] * 5, graph=3)
    work = machine.device.work
    assert len({w.correlation for w in work}) == 1
    assert len({w.args["graph node id"] for w in work}) == 5
    assert all(a.end_ns < b.start_ns for a, b in pairwise(work))


# --- host ---


def test_a_launch_returns_before_its_kernel_is_done(machine):
    assert machine.cuda.launch(LONG_KERNEL).end_ns > machine.host.now_ns


def test_synchronising_a_stream_waits_for_all_of_it_and_for_nothing_else(machine):
    short, long = machine.cuda.launch(SHORT_KERNEL, 7), machine.cuda.launch(LONG_KERNEL, 20)
    machine.cuda.stream_synchronize(7)
    assert short.end_ns < machine.host.now_ns < long.end_ns
    machine.cuda.device_synchronize()
    assert machine.host.now_ns > long.end_ns


def test_reading_a_number_waits_for_the_kernels_before_it(machine):
    kernel = machine.cuda.launch(LONG_KERNEL)
    machine.torch.item(Tensor((), FLOAT))
    assert machine.host.now_ns > kernel.end_ns


def test_a_pageable_copy_blocks_its_call_and_a_pinned_one_does_not(machine):
    pageable = machine.cuda.copy_pageable("HtoD", 64 << 20)
    assert pageable.call.end_ns > pageable.end_ns
    pinned = machine.cuda.copy_async("HtoD", 64 << 20)
    assert pinned.call.end_ns < pinned.end_ns
    assert pageable.end_ns - pageable.start_ns > 5 * (pinned.end_ns - pinned.start_ns)


def test_freed_memory_is_used_again_without_the_driver(machine):
    block = machine.allocator.alloc(1 << 20)
    machine.allocator.free(block)
    assert machine.allocator.alloc(1 << 20) == block
    assert [s.name for s in machine.host.spans] == ["cudaMalloc"]


@each_rank
def test_spans_of_a_thread_nest(workload, rank):
    for span in simulated(workload)[rank].host.spans:
        assert span.start_ns < span.end_ns
        for outer in span.around:
            assert outer.start_ns < span.start_ns
            assert outer.end_ns > span.end_ns


# --- truth ---


@each_rank
def test_the_parts_of_every_window_sum_to_it_exactly(workload, rank):
    machine = simulated(workload)[rank]
    windows = step_windows(machine)
    parts = [partition(machine.device.work, w) for w in windows]
    whole = partition(machine.device.work, (windows[0][0], windows[-1][1]))
    for part in [*parts, whole]:
        wall = part.pop("wall_ns")
        assert sum(part.values()) == wall
        assert min(part.values()) >= 0
        part["wall_ns"] = wall
    assert {key: sum(p[key] for p in parts) for key in whole} == whole


@each_rank
def test_the_gaps_are_the_idle_time(workload, rank):
    facts = truth(simulated(workload)[rank])
    idle = facts["whole"]["idle_ns"]
    assert sum(gap["duration_ns"] for gap in facts["gaps"]) == idle
    assert sum(cause["total_ns"] for cause in facts["idle_causes"].values()) == idle


@each_rank
def test_every_kernel_counts_for_one_name_and_its_op_for_no_more(workload, rank):
    machine = simulated(workload)[rank]
    facts = truth(machine)
    kernels_ns = sum(row["total_ns"] for row in facts["kernels"])
    copies_ns = sum(row["total_ns"] for row in facts["copies"])
    assert sum(row["self_device_ns"] for row in facts["ops"]) <= kernels_ns + copies_ns
    assert sum(row["count"] for row in facts["kernels"]) == sum(
        w.kind == "kernel" for w in machine.device.work
    )


@pytest.mark.parametrize("workload", [w for w in WORKLOADS if w.idle_cause], ids=lambda w: w.name)
def test_the_planted_cause_is_the_largest(workload):
    (machine,) = workload.run(workload.steps)
    assert next(iter(truth(machine)["idle_causes"])) == workload.idle_cause


@pytest.mark.parametrize(
    "activity", ["dataloader", "gc", "compile", "allocator", "optimizer", "autograd", "dispatch"]
)
def test_a_pause_of_the_host_is_the_cause_of_the_gap_that_it_makes(machine, activity):
    with machine.record():
        for _ in machine.profiled_steps(1):
            machine.cuda.launch(SHORT_KERNEL)
            with machine.host.doing(activity):
                machine.host.spend(500)
            machine.cuda.launch(SHORT_KERNEL)
    gap = max(idle_gaps(machine, step_windows(machine)[0])[1:], key=lambda g: g["duration_ns"])
    assert gap["cause"] == activity
    assert gap["duration_ns"] > 400_000


@pytest.mark.parametrize(("pause_us", "cause"), [(50, "host_sync"), (150, "host_sync"), (1000, "dispatch")])
def test_the_work_of_launching_after_a_wait_is_the_price_of_the_wait_for_as_long_as_it_lasted(
    machine, pause_us, cause
):
    with machine.record():
        for _ in machine.profiled_steps(1):
            machine.cuda.launch(LONG_KERNEL)  # about 195 us
            machine.cuda.stream_synchronize()
            machine.host.spend(pause_us)
            machine.cuda.launch(SHORT_KERNEL)
    gap = max(idle_gaps(machine, step_windows(machine)[0])[1:], key=lambda g: g["duration_ns"])
    assert gap["cause"] == cause


def test_a_batch_made_after_a_wait_is_not_the_price_of_the_wait(machine):
    with machine.record():
        for _ in machine.profiled_steps(1):
            machine.cuda.launch(LONG_KERNEL)
            machine.cuda.stream_synchronize()
            with machine.host.doing("dataloader"):
                machine.host.spend(500)
            machine.cuda.launch(SHORT_KERNEL)
    gap = max(idle_gaps(machine, step_windows(machine)[0])[1:], key=lambda g: g["duration_ns"])
    assert gap["cause"] == "dataloader"


def test_both_ranks_of_a_pair_are_in_their_collectives_together():
    first, second = (truth(machine)["collectives"] for machine in simulated("straggler"))
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert a["start_ns"] < b["start_ns"], "rank 1 is the slow one"
        assert a["start_ns"] + a["total_ns"] > b["start_ns"]
        assert a["total_ns"] == b["start_ns"] - a["start_ns"] + a["transfer_ns"]
        assert b["total_ns"] == b["transfer_ns"]


# --- files ---


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_the_same_run_gives_the_same_bytes_and_those_are_committed(workload):
    once, again = dict(files(workload)), dict(files(workload))
    assert once == again
    for name, content in once.items():
        committed = (SIMULATED / name).read_bytes()
        # zlib's own bytes may change from version to version; what is in them may not
        assert _inflated(committed) == _inflated(content), f"{name}: run python -m fixtures.simulator"


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda w: w.name)
def test_every_file_says_that_it_is_simulated(workload):
    for name, content in files(workload, steps=1):
        facts = json.loads(_inflated(content))
        assert name.startswith("sim_")
        assert facts["simulated"] is True
        if name.endswith(".json.gz"):
            assert "simulated" in facts["traceName"]


def test_steps_make_a_file_longer():
    sync_loop = next(w for w in WORKLOADS if w.name == "sync_loop")
    (_, short), _ = files(sync_loop, steps=1)
    (_, long), _ = files(sync_loop, steps=4)
    assert len(_inflated(long)) > 3 * len(_inflated(short))


def _inflated(content: bytes) -> bytes:
    return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
