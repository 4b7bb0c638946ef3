"""Files that a repeating schedule writes are recordings of one process, and no ranks."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import astuple
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.cut_in_cycles import in_cycles
from traceanalyzer import analyze, compare, load
from traceanalyzer.analyzers.replay.whatif import what_if
from traceanalyzer.analyzers.steps import StepsAnalyzer
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.model.columns import ints

if TYPE_CHECKING:
    from traceanalyzer.model.trace import Trace
    from traceanalyzer.rules.analysis import Analysis

SIMULATED = Path(__file__).parents[2] / "fixtures" / "simulated"
NO_CACHE = LoadOptions(use_cache=False)
CYCLES = (0, 1), (3, 3)


def loaded(*files: Path) -> Trace:
    return load(*files, options=NO_CACHE)


def recorded(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(gzip.decompress((SIMULATED / f"{name}.json.gz").read_bytes()))
    return content


@pytest.fixture(scope="module", params=["sim_training_mixed", "sim_exposed_allreduce", "sim_pageable_copies"])
def parts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp(request.param)
    return in_cycles(recorded(request.param), folder, "node_7", *CYCLES)


@pytest.fixture(scope="module")
def together(parts: list[Path]) -> Analysis:
    return analyze(loaded(*parts))


@pytest.fixture(scope="module")
def alone(parts: list[Path]) -> list[Analysis]:
    return [analyze(loaded(part)) for part in parts]


def test_they_are_one_rank(together: Analysis) -> None:
    trace = together.trace
    assert {s.rank for s in trace.sources} == {trace.recordings[0].rank}
    first, *others = ([str(note.message) for note in s.notes] for s in trace.sources)
    assert first[-1].startswith("2 recordings of one process, one after the other, shown as one rank")
    assert not any(others)
    spans = [(r.start_ns, r.end_ns) for r in trace.recordings]
    assert len(spans) == len(CYCLES)
    assert all(end < start for (_, end), (start, _) in pairwise(spans))


def test_the_steps_of_all_recordings_follow_each_other(together: Analysis, alone: list[Analysis]) -> None:
    steps = together["steps"].steps
    assert [s.index for s in steps] == list(range(3))
    assert Counter(s.recording for s in steps) == {0: 2, 1: 1}
    assert [s.duration_ns for s in steps] == [s.duration_ns for a in alone for s in a["steps"].steps]


def test_where_the_time_went_is_the_sum_of_the_recordings(together: Analysis, alone: list[Analysis]) -> None:
    (device,) = together["breakdown"].devices
    each = [a["breakdown"].devices[0] for a in alone]
    assert astuple(device.whole) == tuple(map(sum, zip(*(astuple(d.whole) for d in each), strict=True)))
    assert device.steps == tuple(step for d in each for step in d.steps)
    causes = Counter({c.cause: c.total_ns for c in device.idle_causes})
    assert causes == sum((Counter({c.cause: c.total_ns for c in d.idle_causes}) for d in each), Counter())
    assert device.communication_ns == sum(d.communication_ns for d in each)


def test_every_kernel_keeps_its_op_and_its_step(together: Analysis, alone: list[Analysis]) -> None:
    assert together["kernels"].count == sum(a["kernels"].count for a in alone)
    for column in ("op", "api_call", "step"):
        for table in ("kernels", "copies"):
            known = [ints(a.trace.tables[table], column) >= 0 for a in (together, *alone)]
            assert known[0].tolist() == [k for of_one in known[1:] for k in of_one.tolist()], (table, column)
    waited = [sum(row.idle_ns for row in a["waits"].rows) for a in (together, *alone)]
    assert waited[0] == sum(waited[1:])


def test_ids_that_begin_anew_in_each_recording_are_told_apart(tmp_path: Path) -> None:
    """Correlations and sequence numbers of one recording mean nothing in another one."""
    files = in_cycles(recorded("sim_training_mixed"), tmp_path, "node_7", *CYCLES)
    for file in files:
        _count_anew(file)
    trace = loaded(*files)
    assert len(trace.recordings) == len(CYCLES)
    calls, ops = ints(trace.api_calls, "ts"), ints(trace.ops, "ts")
    bounds = [r.start_ns for r in trace.recordings] + [1 << 62]
    for table in ("kernels", "copies"):
        at = ints(trace.tables[table], "ts")
        launched, by = ints(trace.tables[table], "api_call"), ints(trace.tables[table], "op")
        assert (launched >= 0).all()
        for begin, end in pairwise(bounds):
            mine = (at >= begin) & (at < end)
            assert ((calls[launched[mine]] >= begin) & (calls[launched[mine]] < end)).all()
            assert ((ops[by[mine]] >= begin) & (ops[by[mine]] < end)).all()
    forward = ints(trace.ops, "forward")
    for begin, end in pairwise(bounds):
        mine = (ops >= begin) & (ops < end) & (forward >= 0)
        assert (ops[forward[mine]] >= begin).all()


def _count_anew(file: Path) -> None:
    """Correlations from 1; without the ids of ops, which tell whether a process goes on."""
    content = json.loads(file.read_text())
    events = content["traceEvents"]
    numbers = sorted({e["args"]["correlation"] for e in events if e.get("args", {}).get("correlation")})
    anew = {old: new for new, old in enumerate(numbers, 1)}
    for event in events:
        args = event.get("args", {})
        args.pop("External id", None)
        if args.get("correlation"):
            args["correlation"] = anew[args["correlation"]]
        if event.get("cat") == "ac2g":
            event["id"] = anew[event["id"]]
        if "Sequence number" in args and event.get("cat") == "cpu_op":
            args["Sequence number"] = 0
    file.write_text(json.dumps(content))


def test_a_replay_is_of_the_steps_of_one_recording(tmp_path: Path) -> None:
    files = in_cycles(recorded("sim_training_mixed"), tmp_path, "node_7", (3, 3), (0, 1))
    trace, alone = loaded(*files), loaded(files[1])
    asked = ["INPUT001", "SYNC001"], ()
    result, expected = (what_if(t, StepsAnalyzer().analyze(t, {}), *asked) for t in (trace, alone))
    assert (result.measured_ns, result.changes) == (expected.measured_ns, expected.changes)
    assert result.together is not None
    assert (result.first_step, result.steps, result.ranks) == (0, 2, (0,))


def saved_share(analysis: Analysis) -> list[float]:
    combined = analysis.combined
    assert combined is not None
    assert combined.saving_ns is not None
    return [round(ns / combined.measured_ns, 5) for ns in combined.saving_ns]


def test_ranks_with_cycles_are_replayed_together_in_one_of_them(tmp_path: Path) -> None:
    files = [
        file
        for rank in (0, 1)
        for file in in_cycles(recorded(f"sim_straggler_rank{rank}"), tmp_path, f"node_{rank}", *CYCLES)
    ]
    analysis = analyze(loaded(*files))
    first = analyze(loaded(files[0], files[2]))
    assert [(r.rank, r.source) for r in analysis.trace.recordings] == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert [d.rank for d in analysis["breakdown"].devices] == [0, 1]
    assert analysis.combined is not None
    assert first.combined is not None
    assert (analysis.combined.ranks, analysis.combined.steps) == ((0, 1), 2)
    assert saved_share(analysis) == saved_share(first)
    waits = {r.rank: (r.joined, r.last) for r in analysis["peers"].rows}
    assert waits == {0: (3, 0), 1: (3, 3)}


def test_what_is_live_at_the_peak_was_allocated_in_its_recording(tmp_path: Path) -> None:
    files = in_cycles(recorded("sim_training_mixed"), tmp_path, "node_7", *CYCLES)
    (line, *_), *alone = (
        analyze(loaded(*some))["memory"].timelines for some in (files, files[:1], files[1:])
    )
    assert (line.peak_allocated_bytes, line.live_at_peak) in [
        (of_one[0].peak_allocated_bytes, of_one[0].live_at_peak) for of_one in alone
    ]


def a_profile(path: Path, start_us: int, pid: int = 1, ids_from: int = 1, **info: Any) -> Path:
    """Ops of 1 ms, one after the other."""
    row = {"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": pid, "tid": pid, "dur": 5}
    events = [
        {**row, "ts": start_us + 10 * i, "args": {"External id": ids_from + i} if ids_from else {}}
        for i in range(100)
    ]
    header = {"distributedInfo": info} if info else {}
    content = {"baseTimeNanoseconds": 1_700_000_000_000_000_000, "traceEvents": events, **header}
    path.write_text(json.dumps(content))
    return path


def test_a_program_that_was_started_again_is_no_recording_of_the_same_process(tmp_path: Path) -> None:
    """In a container its process id is the same; but ids of ops begin anew."""
    first = a_profile(tmp_path / "a.json", 0)
    goes_on, again = (a_profile(tmp_path / f"{n}.json", 5_000, ids_from=n) for n in (101, 1))
    assert len(loaded(first, goes_on).recordings) == 2
    assert not loaded(first, again).recordings


def test_without_ids_the_process_tells(tmp_path: Path) -> None:
    first, same, other = (
        a_profile(tmp_path / f"{i}.json", 5_000 * i, pid, ids_from=0) for i, pid in enumerate((1, 1, 2))
    )
    assert len(loaded(first, same).recordings) == 2
    assert not loaded(first, other).recordings


def test_workers_with_the_same_process_id_are_told_apart_by_their_names(tmp_path: Path) -> None:
    """As in two containers, of which neither tells its rank."""
    files = [
        a_profile(tmp_path / f"{host}_7.{cycle}.pt.trace.json", 5_000 * cycle + skew, 7, 1 + 200 * cycle)
        for cycle in (0, 1)
        for host, skew in (("a", 0), ("b", 10))
    ]
    trace = loaded(*files)
    names = {r.source: Path(trace.sources[r.source].path).name[0] for r in trace.recordings}
    assert [(r.rank, names[r.source]) for r in trace.recordings] == [(0, "a"), (0, "a"), (1, "b"), (1, "b")]


def test_a_process_whose_first_recording_was_made_before_it_knew_its_rank_has_that_rank(
    tmp_path: Path,
) -> None:
    early = a_profile(tmp_path / "a.json", 0)
    late = a_profile(tmp_path / "b.json", 5_000, ids_from=101, rank=3, world_size=4)
    trace = loaded(early, late)
    assert [r.rank for r in trace.recordings] == [3, 3]
    assert set(trace.ops["rank"].to_pylist()) == {3}


def test_what_was_recorded_at_the_same_time_is_of_two_processes(tmp_path: Path) -> None:
    trace = loaded(*(a_profile(tmp_path / f"{i}.json", 500 * i, ids_from=1 + 100 * i) for i in (0, 1)))
    assert not trace.recordings
    assert [s.rank for s in trace.sources] == [0, 1]


def test_a_run_in_cycles_is_compared_by_the_steps_of_all_of_them(tmp_path: Path) -> None:
    files = in_cycles(recorded("sim_training_mixed"), tmp_path, "node_7", *CYCLES)
    found = compare(*(analyze(loaded(*some)) for some in (files[:1], files)))
    walls = [step.wall_ns for step in found.after["breakdown"].devices[0].steps]
    assert found.step is not None
    assert len(walls) == 3
    assert found.step.after_ns == pytest.approx(sum(walls) / 3, abs=2)


@pytest.mark.parametrize("name", ["sim_training_mixed", "sim_exposed_allreduce", "sim_pageable_copies"])
def test_how_long_nothing_was_recorded_changes_no_finding(name: str, tmp_path: Path) -> None:
    files = in_cycles(recorded(name), tmp_path, "node_7", *CYCLES)
    told = []
    for minutes in (0, 10):
        content = json.loads(files[1].read_text())
        for event in content["traceEvents"]:
            if "ts" in event:
                event["ts"] += minutes * 60e6
        files[1].write_text(json.dumps(content))
        analysis = analyze(loaded(*files))
        told.append(([(f.code, f.claim, f.saving_ns) for f in analysis.findings], analysis.verdict.headline))
        told[-1] += ([(n.code, n.needs) for n in analysis.not_assessed],)
    assert told[0] == told[1]
