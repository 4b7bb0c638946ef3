"""What the analyzers say of a simulated trace against what the simulator knows: every figure, exactly."""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.analyzers.breakdown import LARGEST_GAPS
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.pipeline import load
from traceanalyzer.rules import judge

SIMULATED = Path(__file__).parents[2] / "fixtures" / "simulated"
NAMES = [p.name.removesuffix(".truth.json") for p in sorted(SIMULATED.glob("*.truth.json"))]
PARTS = ("wall_ns", "compute_ns", "exposed_communication_ns", "exposed_copy_ns", "idle_ns")


@cache
def analysed(name: str) -> SimpleNamespace:
    """A trace, its results, its truth, and what to add to a time of the results to get one of the truth."""
    truth = json.loads((SIMULATED / f"{name}.truth.json").read_text())
    trace = load(SIMULATED / f"{name}.json.gz")
    results, warnings = run_analyzers(trace, step=None)
    assert not warnings
    offset = truth["steps"][0]["start_ns"] - results["steps"].steps[0].start_ns
    return SimpleNamespace(trace=trace, results=results, truth=truth, offset=offset)


@pytest.fixture(params=NAMES)
def run(request) -> SimpleNamespace:
    return analysed(request.param)


def parts(partition) -> dict[str, int]:
    return {name: getattr(partition, name) for name in PARTS}


def test_it_is_known_to_be_simulated(run):
    assert run.trace.sources[0].simulated


def test_steps(run):
    found = [
        {
            "name": s.name,
            "host_start_ns": s.host_start_ns + run.offset,
            "host_end_ns": s.host_end_ns + run.offset,
            "start_ns": s.start_ns + run.offset,
            "end_ns": s.end_ns + run.offset,
            "window_end_ns": s.window_end_ns + run.offset,
        }
        for s in run.results["steps"].steps
    ]
    assert found == run.truth["steps"]


def test_the_partition_of_the_whole_window_and_of_each_step(run):
    (device,) = run.results["breakdown"].devices
    assert (device.rank, device.device) == (run.truth["rank"], run.truth["device"])
    assert device.window_start_ns + run.offset == run.truth["window_start_ns"]
    assert parts(device.whole) == run.truth["whole"]
    assert [parts(p) for p in device.steps] == run.truth["partition_by_step"]


def test_communication_and_copies_hidden_or_not(run):
    (device,) = run.results["breakdown"].devices
    assert device.communication_ns == run.truth["communication_ns"]
    assert device.copy_ns == run.truth["copy_ns"]


def test_idle_time_by_cause(run):
    (device,) = run.results["breakdown"].devices
    found = {c.cause: {"total_ns": c.total_ns, "gaps": c.gaps} for c in device.idle_causes}
    assert found == run.truth["idle_causes"]


def test_every_large_gap_and_what_ended_it(run):
    found = {
        (g.start_ns + run.offset, g.duration_ns, g.cause, g.next_work)
        for g in run.results["breakdown"].largest_gaps
    }
    known = [(g["start_ns"], g["duration_ns"], g["cause"], g["next_work"]) for g in run.truth["gaps"]]
    known.sort(key=lambda gap: -gap[1])
    assert len(found) == min(len(known), LARGEST_GAPS)
    assert found <= set(known)
    assert {gap for gap in known if gap[1] > known[len(found) - 1][1]} <= found


def test_kernels(run):
    found = {
        (k.name, k.category): {"count": k.count, "total_ns": k.total_ns} for k in run.results["kernels"].rows
    }
    known = {
        (k["name"], k["category"]): {"count": k["count"], "total_ns": k["total_ns"]}
        for k in run.truth["kernels"]
    }
    assert found == known


def test_ops(run):
    columns = ("count", "total_ns", "self_ns", "device_ns", "self_device_ns", "kernels")
    found = {row.name: {c: getattr(row, c) for c in columns} for row in run.results["ops"].by_name}
    assert found == {row["name"]: {c: row[c] for c in columns} for row in run.truth["ops"]}


def test_modules_with_the_backward_work_they_cause(run):
    found = {
        row.path: {"calls": row.calls, "host_ns": row.host_ns, "device_ns": row.device_ns}
        for row in run.results["modules"].rows
    }
    known = {
        row["path"]: {
            "calls": row["calls"],
            "host_ns": row["host_ns"],
            "device_ns": row["device_ns"] + row["backward_device_ns"],
        }
        for row in run.truth["modules"]
    }
    assert found == known


def test_copies(run):
    found = defaultdict(lambda: {"count": 0, "bytes": 0, "total_ns": 0})
    for row in run.results["copies"].rows:
        entry = found[copy_name(row)]
        entry["count"] += row.count
        entry["bytes"] += row.bytes
        entry["total_ns"] += row.total_ns
    assert found == {row.pop("name"): row for row in json.loads(json.dumps(run.truth["copies"]))}


def copy_name(row) -> str:
    if row.kind == "memset":
        return "Memset (Device)"
    return f"Memcpy {row.direction} ({row.src_kind.title()} -> {row.dst_kind.title()})"


def test_collectives(run):
    known = run.truth["collectives"]
    found = run.results["collectives"].rows
    assert sum(row.count for row in found) == len(known)
    assert sum(row.total_ns for row in found) == sum(c["total_ns"] for c in known)
    assert sum(row.in_bytes for row in found) == sum(c["bytes"] for c in known)
    assert sum(row.exposed_ns for row in found) >= run.truth["whole"]["exposed_communication_ns"]
    assert {row.collective for row in found} <= {"allreduce"}


def test_every_launch_delay(run):
    calls = run.trace.api_calls
    found = []
    for table in (run.trace.kernels, run.trace.copies):
        start, call = ints(table, "ts"), ints(table, "api_call")
        assert (call >= 0).all()
        called, correlation = ints(calls, "ts")[call], ints(calls, "correlation")[call]
        found += zip(
            correlation.tolist(), (called + run.offset).tolist(), (start - called).tolist(), strict=True
        )
    assert sorted(found) == sorted(tuple(launch[:3]) for launch in run.truth["launches"])


def test_percentiles_of_launch_delays_are_of_the_true_delays(run):
    (device,) = run.results["launches"].devices
    kernels = {c for c, is_copy in correlations(run).items() if not is_copy}
    delays = [delay for correlation, _, delay, _ in run.truth["launches"] if correlation in kernels]
    assert device.linked == device.kernels == len(delays)
    for percent in (5, 50, 95):
        assert getattr(device, f"delay_p{percent}_ns") == round(float(np.percentile(delays, percent)))


def correlations(run) -> dict[int, bool]:
    """Whether the work of a correlation is a copy."""
    return {
        **dict.fromkeys(ints(run.trace.kernels, "correlation").tolist(), False),
        **dict.fromkeys(ints(run.trace.copies, "correlation").tolist(), True),
    }


def test_the_depth_of_the_queue_at_each_launch(run):
    """The truth counts what was outstanding before the launch, the analyzer what is once it has begun."""
    (device,) = run.results["launches"].devices
    depth, launched = {}, defaultdict(int)
    for _, called_ns, _, before in run.truth["launches"]:
        depth[called_ns] = before
        launched[called_ns] += 1
    after = [before + launched[called_ns] for called_ns, before in depth.items()]
    assert device.queue_max == max(after)
    assert device.queue_p50 == round(float(np.percentile(after, 50)))


def test_synchronising_calls_in_the_window(run):
    calls = run.trace.api_calls
    codes, names = texts(calls, "name")
    ts, duration = ints(calls, "ts") + run.offset, ints(calls, "dur")
    begin = run.truth["window_start_ns"]
    inside = (ts >= begin) & (ts < begin + run.truth["whole"]["wall_ns"])
    found = defaultdict(lambda: {"count": 0, "total_ns": 0})
    for code, length in zip(codes[inside].tolist(), duration[inside].tolist(), strict=True):
        if names[code].endswith("Synchronize"):
            found[names[code]]["count"] += 1
            found[names[code]]["total_ns"] += length
    assert found == run.truth["host_syncs"]


def test_memory(run):
    (line,) = run.results["memory"].timelines
    assert {
        "events": line.events,
        "peak_allocated_bytes": line.peak_allocated_bytes,
        "peak_allocated_ns": line.peak_allocated_ns + run.offset,
        "peak_reserved_bytes": line.peak_reserved_bytes,
        "live_at_peak_bytes": line.accounted_bytes,
    } == run.truth["memory"]
    assert sum(holder.bytes for holder in line.live_at_peak) == line.accounted_bytes


@pytest.mark.parametrize(
    "name", ["sim_dataloader_stall", "sim_pageable_copies", "sim_sync_loop", "sim_training_mixed"]
)
def test_the_planted_line_is_named_for_the_largest_gap_of_the_planted_cause(name):
    run = analysed(name)
    planted = run.truth["planted"]
    gaps = [g for g in run.results["breakdown"].largest_gaps if g.cause == planted["idle_cause"]]
    file, line = planted["python"].split(":")[0].rstrip(")").split("(")
    assert gaps[0].python == f"{file}:{line}"


@pytest.mark.parametrize("name", NAMES)
def test_the_verdict_is_what_was_planted(name):
    run = analysed(name)
    verdict = judge(run.trace, run.results)[0]
    assert verdict.bottleneck == run.truth["planted"]["bottleneck"]
