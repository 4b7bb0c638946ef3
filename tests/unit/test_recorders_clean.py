"""What tells of the machine goes; what cannot be cleaned is refused."""

from __future__ import annotations

import gzip
import os
import pickle
import stat
import sysconfig
from pathlib import Path

import pytest
import torch

from fixtures.recorders import measure, ncu, oom, scrub
from fixtures.recorders.process import REHEARSAL_BYTES
from fixtures.recorders.workloads import Place

CPU = Place(torch.device("cpu"))


def test_host_names_folders_and_secrets_go(monkeypatch):
    monkeypatch.setenv("SOME_API_KEY", "sk-123456")
    packages = sysconfig.get_paths()["purelib"]
    text = (
        f'"host_name": "box7", "name": "{packages}/torch/nn/functional.py(12): linear", '
        '"x": "/home/ann/run/train.py(3)", "y": "sk-123456"'
    )
    assert scrub.clean(text) == (
        '"host_name": "recorder", "name": "torch/nn/functional.py(12): linear", "x": "train.py(3)", "y": "removed"'
    )


def test_the_name_of_the_host_goes_where_it_stands_alone(monkeypatch):
    monkeypatch.setattr("platform.node", lambda: "box7")
    assert scrub.clean('{"host": "box7", "url": "tcp@box7:80", "x": "box77"}') == (
        '{"host": "recorder", "url": "tcp@recorder:80", "x": "box77"}'
    )


@pytest.mark.parametrize("text", ["aten::div /", "GB/s", "x = a / b / c", "https://pytorch.org/docs/x", "1/2/3", "N/A",
                                  "void f<a, b>(int*, char const*)", "torch/usr/x.py"])  # fmt: skip
def test_what_only_looks_like_a_folder_stays(text):
    assert scrub.clean(text) == text


@pytest.mark.parametrize("text", ['"env": {"HOME": "x"}', "file /home/"])
def test_what_cannot_be_cleaned_is_refused_without_repeating_it(text):
    with pytest.raises(scrub.StillTellsError, match=r"a folder|an environment") as error:
        scrub.clean(text)
    assert "HOME" not in str(error.value)


def test_texts_inside_a_snapshot_are_cleaned_and_shared_stacks_stay_shared(tmp_path):
    frames = [{"filename": "/opt/x/lib/train.py", "line": 3, "name": "step"}]
    content = {
        "segments": [{"frames": frames, "address": 1}],
        "device_traces": [[{"frames": frames}]],
        "pool": (0, 1),
    }
    measure.write_snapshot(content, tmp_path / "s.gz")
    read = pickle.loads(gzip.decompress((tmp_path / "s.gz").read_bytes()))
    assert read["segments"][0]["frames"][0]["filename"] == "train.py"
    assert read["segments"][0]["frames"] is read["device_traces"][0][0]["frames"]
    assert read["pool"] == (0, 1)


# --- ncu ---

NOISE = "==PROF== Connected to process 7\n"
CSV = """"ID","Process ID","Process Name","Host Name","Kernel Name","Metric Value"
"0","7","python","box7","add","1,024"
"""


def test_the_columns_that_name_the_machine_and_the_noise_go():
    assert (
        ncu.clean_csv(NOISE + CSV)
        == '"ID","Process ID","Kernel Name","Metric Value"\n"0","7","add","1,024"\n'
    )


def test_no_ncu_is_a_reason_and_so_is_a_cpu(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert ncu.why_not("cuda") == "ncu is not on PATH"
    assert ncu.why_not("cpu") == "the CPU has no kernels"


def test_a_report_is_imported_on_the_spot(monkeypatch, tmp_path):
    fake_ncu(monkeypatch, tmp_path, f"printf '%s' '{NOISE}{CSV}'")
    (tmp_path / "x.ncu-rep").touch()
    ncu.import_csv(tmp_path / "x.ncu-rep", tmp_path / "x.csv.gz")
    assert gzip.decompress((tmp_path / "x.csv.gz").read_bytes()).decode() == ncu.clean_csv(CSV)


def test_a_report_without_kernels_is_a_failure(monkeypatch, tmp_path):
    fake_ncu(monkeypatch, tmp_path, "echo '==WARNING== No kernels were profiled.'")
    with pytest.raises(RuntimeError, match="wrote no report"):
        ncu.import_csv(tmp_path / "x.ncu-rep", tmp_path / "x.csv.gz")
    (tmp_path / "x.ncu-rep").touch()
    with pytest.raises(RuntimeError, match="holds no kernel"):
        ncu.import_csv(tmp_path / "x.ncu-rep", tmp_path / "x.csv.gz")


def test_clocks_and_caches_are_left_alone():
    command = " ".join(ncu.around(["python", "x"], Path("r.ncu-rep")))
    assert "--clock-control none --cache-control none" in command
    assert command.endswith("-o r python x")
    for wanted in ("SpeedOfLight", "LaunchStats", "Occupancy", "dram__bytes.sum"):
        assert wanted in command


def fake_ncu(monkeypatch, tmp_path, script):
    path = tmp_path / "ncu"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")


# --- out of memory ---


@pytest.mark.parametrize("scenario", oom.SCENARIOS, ids=lambda s: s.name)
def test_every_program_runs_out_of_memory(scenario, tmp_path):
    with oom.Rehearsal(REHEARSAL_BYTES):
        oom.observe(scenario, CPU, REHEARSAL_BYTES, tmp_path, lambda: None)
    (path,) = tmp_path.iterdir()
    assert path.name == f"oom_{scenario.name}.plain.oom.json"
    assert "CPU rehearsal" in path.read_text()


def test_a_program_that_has_enough_memory_is_reported(tmp_path):
    with pytest.raises(RuntimeError, match="did not run out"):
        oom.observe(oom.Scenario(lambda place: None), CPU, REHEARSAL_BYTES, tmp_path, lambda: None)


def test_an_error_that_hides_the_lack_of_memory_is_looked_behind(tmp_path):
    def program(place):
        try:
            raise torch.OutOfMemoryError("tried to allocate")
        finally:
            raise RuntimeError("capture failed")

    oom.observe(oom.Scenario(program), CPU, REHEARSAL_BYTES, tmp_path, lambda: None)
    (path,) = tmp_path.iterdir()
    assert "tried to allocate" in path.read_text()


def test_other_errors_are_not_taken_for_a_lack_of_memory(tmp_path):
    def program(place):
        raise ValueError("wrong shape")

    with pytest.raises(ValueError, match="wrong shape"):
        oom.observe(oom.Scenario(program), CPU, REHEARSAL_BYTES, tmp_path, lambda: None)


def test_the_rehearsal_counts_what_is_alive():
    with oom.Rehearsal(1 << 20) as memory:
        kept = torch.zeros(1000, dtype=torch.uint8)
        del_me = kept + 1
        view = kept[:10]
        assert memory.live_bytes == 2000
        del del_me
        assert memory.live_bytes == 1000
        assert view.shape == (10,)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(1 << 21, dtype=torch.uint8)
