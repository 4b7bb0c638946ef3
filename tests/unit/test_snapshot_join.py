"""A snapshot and a profile of the same run share a time axis: allocations get op, module and step."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from snapshot_files import BASE, KERNEL, MIB, block, entry, segment, snapshot, write

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.analyzers.snapshot.groups import grouped
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import load

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.model.trace import Trace

EPOCH_US = 1_700_000_000_000_000
NO_CACHE = LoadOptions(use_cache=False)


def event(category: str, name: str, ts: float, dur: float, tid: int = 1, **args: Any) -> dict[str, Any]:
    return {
        "ph": "X",
        "cat": category,
        "name": name,
        "pid": 7,
        "tid": tid,
        "ts": ts,
        "dur": dur,
        "args": args,
    }


def profile(path: Path, epoch_us: int | None, extra: Any = ()) -> None:
    """Two steps of 100 µs, each a linear layer whose addmm makes its output; µs from the profile's own start."""
    events = []
    for i in range(2):
        at = 100.0 * i
        events += [
            event("user_annotation", f"ProfilerStep#{i + 1}", at, 100),
            event("python_function", "nn.Module: Linear_0", at + 10, 60, **{"Python id": i + 1}),
            event("cpu_op", "aten::addmm", at + 20, 40),
            event("cpu_op", "aten::empty", at + 25, 5),
        ]
    content: dict[str, Any] = {"schemaVersion": 1, "traceEvents": [*events, *extra]}
    if epoch_us is not None:
        content["baseTimeNanoseconds"] = epoch_us * 1000
    path.write_text(json.dumps(content))


def recorded(path: Path, times_us: tuple[int, ...] = (27, 127)) -> None:
    """A block of 4 MiB at each time, and the ranges that the profiler has too."""
    trace = [entry("segment_alloc", BASE, 20 * MIB, EPOCH_US + times_us[0], [KERNEL])]
    blocks = []
    for i, at in enumerate(times_us):
        trace.append(entry("alloc", BASE + 4 * i * MIB, 4 * MIB, EPOCH_US + at, [KERNEL]))
        blocks.append(block(BASE + 4 * i * MIB, 4 * MIB, 4 * MIB, frames=[KERNEL]))
    rest = 20 - 4 * len(times_us)
    blocks.append(block(BASE + (20 - rest) * MIB, rest * MIB, 0, "inactive"))
    marks = [
        {"stage": stage, "name": f"ProfilerStep#{i + 1}", "device": 0, "time_us": EPOCH_US + at}
        for i in range(2)
        for stage, at in (("START", 100 * i), ("END", 100 * i + 100))
    ]
    write(path, snapshot([segment(BASE, blocks)], trace, marks))


def both(folder: Path, epoch_us: int | None = EPOCH_US, extra: Any = ()) -> Trace:
    profile(folder / "run.json", epoch_us, extra)
    recorded(folder / "memory.pickle")
    return load(folder, options=NO_CACHE)


def test_allocations_get_the_op_the_module_and_the_step_that_ran_then(tmp_path: Path) -> None:
    results, _ = run_analyzers(both(tmp_path))
    (device,) = results["snapshot"].devices
    assert [(h.op, h.module, h.bytes) for h in device.end.holders] == [("aten::addmm", "Linear_0", 8 * MIB)]
    assert [row.key for row in grouped(device.end.holders, "op")] == ["aten::addmm"]
    assert device.step_peaks == (4 * MIB, 8 * MIB)


def test_steps_that_both_files_mark_are_counted_once(tmp_path: Path) -> None:
    trace = both(tmp_path)
    assert len(run_analyzers(trace)[0]["steps"].steps) == 2
    assert set(trace.allocations["step"].to_pylist()) == {0, 1}


def test_the_curve_stands_on_the_profiles_time_axis(tmp_path: Path) -> None:
    trace = both(tmp_path, EPOCH_US - 1000)
    (line,) = run_analyzers(trace)[0]["memory"].timelines
    assert line.points[-1][0] - trace.ops["ts"][0].as_py() == 1_107_000


def test_with_two_threads_at_work_nobody_guesses(tmp_path: Path) -> None:
    trace = both(tmp_path, extra=[event("cpu_op", "aten::mul", 0, 200, tid=2)])
    (device,) = run_analyzers(trace)[0]["snapshot"].devices
    assert {h.op for h in device.end.holders} == {None}


@pytest.mark.parametrize(
    ("epoch_us", "said"), [(None, "tells no wall-clock time"), (EPOCH_US + 10**9, "does not overlap in time")]
)
def test_without_a_common_time_nothing_is_joined_and_it_is_said(
    tmp_path: Path, epoch_us: int | None, said: str
) -> None:
    trace = both(tmp_path, epoch_us)
    (device,) = run_analyzers(trace)[0]["snapshot"].devices
    assert {h.op for h in device.end.holders} == {None}
    notes = [n.message for s in trace.sources for n in s.notes if s.format == "memory snapshot"]
    assert any(said in note for note in notes)
