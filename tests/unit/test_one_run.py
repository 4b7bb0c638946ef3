"""A torch trace and an Nsight Systems export of one run stand on one time axis, and nothing is told twice."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from chrome_files import dump
from nsys_files import RECORDED, Export, recorded

from traceanalyzer.analyzers.nsys.ranges import nvtx_sum
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.trace import Capability, how_to_capture
from traceanalyzer.pipeline import load

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.model.trace import Trace

NO_CACHE = LoadOptions(use_cache=False)
EPOCH_NS = 1_700_000_000_000_000_000
PID = 9


def torch_trace(
    path: Path, *, pid: int = PID, late_us: int = 0, rank: int = 0, ids_from: int = 1, kernels: bool = False
) -> Path:
    """aten::mul from 100 to 200 µs after the epoch."""
    base = {"cat": "cpu_op", "ph": "X", "pid": pid, "tid": pid}
    events: list[dict[str, Any]] = [
        {**base, "name": "aten::mul", "ts": 100 + late_us, "dur": 100, "args": {"External id": ids_from}},
        {**base, "name": "aten::add", "ts": 300 + late_us, "dur": 50, "args": {"External id": ids_from + 1}},
    ]
    if kernels:
        events += [
            {"cat": "cuda_runtime", "ph": "X", "pid": pid, "tid": pid, "name": "cudaLaunchKernel", "ts": 110 + late_us,
             "dur": 5, "args": {"correlation": 77, "External id": ids_from}},
            {"cat": "kernel", "ph": "X", "pid": 0, "tid": 7, "name": "twice", "ts": 120 + late_us, "dur": 9,
             "args": {"correlation": 77, "device": 0, "stream": 7, "unheard of": 5}},
        ]  # fmt: skip
    content = {"traceEvents": events, "baseTimeNanoseconds": EPOCH_NS, "distributedInfo": {"rank": rank}}
    path.write_text(dump(content))
    return path


def nsys_export(path: Path, *pids: int) -> Path:
    """A launch inside aten::mul; the capture began at the epoch."""
    export = Export().add("TARGET_INFO_SESSION_START_TIME", utcEpochNs=EPOCH_NS)
    for device, pid in enumerate(pids or (PID,)):
        export.launch(pid, 110_000, 115_000, 1).kernel(pid, 130_000, 180_000, 1, f"k{pid}", device)
        export.range(pid, 90_000, 210_000, "forward").range(pid, 100_000, 200_000, "aten::mul, op_id = 1")
    return export.write(path)


def loaded(*files: Path) -> Trace:
    return load(*files, options=NO_CACHE)


def test_all_recordings_of_a_process_are_of_one_run_with_the_export(tmp_path: Path) -> None:
    """A profiler whose schedule repeats writes several files; nsys recorded all the time."""
    first = torch_trace(tmp_path / "a.json")
    second = torch_trace(tmp_path / "b.json", late_us=400, ids_from=11, kernels=True)
    export = Export().add("TARGET_INFO_SESSION_START_TIME", utcEpochNs=EPOCH_NS)
    for correlation, at in ((1, 110_000), (2, 510_000)):
        export.launch(PID, at, at + 5_000, correlation).kernel(
            PID, at + 20_000, at + 50_000, correlation, "k", 0
        )
    trace = loaded(first, second, export.write(tmp_path / "c.sqlite"))
    assert {s.rank for s in trace.sources} == {0}
    ops = trace.ops.to_pylist()
    assert [(k["name"], ops[k["op"]]["ts"]) for k in trace.kernels.to_pylist()] == [
        ("k", 0),
        ("k", 400_000),
    ]
    assert not trace.recordings, "nsys recorded what lies between them"


def test_launches_of_nsys_lie_in_the_ops_of_torch(tmp_path: Path) -> None:
    trace = loaded(torch_trace(tmp_path / "a.json"), nsys_export(tmp_path / "b.sqlite"))
    (kernel,) = trace.kernels.to_pylist()
    ops = trace.ops.to_pylist()
    assert (kernel["name"], ops[kernel["op"]]["name"], kernel["link"]) == ("k9", "aten::mul", "nesting")
    assert (kernel["module"], kernel["rank"]) == ("forward", 0)
    assert [op["name"] for op in ops] == ["aten::mul", "aten::add"]  # the range of emit_nvtx is no second op
    note = trace.sources[1].notes[-1].message
    assert "of one run with a.json" in note
    assert "2 ops from there, 1 API call, 1 kernel and 1 range from here" in note
    assert "taken once: ops of nsys (1)" in note


def test_device_work_that_both_recorded_is_taken_from_nsys(tmp_path: Path) -> None:
    trace = loaded(torch_trace(tmp_path / "a.json", kernels=True), nsys_export(tmp_path / "b.sqlite"))
    assert [k["name"] for k in trace.kernels.to_pylist()] == ["k9"]
    assert [c["correlation"] for c in trace.api_calls.to_pylist()] == [1]
    assert "taken once: kernels (1), api_calls (1)" in trace.sources[1].notes[-1].message
    assert not [e for e in trace.extras.to_pylist() if e["table"] == "kernels"]


def test_without_device_work_in_the_export_that_of_torch_stays(tmp_path: Path) -> None:
    export = (
        Export().add("TARGET_INFO_SESSION_START_TIME", utcEpochNs=EPOCH_NS).range(PID, 90_000, 400_000, "all")
    )
    trace = loaded(torch_trace(tmp_path / "a.json", kernels=True), export.write(tmp_path / "b.sqlite"))
    assert [k["name"] for k in trace.kernels.to_pylist()] == ["twice"]
    (extra,) = [e for e in trace.extras.to_pylist() if e["table"] == "kernels"]
    assert json.loads(extra["json"]) == {"unheard of": 5}


def test_launches_without_their_kernels_do_not_outweigh_the_kernels_of_torch(tmp_path: Path) -> None:
    export = Export().add("TARGET_INFO_SESSION_START_TIME", utcEpochNs=EPOCH_NS)
    export.launch(PID, 110_000, 115_000, 1)
    trace = loaded(torch_trace(tmp_path / "a.json", kernels=True), export.write(tmp_path / "b.sqlite"))
    (kernel,) = trace.kernels.to_pylist()
    assert (kernel["name"], trace.ops.to_pylist()[kernel["op"]]["name"]) == ("twice", "aten::mul")
    assert [c["correlation"] for c in trace.api_calls.to_pylist()] == [77]


def test_a_second_trace_of_the_process_does_not_take_the_device_work_of_the_first(tmp_path: Path) -> None:
    files = [torch_trace(tmp_path / "a.json"), torch_trace(tmp_path / "c.json", late_us=1)]
    trace = loaded(*files, nsys_export(tmp_path / "b.sqlite"))
    (kernel,) = trace.kernels.to_pylist()
    op = trace.ops.to_pylist()[kernel["op"]]
    assert (kernel["rank"], op["rank"], op["name"]) == (0, 0, "aten::mul")
    (other,) = (s for s in trace.sources if s.path.endswith("c.json"))
    assert "joined with another trace" in other.notes[-1].message


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"late_us": 5_000_000}, "does not overlap in time with b.sqlite"),
        ({"pid": 10}, "its process is none of those in b.sqlite"),
    ],
)
def test_what_is_not_of_one_run_stays_apart(tmp_path: Path, changed: dict[str, int], why: str) -> None:
    trace = loaded(torch_trace(tmp_path / "a.json", **changed), nsys_export(tmp_path / "b.sqlite"))
    assert why in trace.sources[0].notes[0].message
    assert trace.kernels["op"].to_pylist() == [2]  # nsys' own
    assert trace.kernels["rank"].to_pylist() == [1]


def test_ranks_are_those_that_torch_tells(tmp_path: Path) -> None:
    export = nsys_export(tmp_path / "b.sqlite", 9, 10)
    ranks = {9: 1, 10: 0}
    files = [torch_trace(tmp_path / f"{pid}.json", pid=pid, rank=rank) for pid, rank in ranks.items()]
    trace = loaded(export, *files)
    assert {(k["name"], k["rank"]) for k in trace.kernels.to_pylist()} == {("k9", 1), ("k10", 0)}
    ops = trace.ops.to_pylist()
    assert all(ops[k["op"]]["pid"] == int(k["name"][1:]) for k in trace.kernels.to_pylist())


def test_hints_are_in_the_words_of_the_profiler_that_records_it(tmp_path: Path) -> None:
    trace = loaded(torch_trace(tmp_path / "a.json"), nsys_export(tmp_path / "b.sqlite"))
    how = how_to_capture(trace.sources)
    assert "nsys profile" in how[Capability.SYNC_EVENTS]
    assert "record_shapes=True" in how[Capability.SHAPES]
    assert "nsys" not in how[Capability.SHAPES] + how[Capability.STACKS]


def test_a_real_run_ops_lie_in_the_ranges_that_the_program_pushed_around_them(tmp_path: Path) -> None:
    trace = loaded(RECORDED / "train.trace.json.gz", recorded(tmp_path))
    assert "of one run with train.trace.json.gz" in trace.sources[1].notes[-1].message
    codes, names = texts(trace.ops, "name")
    path, paths = texts(trace.ops, "module")
    around = {paths[path[row]] if path[row] >= 0 else None: names[codes[row]] for row in range(len(codes))}
    assert set(around) <= {None, "step", "step/forward", "step/backward", "step/optimizer"}
    of = {
        name: {paths[path[r]] for r in np.flatnonzero(codes == i) if path[r] >= 0}
        for i, name in enumerate(names)
    }
    assert of["aten::linear"] == {"step/forward"}
    assert of["autograd::engine::evaluate_function: AddmmBackward0"] == {"step/backward"}
    assert of["aten::addcdiv_"] == {"step/optimizer"}
    for table in ("annotations", "ops", "others"):
        assert (np.diff(ints(trace.tables[table], "ts")) >= 0).all()
    alone = loaded(recorded(tmp_path))
    what_is_summed = slice(1, None)  # not the share: torch's annotations are ranges too
    assert {row[what_is_summed] for row in nvtx_sum(alone).rows} <= {
        row[what_is_summed] for row in nvtx_sum(trace).rows
    }
