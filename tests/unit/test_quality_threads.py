"""Device work whose operators nobody recorded, because the profiler ran in another thread, is named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from traceanalyzer import analyze, load
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.reporters.facts import ReportFacts

if TYPE_CHECKING:
    from pathlib import Path

NO_CACHE = LoadOptions(use_cache=False)
TORCH = {"schemaVersion": 1, "deviceProperties": []}


def launched(number: int, thread: int, kernel_us: int, *, op: bool = True) -> list[dict[str, Any]]:
    """A kernel that a thread launches, within an op or not."""
    host = {"ph": "X", "pid": 1, "tid": thread, "ts": 1000 * number}
    ids = {"External id": number, "correlation": number}
    return [
        *([{**host, "cat": "cpu_op", "name": "aten::mm", "dur": 20, "args": {"External id": number}}] * op),
        {**host, "cat": "cuda_runtime", "name": "cudaLaunchKernel", "dur": 10, "args": ids},
        {"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": 1000 * number + 15, "dur": kernel_us,
         "args": {**ids, "device": 0, "stream": 7}},
    ]  # fmt: skip


def told(folder: Path, events: list[dict[str, Any]], header: dict[str, Any]) -> list[str]:
    path = folder / "run.json"
    path.write_text(json.dumps({**header, "traceEvents": events}))
    return [
        f"{q.message} → {q.remedy}" for q in ReportFacts.of(analyze(load(path, options=NO_CACHE))).quality
    ]


@pytest.mark.parametrize("op", [True, False])
def test_a_thread_without_operators_is_named_with_its_part_of_the_kernel_time(tmp_path: Path, op: bool):
    found = told(tmp_path, launched(1, 1, 300) + launched(2, 2, 100, op=op), TORCH)
    says = "25 % of the kernel time was launched by threads of which no operator was recorded"
    assert any(says in line and "profile_all_threads=True" in line for line in found) is not op


def test_without_any_operator_they_are_missing(tmp_path: Path):
    found = told(tmp_path, launched(1, 1, 300, op=False), TORCH)
    assert any("Not recorded: operators" in line and "profile_all_threads=True" in line for line in found)


def test_a_graph_needs_no_operator(tmp_path: Path):
    events = launched(1, 1, 300, op=False)
    events[0]["name"] = "cudaGraphLaunch"
    assert not any("operator" in line for line in told(tmp_path, events, TORCH))


def test_a_recording_of_nothing_says_which_threads_the_profiler_sees(tmp_path: Path):
    mark = {"ph": "i", "name": "Record Window End", "pid": "", "tid": "", "ts": 2000, "s": "g"}
    (found,) = [line for line in told(tmp_path, [mark], TORCH) if "recorded no work" in line]
    assert "profile_all_threads=True" in found


def test_a_trace_of_another_program_is_not_said_to_be_of_the_profiler(tmp_path: Path):
    found = told(
        tmp_path, [{"ph": "X", "name": "main", "cat": "v8", "pid": 1, "tid": 1, "ts": 0, "dur": 5}], {}
    )
    assert not any("recorded no work" in line for line in found)
