"""Eight programs ran out of an H200's memory; what `fixtures/recorders/oom.py` made them do is what must be told.

Every figure is held against what the allocator's counters, the driver and nvidia-smi said at that moment.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from traceanalyzer.analyzers.snapshot.state import device_states
from traceanalyzer.cli.command_line import run
from traceanalyzer.ingest.oom_text import messages
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import analyze, load

if TYPE_CHECKING:
    from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot, Oom
    from traceanalyzer.rules.analysis import Analysis

ROOT = Path(__file__).parents[2]
GPU = ROOT / "fixtures/gpu"
PROGRAMS = "fixtures/recorders/oom.py"
MODEL = "fixtures/recorders/workloads/language.py"
MIB, GIB = 1 << 20, 1 << 30


def line(function: str, code: str, file: str = PROGRAMS) -> str:
    """Where a function first has some code, as reports spell it."""
    lines = (ROOT / file).read_text().splitlines()
    begin = next(n for n, text in enumerate(lines) if f"def {function}(" in text)
    return f"{file}:{next(n for n, text in enumerate(lines[begin:], begin + 1) if code in text)}"


@dataclass(frozen=True)
class Truth:
    """What the program was made to do: why it did not fit, which line is named, and what to change."""

    cause: str
    asked_by: str
    names: str
    advice: str


CAT_OF_KEYS = line("forward", "key = torch.cat", MODEL)
KEPT = line("fragmentation", "kept.append")
TRUTHS = {
    "fragmentation": Truth("fragmentation", line("fragmentation", "torch.empty(size, "),
                           "the largest free block had 45.0 MiB", "expandable_segments:True"),
    "fragmentation_expandable": Truth("growth", line("fragmentation", "torch.empty(size, "), KEPT,
                                      "keep less from round to round"),
    "graph_pool": Truth("graph_pool", line("step", "kept.append"), "in private pools, such as those of CUDA graphs",
                        "within the captured region"),
    "leak": Truth("leak", line("forward", "return x + self.mlp", MODEL), line("leak", "loss ="),
                  "append loss.item()"),
    "model_load": Truth("parameters", line("model_load", "nn.Linear"), line("model_load", "nn.Linear"),
                        "weights in half as many bits"),
    "sequence_length": Truth("kv_cache_growth", line("forward", "value = torch.cat", MODEL), CAT_OF_KEYS,
                             "keep the KV cache in 8 bits"),
    "training_batch": Truth("larger_step", line("training_batch", "loss.backward"), "2.0 times as much",
                            "bound the batch"),
}  # fmt: skip
ALL = (*TRUTHS, "other_process")


@cache
def facts(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GPU / f"oom_{name}.plain.oom.json").read_text())
    return found


def now(name: str, counter: str) -> int:
    value: int = facts(name)["memory_stats"][f"{counter}.all.current"]
    return value


@cache
def analysis(name: str) -> Analysis:
    return analyze(load(GPU / f"oom_{name}.plain.snapshot.pickle.gz", options=LoadOptions(use_cache=False)))


def told(name: str) -> Oom:
    rows: tuple[Oom, ...] = analysis(name)["oom"].rows
    (oom,) = rows
    return oom


def device(name: str) -> DeviceSnapshot:
    devices: tuple[DeviceSnapshot, ...] = analysis(name)["snapshot"].devices
    (found,) = devices
    return found


def log(folder: Path, name: str) -> Path:
    path = folder / f"{name}.log"
    path.write_text(f"Traceback (most recent call last):\ntorch.OutOfMemoryError: {facts(name)['message']}\n")
    return path


def with_text(folder: Path, name: str) -> Oom:
    """The post-mortem of the snapshot and the text of the error together."""
    snapshot = GPU / f"oom_{name}.plain.snapshot.pickle.gz"
    trace = load(snapshot, log(folder, name), options=LoadOptions(use_cache=False))
    rows: tuple[Oom, ...] = analyze(trace)["oom"].rows
    (oom,) = rows
    return oom


# --- causes ---


@pytest.mark.parametrize("name", TRUTHS)
def test_the_reason_comes_after_the_limit_that_was_set(name: str) -> None:
    oom, truth = told(name), TRUTHS[name]
    limit, reason = oom.causes[:2]
    assert limit.name == "memory_limit"
    assert reason.name == truth.cause
    assert truth.names in reason.evidence
    assert reason.evidence in oom.headline
    assert any(truth.advice in change.what for change in oom.changes[1:3])


@pytest.mark.parametrize("name", TRUTHS)
def test_the_line_that_asked_is_named_even_in_backward(name: str) -> None:
    assert told(name).python == TRUTHS[name].asked_by


@pytest.mark.parametrize("name", TRUTHS)
def test_with_the_text_there_is_one_error_and_the_limit_is_known(tmp_path: Path, name: str) -> None:
    limit, reason = with_text(tmp_path, name).causes[:2]
    assert (limit.name, limit.confidence) == ("memory_limit", "high")
    assert limit.evidence.startswith("this process is allowed 2.00 GiB and has ")
    assert reason == told(name).causes[1]


@pytest.mark.parametrize("name", TRUTHS)
def test_the_text_alone_tells_the_limit_and_blames_nobody_else(tmp_path: Path, name: str) -> None:
    (oom,) = analyze(load(log(tmp_path, name), options=LoadOptions(use_cache=False)))["oom"].rows
    assert "are free, but this process is allowed 2.00 GiB" in oom.headline
    assert not {"other_process", "non_pytorch"} & {cause.name for cause in oom.causes}
    assert "of the 2.00 GiB allowed" in oom.causes[-1].evidence


def test_another_process_is_told_by_the_text_and_asked_for_without_it(tmp_path: Path) -> None:
    alone, both = told("other_process"), with_text(tmp_path, "other_process")
    assert [cause.name for cause in alone.causes] == ["device_full", "unknown"]
    assert "only 3.50 MiB free" in alone.headline
    assert both.causes[0].name == "other_process"
    assert "other processes hold 137 GiB" in both.headline
    assert both.capacity_bytes == pytest.approx(facts("other_process")["device_total_bytes"], abs=0.005 * GIB)


def test_what_a_replay_says_of_expandable_segments_is_what_a_run_with_them_then_reserved() -> None:
    tried = told("fragmentation").what_if
    assert tried is not None
    assert not tried.runs_out
    (state,) = device_states(analysis("fragmentation_expandable").trace)
    served = [
        e for e in state.positions("alloc").tolist() if state.size[e] == told("fragmentation").requested_bytes
    ]
    assert tried.peak_reserved_bytes == int(state.reserved[: served[0] + 1].max())


@pytest.mark.parametrize("name", ["fragmentation", "leak", "sequence_length"])
def test_a_replay_with_the_recorded_settings_gives_the_recorded_memory(name: str) -> None:
    tried = told(name).what_if
    assert tried is not None
    assert (tried.error_share, tried.same_segments_share) == (0, 1)


def test_a_cache_that_grows_is_no_activation_kept_for_backward() -> None:
    assert "MEM008" not in {finding.code for finding in analysis("sequence_length").findings}
    moment = told("sequence_length").moment
    assert moment is not None
    assert next(iter(moment.by_category)) == "kv_cache", "of which there is most"


def test_what_backward_allocates_is_not_unknown() -> None:
    (oom,) = analysis("training_batch")["oom"].rows
    assert oom.moment.by_category.get("unknown", 0) <= 64 * MIB, (
        "some of it is of the round before the window"
    )
    assert oom.moment.by_category["gradients"] >= 256 * MIB


@pytest.mark.parametrize("name", sorted({*ALL} - {"sequence_length", "fragmentation_expandable"}))
def test_the_last_try_before_an_error_is_no_thrashing(name: str) -> None:
    assert "MEM005" not in {finding.code for finding in analysis(name).findings}


def test_without_marked_steps_no_call_is_said_to_come_after_the_first() -> None:
    (finding,) = [f for f in analysis("sequence_length").findings if f.code == "MEM005"]
    told = " ".join(evidence.text for evidence in finding.evidence)
    assert "32 cudaMalloc calls" in told
    assert "after the first step" not in told


@pytest.mark.parametrize("name", ["graph_pool", "model_load", "other_process", "training_batch"])
def test_what_is_built_once_and_what_training_releases_is_no_leak(name: str) -> None:
    assert not device(name).growth


# --- figures ---


@pytest.mark.parametrize("name", ALL)
def test_the_moment_of_the_error_has_the_allocators_own_figures(name: str) -> None:
    oom = told(name)
    assert oom.moment is not None
    assert oom.free is not None
    assert oom.device_free_bytes == facts(name)["device_free_bytes"]
    assert (
        oom.moment.allocated_bytes, oom.moment.active_bytes, oom.moment.requested_bytes, oom.moment.reserved_bytes,
    ) == (
        now(name, "allocated_bytes"), now(name, "active_bytes"), now(name, "requested_bytes"),
        now(name, "reserved_bytes"),
    )  # fmt: skip
    assert sum(holder.bytes for holder in oom.moment.holders) == now(name, "active_bytes")
    assert sum(holder.count for holder in oom.moment.holders) == now(name, "active")
    assert oom.free.total_bytes == now(name, "reserved_bytes") - now(name, "active_bytes")
    if name != "fragmentation_expandable":  # of what is mapped behind the last block torch counts nothing
        assert oom.free.split_bytes == now(name, "inactive_split_bytes")
        assert oom.free.total_bytes == oom.free.split_bytes + (oom.free.whole_segments_bytes or 0)


@pytest.mark.parametrize("name", ALL)
def test_the_whole_window_has_the_allocators_own_figures(name: str) -> None:
    found, stats = device(name), facts(name)["memory_stats"]
    assert found.peak_reserved_bytes == stats["reserved_bytes.all.peak"]
    assert found.peak.active_bytes == stats["active_bytes.all.peak"]
    assert found.end.reserved_bytes == now(name, "reserved_bytes")
    assert found.churn.segment_frees == stats["num_device_free"]
    assert found.complete == (name != "training_batch"), "which made more entries than are kept"
    if found.complete:
        assert found.churn.segment_allocs == stats["num_device_alloc"]
    if name != "graph_pool":  # nothing is tried again while a graph is captured
        assert found.churn.retries == stats["num_alloc_retries"]


@pytest.mark.parametrize("name", ALL)
def test_the_text_is_read_as_the_driver_and_the_allocator_have_it(name: str) -> None:
    (row,) = messages(facts(name)["message"])
    exact = {
        "capacity": facts(name)["device_total_bytes"],
        "free": facts(name)["device_free_bytes"],
        "allocated": now(name, "allocated_bytes"),
        "unallocated": now(name, "reserved_bytes") - now(name, "allocated_bytes"),
        "requested": told(name).segment_bytes,
        "allowed": None if name == "other_process" else facts(name)["limit_bytes"],
    }
    for key, value in exact.items():
        unit = next(unit for unit in (GIB, MIB, 1) if (value or 0) >= unit or unit == 1)
        assert row[key] == (value if value is None else pytest.approx(value, abs=0.0051 * unit)), key
    assert row["device"] == 0


@pytest.mark.parametrize("name", ALL)
def test_processes_and_nvidia_smi_agree_on_who_holds_the_device(name: str) -> None:
    (row,) = messages(facts(name)["message"])
    smi = facts(name)["nvidia_smi_mib"]
    mine = now(name, "reserved_bytes") + row["non_pytorch"]
    assert mine == pytest.approx(row["process"], abs=0.02 * GIB)
    held = (row["process"] + row["other_processes"]) / MIB
    assert smi["used"] - 200 < held < smi["used"], "the driver keeps some 150 MiB for itself"
    assert 400 * MIB < row["non_pytorch"] < GIB, "a context and what libraries load"


# --- as people see it ---


@pytest.mark.parametrize("name", TRUTHS)
def test_the_command_begins_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    files = [str(GPU / f"oom_{name}.plain.snapshot.pickle.gz"), str(log(tmp_path, name))]
    assert run(["oom", *files, "--no-cache"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert TRUTHS[name].names in first
    assert "is allowed 2.00 GiB" in first
