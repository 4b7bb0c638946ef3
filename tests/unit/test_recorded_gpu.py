"""What an H200 recorded is read without a problem: traces, snapshots, and ncu's pages beside the traces."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_report_timeline import unpack

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.analyzers.replay.ranks import Replay, replayable
from traceanalyzer.analyzers.steps import StepsAnalyzer
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.model.columns import ints
from traceanalyzer.model.trace import Capability
from traceanalyzer.pipeline import analyze, load
from traceanalyzer.reporters import timeline
from traceanalyzer.reporters.html.figures import composition

if TYPE_CHECKING:
    from traceanalyzer.model.trace import Trace

GPU = Path(__file__).parents[2] / "fixtures/gpu"
NO_CACHE = LoadOptions(use_cache=False)
TRACES = sorted(GPU.glob("*.trace.json.gz"))
SNAPSHOTS = sorted(GPU.glob("*.snapshot.pickle.gz"))
PAGES = sorted(GPU.glob("*.ncu.csv.gz"))
RECORDED = {
    Capability.DEVICE_WORK, Capability.LAUNCHES, Capability.STEPS, Capability.STACKS, Capability.SYNC_EVENTS,
    Capability.DEVICE_PROPERTIES,
}  # fmt: skip
"""What every program shows; shapes and memory are not seen of a replayed graph and of work in place."""


def workload(path: Path) -> str:
    return path.name.split(".")[0]


@cache
def read(*paths: Path) -> Trace:
    return load(*paths, options=NO_CACHE)


@pytest.mark.parametrize("path", TRACES, ids=workload)
def test_a_trace_shows_all_that_was_recorded(path: Path) -> None:
    trace = read(path)
    assert not [note for source in trace.sources for note in source.notes]
    assert trace.capabilities >= RECORDED
    assert trace.devices["name"].to_pylist()[0] == "NVIDIA H200"
    assert (
        sum(re.fullmatch(r"ProfilerStep#\d+", n) is not None for n in trace.annotations["name"].to_pylist())
        >= 3
    )


@pytest.mark.parametrize("path", SNAPSHOTS, ids=workload)
def test_a_snapshot_adds_up(path: Path) -> None:
    trace = read(path)
    (device,) = run_analyzers(trace)[0]["snapshot"].devices
    told = [note.message for source in trace.sources for note in source.notes]
    assert device.complete or any("the window of device 0 begins within the run" in text for text in told)
    held, reserved = ints(trace.segments, "active").sum(), ints(trace.segments, "bytes").sum()
    assert (device.end.active_bytes, device.end.reserved_bytes) == (held, reserved)
    if device.entries:  # what the entries lead to is what the segments say
        assert device.points[-1][2:] == (held, device.end.requested_bytes, reserved)


def test_the_one_segment_of_small_tensors_is_no_waste() -> None:
    findings = analyze(read(GPU / "tiny_kernels.plain.snapshot.pickle.gz")).findings
    assert "MEM006" not in {finding.code for finding in findings}


@pytest.mark.parametrize("path", PAGES, ids=workload)
def test_every_kernel_that_ncu_measured_is_in_the_trace(path: Path) -> None:
    trace = read(GPU / f"{workload(path)}.plain.trace.json.gz", path)
    found = run_analyzers(trace)[0]["kernel_metrics"].launches
    assert found
    assert {launch.match for launch in found} <= {"matched", "ambiguous"}


def test_a_snapshot_of_another_run_does_not_stretch_the_timeline() -> None:
    profile, snapshot = GPU / "train.plain.trace.json.gz", GPU / "train.plain.snapshot.pickle.gz"
    alone, both = analyze(read(profile)), analyze(read(profile, snapshot))
    assert any("does not overlap in time" in n.message for s in both.trace.sources for n in s.notes)
    assert unpack(timeline.embed(both))[0]["end"] == unpack(timeline.embed(alone))[0]["end"]


def test_the_uses_of_memory_keep_their_times_far_from_the_start() -> None:
    both = analyze(read(GPU / "train.plain.trace.json.gz", GPU / "train.plain.snapshot.pickle.gz"))
    (device,) = both["snapshot"].devices
    drawn = composition(0, device.composition, timed=True)
    assert drawn is not None
    (x, *_) = [series["x"] for series in json.loads(drawn.spec)["traces"]]
    assert len(set(x)) > len(x) // 2


@pytest.mark.parametrize("path", TRACES, ids=workload)
def test_no_part_of_a_critical_path_is_less_than_nothing(path: Path) -> None:
    """Of train the device was still at work when the steps began on the host."""
    trace = read(path)
    steps = StepsAnalyzer().analyze(trace, {})
    replayed = Replay.of(trace, steps, replayable(trace, steps)).explained
    parts = replayed.critical_path()
    assert min(parts.values()) >= 0
    assert sum(parts.values()) == replayed.courses[replayed.slowest].total_ns
