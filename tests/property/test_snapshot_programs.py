"""Programs on an allocator of their own: what is true of them is found in their snapshots, to the byte."""

from __future__ import annotations

import json
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from snapshot_files import trace_of

from fixtures.allocations.__main__ import generate
from fixtures.allocations.programs import Wanted
from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.analyzers.oom.whatif import what_if
from traceanalyzer.analyzers.snapshot.state import device_states
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.ingest.snapshot.assemble import assemble
from traceanalyzer.ingest.snapshot.walk import walk
from traceanalyzer.pipeline import load

GIB = 1 << 30
RUNS = {
    "two devices, streams and a graph": Wanted(entries=4000, devices=2, depth=6, streams=True, graphs=True),
    "a leak in expandable segments": Wanted("leak", 9000, depth=6, expandable=True),
    "a leak": Wanted("leak", 9000, depth=6, seed=3),
    "sizes that change, until it does not fit": Wanted(
        "scatter", 30_000, depth=6, capacity=GIB * 7 // 4, streams=True
    ),
    "sizes that change, expandable": Wanted("scatter", 9000, depth=6, expandable=True),
    "a cache that grows": Wanted("decode", 3000, depth=6, graphs=True),
    "state that does not fit beside a graph": Wanted(
        entries=3000, depth=6, capacity=GIB * 7 // 5, graphs=True
    ),
}
OURS = {"leaked": "unknown", "statistics": "unknown", "buckets": "unknown", "graph": "unknown"}
"""Nothing on these stacks tells what the memory is for."""
run = pytest.mark.parametrize("run", RUNS)


@lru_cache(maxsize=1)
def made(run: str) -> tuple[Any, dict[str, Any], list[dict[str, Any]]]:
    content, truth = generate(RUNS[run])
    trace = trace_of(assemble(walk(content, 1 << 20)))
    return trace, run_analyzers(trace)[0], truth


def in_our_names(by_use: dict[str, int]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, amount in by_use.items():
        ours = OURS.get(name, name)
        found[ours] = found.get(ours, 0) + amount
    return {name: amount for name, amount in found.items() if amount}


@run
def test_peak_and_end_are_found_with_what_they_were_for(run: str) -> None:
    _, results, truth = made(run)
    for device, known in zip(results["snapshot"].devices, truth, strict=True):
        peak, end = device.peak, device.end
        assert (device.entries, device.peak_reserved_bytes) == (known["entries"], known["peak_reserved"])
        assert (peak.entry, peak.active_bytes, peak.requested_bytes) == tuple(
            known["peak"][name] for name in ("entry", "active", "requested")
        )
        assert peak.by_category == in_our_names(known["peak"]["by_use"])
        assert end.by_category == in_our_names(known["end"]["by_use"])
        for name in ("allocated", "active", "requested", "reserved"):
            assert getattr(end, f"{name}_bytes") == known["end"][name]
        assert device.free_at_end.split_bytes == known["inactive_split"]
        assert device.churn.retries == known["retries"]


@run
def test_a_leak_is_found_by_its_line_and_nothing_else_is(run: str) -> None:
    _, results, truth = made(run)
    for device, known in zip(results["snapshot"].devices, truth, strict=True):
        found = [g for g in device.growth if g.category != "kv_cache" and g.python != "/app/cache.py:12"]
        leak = known["leak"]
        assert [(g.python, g.bytes_per_step, g.total_bytes) for g in found] == (
            [(leak["line"], leak["bytes_per_step"], leak["bytes"])] if leak else []
        )


@run
def test_where_free_memory_lay_when_a_request_did_not_fit(run: str) -> None:
    _, results, truth = made(run)
    known = [device["oom"] for device in truth if device["oom"]]
    found = [
        {
            "entry": oom.entry, "size": oom.requested_bytes, "free": oom.free.total_bytes,
            "largest": oom.free.largest_bytes, "other_streams": oom.free.other_streams_largest_bytes,
            "other_pools": oom.free.other_pools_largest_bytes,
        }
        for oom in results["oom"].rows
    ]  # fmt: skip
    assert found == known


@run
def test_the_replay_reserves_what_the_program_did(run: str) -> None:
    trace, _, truth = made(run)
    for state, known in zip(device_states(trace), truth, strict=True):
        found = what_if(state, "max_split_size_mb:64")
        assert found.error_share == 0.0
        assert found.replayed_peak_reserved_bytes == known["peak_reserved"]


def test_the_command_writes_a_snapshot_and_its_truth(tmp_path: Path) -> None:
    path = tmp_path / "run.pickle"
    wanted = ["--program", "leak", "--entries", "3000", "--depth", "5", "-o", str(path)]
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-m", "fixtures.allocations", *wanted], check=True, cwd=root)
    (known,) = json.loads((tmp_path / "run.truth.json").read_text())
    (device,) = run_analyzers(load(path, options=LoadOptions(use_cache=False)))[0]["snapshot"].devices
    assert device.peak.active_bytes == known["peak"]["active"]
    assert device.growth[0].total_bytes == known["leak"]["bytes"]
