"""What the page about other tools counts: what their output supports, how much of a cause that is, who took a file."""

from __future__ import annotations

import gzip
import json
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures.peers import hta, memory, tb_profiler
from fixtures.peers.answers import Answer, Truth, expected, grade, planted
from fixtures.peers.damaged import Outcome, Taken, snapshots, traces
from fixtures.peers.memory import MADE_TO, PostMortem, Told, supported
from fixtures.peers.offline import Page
from fixtures.peers.page import Results, page, steps
from fixtures.peers.running import Ended, answered, version
from fixtures.peers.traces import NOT_INSTALLED, OURS, PEERS, Compared
from fixtures.recorders.expectations import expectations

ROOT = Path(__file__).parents[2]
GPU = ROOT / "fixtures/gpu"
TRACE = GPU / "tiny_kernels.plain.trace.json.gz"
BUSY = Truth("busy", "memory_bandwidth", frozenset({"memory_bandwidth"}))
LATE = Truth("late", "overhead", frozenset({"launching"}))


def breakdown(compute: float, other: float, idle: float) -> dict[str, float]:
    parts = {"compute_time(us)": compute, "non_compute_time(us)": other, "idle_time(us)": idle}
    return parts | {"kernel_time(us)": compute + other + idle}


def of_hta(**said: Any) -> Answer:
    return hta.answer({"errors": {}, "steps": 2, **said})


def idle(**time: float) -> list[dict[str, Any]]:
    return [{"stream": 7, "idle_category": name, "idle_time": us} for name, us in time.items()]


def tab(
    *, gpu: dict[str, str] | None = None, tensor_cores: float = 0.0, advice: str = "N/A", **parts: int
) -> Answer:
    named = {name.replace("_", " "): us for name, us in parts.items()}
    return tb_profiler.answer(
        {"step_us": sum(parts.values()), "parts": named, "recommendations": advice, "gpu": gpu or {},
         "tensor_cores": tensor_cores, "modules": 0, "kernels": 1}
    )  # fmt: skip


# --- grades ---


def test_a_cause_is_more_than_the_class_of_time_and_that_is_more_than_another() -> None:
    assert grade(BUSY, Answer("kernels", frozenset({"memory_bandwidth"}))) == "cause"
    assert grade(BUSY, Answer("kernels", frozenset({"compute"}))) == "class"
    assert grade(BUSY, Answer("idle")) == "another"
    assert grade(BUSY, Answer(errors=("KeyError",))) == "nothing"


def test_what_is_known_of_idle_time_is_what_its_findings_speak_of() -> None:
    known = expectations()
    assert expected("gc_heavy", known["gc_heavy"]).causes == {"garbage collection"}
    assert expected("generate", known["generate"]).causes == {"launching", "synchronisation"}
    assert expected("add", known["add"]).causes == {"memory_bandwidth"}
    assert planted("sim", "overhead", "dataloader").causes == {"input"}


@pytest.mark.parametrize("name", expectations())
def test_every_workload_has_a_cause(name: str) -> None:
    assert expected(name, expectations()[name]).causes


# --- traceinsight ---


def test_the_largest_part_of_the_temporal_breakdown_is_the_class() -> None:
    assert of_hta(temporal=breakdown(9, 0, 1)).largest == "kernels"
    assert grade(BUSY, of_hta(temporal=breakdown(9, 0, 1))) == "class"
    memory_kind = [{"kernel_type": "MEMORY", "sum": 9}]
    assert of_hta(temporal=breakdown(1, 9, 1), kinds=memory_kind).causes == {"copy"}
    communication = [*memory_kind, {"kernel_type": "COMMUNICATION", "sum": 90}]
    assert of_hta(temporal=breakdown(1, 9, 1), kinds=communication).causes == {"communication"}


def test_waiting_for_the_host_is_that_it_launches_too_slowly() -> None:
    said = of_hta(temporal=breakdown(1, 0, 9), idle=idle(host_wait=8, kernel_wait=1, other=0))
    assert grade(LATE, said) == "cause"
    assert "launching" not in of_hta(temporal=breakdown(9, 0, 1), idle=idle(host_wait=1)).causes


def test_the_critical_path_speaks_where_the_breakdown_died() -> None:
    path = {"cpu_bound": 30.0, "gpu_kernel_launch_overhead": 25.0, "gpu_compute_bound": 45.0, "": 0.0}
    said = hta.answer({"errors": {"temporal": "AssertionError"}, "steps": 2, "critical_path": path})
    assert (said.largest, said.step_ns, said.errors) == ("idle", None, ("temporal: AssertionError",))


def test_a_step_is_the_whole_time_by_the_number_of_steps() -> None:
    assert of_hta(temporal=breakdown(9, 0, 1)).step_ns == 5000.0


# --- torch-tb-profiler ---


def test_all_of_the_host_together_is_the_time_without_work_for_the_gpu() -> None:
    said = tab(Kernel=40, CPU_Exec=35, Other=25)
    assert (said.largest, said.step_ns) == ("idle", 100_000.0)
    assert grade(LATE, said) == "cause"
    assert grade(LATE, tab(Kernel=40, CPU_Exec=25, Other=35)) == "class"


def test_the_input_is_told_by_its_part_or_by_its_recommendation() -> None:
    assert "input" in tab(Kernel=1, DataLoader=9).causes
    assert "input" in tab(Kernel=9, CPU_Exec=1, advice="high time cost on input data loading. 9.0% of").causes


def test_a_busy_gpu_that_is_not_filled_waits_for_latency() -> None:
    unfilled = {"GPU Utilization": "98.4 %", "Est. SM Efficiency": "0.8 %"}
    assert tab(Kernel=9, Other=1, gpu=unfilled).causes == {"latency"}
    assert not tab(Kernel=9, Other=1, gpu=unfilled | {"Est. SM Efficiency": "97 %"}).causes


def test_tensor_cores_support_compute() -> None:
    assert tab(Kernel=9, tensor_cores=100.0).causes == {"compute"}
    assert not tab(Kernel=9, tensor_cores=49.0).causes


# --- the viewer of snapshots ---


def test_the_viewers_texts_tell_a_limit_a_full_device_and_fragmentation() -> None:
    error = "raise OutOfMemoryError # {} requested, {} free in CUDA"
    assert supported("total_free: 1.0GiB", error.format("92.0MiB", "133.8GiB")) == {
        "memory_limit",
        "fragmentation",
    }
    assert supported("total_free: 0.0B", error.format("256.0MiB", "3.5MiB")) == {"device_full"}
    assert supported("total_free: 1.0GiB", "x = y[0:8.0MiB]") == frozenset()


def test_every_recorded_program_that_ran_out_is_compared() -> None:
    recorded = {path.name.removeprefix("oom_").partition(".")[0] for path in GPU.glob("oom_*.oom.json")}
    assert set(MADE_TO) == recorded


# --- damaged files ---


def test_the_damage_is_where_it_is_said_to_be() -> None:
    whole = json.dumps(
        {"traceEvents": [{"name": "aten::add", "args": {"blocks per SM": 1}}] * 20}, indent=1
    ).encode()
    made = {case: content for case, (_, content) in traces(whole).items()}
    broken = {case for case, content in made.items() if not reads(content)}
    assert broken == set(made) - {
        "as recorded, gzip",
        "NaN for a number",
        "a lone surrogate",
        "gzip without .gz in its name",
    }
    assert len(set(made.values())) == len(made) - 1, "only the first two differ by their name alone"


def reads(content: bytes) -> bool:
    try:
        json.loads(gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content)
    except (ValueError, EOFError):
        return False
    return True


def test_the_hostile_snapshot_would_run_its_code_when_loaded_without_care(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    _, content = snapshots(pickle.dumps({"segments": []}), marker)["a pickle that runs code"]
    assert not marker.exists()
    with pickle.loads(content)["a"]:
        assert marker.exists()


# --- the page ---


def results(**peers: Answer) -> Results:
    ours = Answer("kernels", frozenset({"memory_bandwidth"}), 2e6)
    answers = {OURS: ours, **dict.fromkeys(PEERS, NOT_INSTALLED), **peers}
    rows = [Compared(BUSY, answers, 1e6)]
    told = PostMortem("leak", "leak", Told(frozenset({"leak"})), Told(frozenset({"leak"})), Told(frozenset()))
    taken = Taken(
        "empty", {OURS: Outcome("error", "run.json: is empty"), **dict.fromkeys(peers, Outcome("traceback"))}
    )
    return Results(rows, rows, [told], [taken], [taken], taken, [Page(OURS, "a trace", 10, ())])


def test_a_peer_that_is_not_there_has_no_zero() -> None:
    rows = re.findall(r"^\|.*\|$", page(results()).partition("## Where")[0], re.MULTILINE)[2:]
    assert rows
    assert all(row.endswith("| not installed | not installed |") for row in rows)


def test_every_row_in_short_has_figures_of_its_own() -> None:
    text = page(results(traceinsight=Answer("kernels", frozenset(), 1e6, listed=True)))
    assert "| cause named, of 1 recorded workloads | 1 | 0 | not installed |" in text
    assert "| class of time only | 0 | 1 | not installed |" in text
    assert "| a table of lines or modules with time | 0 | 1 | not installed |" in text
    assert "median, least … most | 2.00, 2.00 … 2.00 | 1.00, 1.00 … 1.00 | not installed |" in text
    assert "| damaged traces: a traceback | 0 | 1 | not installed |" in text


def test_a_peer_that_dies_is_shown_with_its_error() -> None:
    text = page(results(traceinsight=Answer(errors=("KeyError: 'stream'",))))
    assert "| busy | memory_bandwidth | **cause** | error | not installed |" in text
    assert "Errors of traceinsight: busy: `KeyError: 'stream'`" in text


def test_a_peer_that_is_nearer_is_said_to_be_ahead() -> None:
    made = results(traceinsight=Answer("kernels", frozenset({"memory_bandwidth"}), 1e6))
    worse = Answer("kernels", frozenset({"compute"}), 2e6)
    rows = [replace(made.recorded[0], answers=made.recorded[0].answers | {OURS: worse})]
    ahead = page(replace(made, recorded=rows, simulated=rows)).partition("## Where")[2].partition("## Is")[0]
    assert "- traceinsight is nearer to the cause of busy" in ahead
    assert "- The median step of traceinsight is nearer" in ahead


def test_steps_are_compared_where_the_gpu_sets_the_pace() -> None:
    made = results().recorded
    assert steps(made, OURS) == {"busy": 2.0}
    assert steps([replace(made[0], step_ns=None)], OURS) == {}


def test_an_error_is_its_last_line_without_folders_of_the_machine(tmp_path: Path) -> None:
    assert Ended(1, "", "Traceback\n  File\nValueError: no\n\n").last == "ValueError: no"
    assert Ended(2, "", "").last == "exit code 2"


def test_the_headline_in_the_readme_is_the_pages() -> None:
    written = (ROOT / "reports/peers.md").read_text()
    readme = " ".join((ROOT / "README.md").read_text().split())
    (named,) = re.findall(
        r"^\| cause named, of (\d+) recorded workloads \| (\d+) \| (\d+) \| (\d+) \|$", written, re.MULTILINE
    )
    of, ours, insight, tensorboard = named
    assert (
        f"the cause of {ours} of {of}, traceinsight (HTA's successor) {insight}, torch-tb-profiler {tensorboard}"
        in readme
    )
    (died,) = re.findall(
        r"Cause named, of (\d+): .*snapshot (\d+), .*error (\d+), .*_memory_viz (\d+)\. The", written
    )
    of, ours, with_log, viewer = died
    assert (
        f"of {of} runs out of memory {ours} ({with_log} with the text of the error), torch's viewer {viewer}"
        in readme
    )


# --- the peers themselves ---


@pytest.mark.parametrize(("package", "module"), [(name, PEERS[name][0]) for name in PEERS])
def test_a_peer_answers_as_its_reading_expects(package: str, module: str) -> None:
    if version(package) is None:
        pytest.skip(f"NO PEERS: {package} is not asked; run `make peers`")
    said = answered(module, TRACE, PEERS[package][1])
    assert said.largest == "idle"
    assert "launching" in said.causes


def test_the_viewer_answers_as_its_reading_expects(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="NO PEERS: torch's viewer is not asked")
    found = memory.PostMortem("fragmentation", "fragmentation", *[Told(frozenset())] * 3)
    plain = tmp_path / "s.pickle"
    plain.write_bytes(gzip.decompress((GPU / "oom_fragmentation.plain.snapshot.pickle.gz").read_bytes()))
    assert memory.grade(found.cause, memory.viewer(plain)) == "cause"
