"""Every committed trace is accounted for, small, and tells nothing of the machine it was made on."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2] / "fixtures"
MANIFEST = tomllib.loads((FIXTURES / "MANIFEST.toml").read_text())
FOLDERS = ("recorded", "simulated", "cpu", "gpu", "nsys", "snapshots")
FILES = [p for folder in FOLDERS for p in sorted((FIXTURES / folder).glob("*"))]
RECORDED = sorted((FIXTURES / "recorded").glob("*.json.gz"))
TRACES = [p for p in FILES if p.name.endswith(".trace.json.gz")]


def test_the_manifest_lists_every_file_and_no_other():
    assert sorted(MANIFEST) == sorted(str(p.relative_to(FIXTURES)) for p in FILES)


@pytest.mark.parametrize("name", MANIFEST)
def test_an_entry_says_how_the_file_was_made_and_what_for(name):
    entry = MANIFEST[name]
    assert {"made_by", "origin", "torch", "device", "label", "good_for"} <= set(entry)
    assert entry["origin"] == ("simulated" if name.startswith(("simulated/", "snapshots/")) else "recorded")


@pytest.mark.parametrize("name", [n for n in MANIFEST if n.endswith(".truth.json")])
def test_the_label_is_what_was_planted(name):
    truth = json.loads((FIXTURES / name).read_text())
    assert MANIFEST[name]["label"] == truth["planted"]["bottleneck"]
    assert MANIFEST[f"simulated/{truth['trace']}"]["label"] == truth["planted"]["bottleneck"]


def test_all_files_together_stay_small():
    from_gpus = [p for p in FILES if p.parent.name == "gpu"]
    others = [p for p in FILES if p not in from_gpus]
    assert max(p.stat().st_size for p in others if p.suffix == ".gz") <= 400_000
    assert sum(p.stat().st_size for p in others) <= 5_000_000
    assert sum(p.stat().st_size for p in from_gpus) <= 25_000_000


@pytest.mark.parametrize("path", [*RECORDED, *TRACES], ids=lambda p: p.name)
def test_a_recorded_file_tells_nothing_of_its_machine(path):
    text = gzip.decompress(path.read_bytes()).decode()
    assert json.loads(text).get("host_name", "recorder") == "recorder", "which not every PyTorch writes"
    assert not re.search(r'"/|/(home|root|Users|tmp|var|opt|usr)/|site-packages', text), "an absolute path"
    assert not re.search(r"TOKEN|SECRET|PASSWORD|API_KEY", text)
    assert "metadata" not in json.loads(text), "where environments are dumped"


@pytest.mark.parametrize("path", sorted((FIXTURES / "nsys").iterdir()), ids=lambda p: p.name)
def test_a_recording_of_nsys_tells_nothing_of_its_machine(path):
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode(errors="replace")
    assert not re.search(r"/(home|root|Users|work|workspace)/", text), "a folder of a person"
    assert not re.search(r"TOKEN|SECRET|PASSWORD|API_KEY", text)


@pytest.mark.parametrize("path", [p for p in RECORDED if p.name.startswith("cpu_")], ids=lambda p: p.name)
def test_a_recorded_file_holds_what_it_was_recorded_for(path):
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    names = {e["name"] for e in events}
    assert {"ProfilerStep#2", "ProfilerStep#3", "[memory]"} <= names
    assert any(n.startswith("nn.Module: Attention") for n in names)
    assert any("Input Dims" in e.get("args", {}) for e in events)


@pytest.mark.parametrize("path", [p for p in RECORDED if p.name.startswith("gloo_")], ids=lambda p: p.name)
def test_a_recording_of_ranks_holds_collectives_of_the_host(path):
    names = {e["name"] for e in json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]}
    assert {"ProfilerStep#2", "gloo:all_reduce", "c10d::allreduce_"} <= names
