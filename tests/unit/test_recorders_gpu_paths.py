"""What only runs beside a GPU, with the GPU's own functions played: the order of calls, and what is written."""

from __future__ import annotations

import gzip
import json
import os
import pickle

import pytest
import torch

from fixtures.recorders import measure, oom
from fixtures.recorders.jobs import Job
from fixtures.recorders.runner import Runner
from fixtures.recorders.workloads import Place

ROW = '"ID","Process Name","Host Name","Kernel Name"\n"0","python","box7","add"\n'
COUNTS = f"""#!/bin/sh
case "$*" in *--import*) echo '==PROF== noise'; printf '%s' '{ROW}'; exit 0;; esac
while [ $# -gt 1 ]; do [ "$1" = -o ] && touch "$2.ncu-rep"; shift; done
"""
FORBIDDEN = "#!/bin/sh\necho '==ERROR== ERR_NVGPUCTRPERM - no permission'\nexit 1\n"


class OnPaper(Place):
    """Says that it is a GPU; everything happens on the CPU."""

    is_cuda = property(lambda self: True)


@pytest.fixture
def calls(monkeypatch):
    """The CUDA functions that were called, in order."""
    made = []

    def play(target, name, result=None):
        monkeypatch.setattr(target, name, lambda *a, **k: made.append(name) or result, raising=False)

    play(torch.cuda, "synchronize")
    play(torch.cuda.profiler, "start")
    play(torch.cuda.profiler, "stop")
    play(torch.cuda.memory, "_record_memory_history")
    play(torch.cuda.memory, "_snapshot", {"segments": [{"frames": [{"filename": "/opt/x/a.py"}]}]})
    play(torch.cuda, "set_per_process_memory_fraction")
    play(torch.cuda, "mem_get_info", (5, 9))
    play(torch.cuda, "memory_stats", {"num_ooms": 1})
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _: type("P", (), {"total_memory": 1 << 40})
    )
    return made


PAPER = OnPaper(torch.device("cpu"))


def test_ncu_sees_one_step_after_the_warm_up_and_all_of_it(calls):
    measure.kernels(lambda: calls.append("step"), PAPER)
    assert calls == ["step"] * measure.WARM_UP + ["synchronize", "start", "step", "synchronize", "stop"]


def test_a_snapshot_covers_the_steps_and_is_cleaned(calls, tmp_path):
    measure.snapshot(lambda: calls.append("step"), PAPER, tmp_path / "s.gz", lambda: calls.append("measured"))
    assert calls == ["_record_memory_history", *["step"] * measure.TRACED_STEPS, "synchronize", "_snapshot",
                     "measured"]  # fmt: skip
    read = pickle.loads(gzip.decompress((tmp_path / "s.gz").read_bytes()))
    assert read["segments"][0]["frames"][0]["filename"] == "a.py"


@pytest.mark.parametrize("observed", [True, False], ids=["observed", "no observer in this build"])
def test_out_of_memory_is_described_at_that_moment(calls, tmp_path, monkeypatch, observed):
    observers = []
    if observed:
        monkeypatch.setattr(torch._C, "_cuda_attach_out_of_memory_observer", observers.append, raising=False)

    def program(place):
        for observer in observers:
            observer(0, 1, 2, 3)
            calls.append("unwound")
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")

    oom.observe(oom.Scenario(program), PAPER, 2 << 30, tmp_path, lambda: None)
    facts = json.loads((tmp_path / "oom_program.plain.oom.json").read_text())
    assert facts["message"].startswith("CUDA out of memory")
    assert (facts["device_free_bytes"], facts["device_total_bytes"]) == (5, 9)
    assert facts["memory_stats"] == {"num_ooms": 1}
    assert "snapshot" not in facts
    assert (tmp_path / "oom_program.plain.snapshot.pickle.gz").is_file()
    assert calls[:2] == ["set_per_process_memory_fraction", "_record_memory_history"]
    assert ("unwound" in calls) is observed
    if observed:
        assert calls.index("_snapshot") < calls.index("unwound")


def runner(tmp_path, monkeypatch, ncu):
    program = tmp_path / "ncu"
    program.write_text(ncu)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return Runner("cuda", tmp_path, tmp_path, deadline=1e12)


def test_kernels_are_counted_when_a_probe_was_allowed_to(tmp_path, monkeypatch):
    recorder = runner(tmp_path, monkeypatch, COUNTS)
    assert recorder.probe(Job("probe", "probe", "plain", 60)) is None
    (outcome,) = recorder.run([Job("kernels", "add", "plain", 60)], lambda _: None)
    assert outcome.state == "recorded"
    text = gzip.decompress((tmp_path / "add.plain.ncu.csv.gz").read_bytes()).decode()
    assert text == '"ID","Kernel Name"\n"0","add"\n'


def test_without_permission_no_other_program_is_tried_and_the_reason_is_kept(tmp_path, monkeypatch):
    recorder = runner(tmp_path, monkeypatch, FORBIDDEN)
    assert "ERR_NVGPUCTRPERM" in recorder.probe(Job("probe", "probe", "plain", 60))
    (outcome,) = recorder.run([Job("kernels", "add", "plain", 60)], lambda _: None)
    assert outcome.state == "skipped"
    assert "ERR_NVGPUCTRPERM" in outcome.why
