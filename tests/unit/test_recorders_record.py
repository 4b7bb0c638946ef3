"""One command records, cleans and packs; nothing is begun that cannot end in time."""

from __future__ import annotations

import gzip
import json
import tomllib
from pathlib import Path

import pytest

from fixtures.recorders import record, unpack
from fixtures.recorders.jobs import ORDER, Job, names, plan
from fixtures.recorders.pack import contents, pack
from fixtures.recorders.runner import Runner
from traceanalyzer import pipeline

MANIFEST = Path(__file__).parents[2] / "fixtures" / "MANIFEST.toml"
SECRET = "hunter2-planted"


@pytest.fixture(scope="module")
def sitting(tmp_path_factory):
    """Item loop, plain and fixed, and one out-of-memory program, recorded, unpacked and described."""
    folder = tmp_path_factory.mktemp("sitting")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLANTED_TOKEN", SECRET)
        patch.setattr("fixtures.recorders.runner.CORES_TO_SPARE", 1)  # processes start early, as beside a GPU
        assert (
            record.main(
                ["-o", str(folder), "--device", "cpu", "--only", "item_loop", "oom_leak", "--minutes", "3"]
            )
            == 0
        )
    archives = sorted(folder.glob("*.tar"))
    manifest = folder / "MANIFEST.toml"
    manifest.write_text(MANIFEST.read_text())
    assert unpack.main([*map(str, archives), "-o", str(folder / "cpu"), "--manifest", str(manifest)]) == 0
    return folder


def outcomes(sitting):
    run = json.loads((sitting / "cpu" / "run-1.json").read_text())
    return {(o["kind"], o["name"], o["variant"]): o for o in run["outcomes"]}


def test_it_records_times_and_traces_of_both_variants_and_the_failure(sitting):
    assert {p.name for p in (sitting / "cpu").iterdir()} == {
        "run-1.json", "item_loop.plain.times.json", "item_loop.plain.trace.json.gz",
        "item_loop.fixed.times.json", "item_loop.fixed.trace.json.gz", "oom_leak.plain.oom.json",
    }  # fmt: skip
    times = json.loads((sitting / "cpu" / "item_loop.plain.times.json").read_text())
    assert len(times["waited_ns"]) == times["steps"] == 20
    assert min(times["waited_ns"]) > 0
    assert times["in_a_row_ns"] > 20 * min(times["waited_ns"]) / 2


def test_what_was_not_recorded_is_named_with_the_reason(sitting):
    skipped = {o["kind"]: o["why"] for o in outcomes(sitting).values() if o["state"] != "recorded"}
    assert set(skipped) == {"kernels", "snapshot"}
    assert skipped["kernels"] == "the CPU has no kernels"
    assert "only the CUDA allocator" in skipped["snapshot"]


def test_the_trace_gives_a_report(sitting):
    analysis = pipeline.analyze(pipeline.load(sitting / "cpu" / "item_loop.plain.trace.json.gz"))
    assert analysis["steps"].kind == "profiler_step"
    assert len(analysis["steps"].steps) == 3
    ops = {row.name: row for row in analysis["ops"].by_name}
    assert ops["aten::mm"].count == 3 * 20
    assert any(row.input_dims for row in analysis["ops"].by_shape)


def test_nothing_tells_of_the_machine(sitting):
    for path in (sitting / "cpu").iterdir():
        text = (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
        assert SECRET not in text
        assert str(MANIFEST.parents[1]) not in text
        assert "site-packages" not in text
        if path.name.endswith(".trace.json.gz"):
            assert json.loads(text)["host_name"] == "recorder"


def test_the_manifest_says_how_each_file_was_made(sitting):
    entries = tomllib.loads((sitting / "MANIFEST.toml").read_text())
    entry = entries["cpu/item_loop.plain.trace.json.gz"]
    assert "fixtures.recorders.record" in entry["made_by"]
    assert "item_loop" in entry["made_by"]
    assert entry["origin"] == "recorded"
    assert entry["device"].startswith("CPU")
    assert entry["label"] == "unknown", "the expected label is that of a GPU"
    assert entry["held_out"] is True
    before = tomllib.loads(MANIFEST.read_text())
    assert {k: v for k, v in entries.items() if not k.startswith("cpu/")} == {
        k: v for k, v in before.items() if not k.startswith("cpu/")
    }


def test_unpacking_again_changes_nothing(sitting):
    manifest = sitting / "MANIFEST.toml"
    before = manifest.read_text()
    archives = [str(p) for p in sitting.glob("*.tar")]
    unpack.main([*archives, "-o", str(sitting / "cpu"), "--manifest", str(manifest)])
    assert manifest.read_text() == before


def test_a_later_sitting_leaves_the_entries_of_earlier_ones(sitting):
    before = (sitting / "MANIFEST.toml").read_text()
    after = unpack.merge(before, {"cpu/new.plain.times.json": {"label": "unknown"}})
    assert tomllib.loads(after) == tomllib.loads(before) | {"cpu/new.plain.times.json": {"label": "unknown"}}


def test_a_recording_on_a_gpu_carries_the_expected_label():
    run = {"command": "record", "torch": "2", "device": "GPU", "cuda": "13", "kind": "cuda",
           "outcomes": [{"name": "gemm_bf16", "variant": "plain", "state": "recorded"}]}  # fmt: skip
    files = {"run-1.json": json.dumps(run).encode(), "gemm_bf16.plain.trace.json.gz": b""}
    entry = unpack.manifest_entries(files, files, "gpu")["gpu/gemm_bf16.plain.trace.json.gz"]
    assert entry["label"] == "compute"
    assert entry["cuda"] == "13"


# --- the plan ---


def test_the_most_valuable_comes_first():
    jobs = plan()
    assert [(j.kind, j.variant) for j in jobs] == sorted(((j.kind, j.variant) for j in jobs), key=ORDER.index)
    assert (jobs[0].kind, jobs[0].name) == ("times", "train")


def test_a_later_sitting_goes_on_with_what_is_missing(tmp_path):
    jobs = plan(["item_loop", "oom_leak"])
    states = ["recorded", "failed", *["skipped"] * (len(jobs) - 2)]
    earlier = [
        {"kind": j.kind, "name": j.name, "variant": j.variant, "state": state}
        for j, state in zip(jobs, states, strict=True)
    ]
    (tmp_path / "run-1.json").write_text(json.dumps({"outcomes": earlier}))
    done = record._done([tmp_path / "run-1.json"])
    assert list(map(key, plan(["item_loop", "oom_leak"], done))) == list(map(key, jobs[1:]))


def key(job):
    return job.kind, job.name, job.variant


def test_names_are_those_of_workloads_and_scenarios():
    assert {"gemm_bf16", "oom_leak", "oom_fragmentation_expandable"} <= set(names())
    (job,) = plan(["oom_fragmentation_expandable"])
    assert job.environment == {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}


# --- the budget ---


def test_after_the_deadline_everything_is_skipped(tmp_path):
    clock = iter(range(1000))
    runner = Runner("cpu", tmp_path, tmp_path, deadline=0, clock=lambda: next(clock))
    said = []
    found = runner.run(plan(), said.append)
    assert {o.state for o in found} == {"skipped"}
    assert {o.why for o in found if o.kind == "times"} == {"the time was used up"}
    assert said == found


def test_a_process_that_hangs_is_stopped_at_its_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("fixtures.recorders.runner.SPARE_S", 0.01)  # torch takes longer to load
    runner = Runner("cpu", tmp_path, tmp_path, deadline=1e12)
    (found,) = runner.run([Job("times", "gemm_bf16", "plain", limit_s=0)], lambda _: None)
    assert found.state == "failed"
    assert "stopped after" in found.why


def test_a_process_that_fails_says_why(tmp_path):
    runner = Runner("cpu", tmp_path, tmp_path, deadline=1e12)
    (found,) = runner.run([Job("times", "no_such_workload", "plain", 60)], lambda _: None)
    assert found.state == "failed"
    assert "StopIteration" in found.why
    assert "site-packages" not in found.why


# --- archives ---


def test_archives_hold_what_fits_and_the_rest_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("fixtures.recorders.pack.ARCHIVE_BYTES", 40_960)
    monkeypatch.setattr("fixtures.recorders.pack.ARCHIVES", 2)
    files = []
    for i, size in enumerate((30_000, 30_000, 5_000, 30_000, 100_000)):
        path = tmp_path / f"{i}.gz"
        path.write_bytes(bytes([i]) * size)
        files.append(path)
    archives, left_out = pack(files, tmp_path, "x")
    assert [p.name for p in archives] == ["x-1.tar", "x-2.tar"]
    assert max(p.stat().st_size for p in archives) <= 40_960
    assert [p.name for p in left_out] == ["3.gz", "4.gz"]
    assert contents(archives) == {p.name: p.read_bytes() for p in files[:3]}


def test_an_archive_with_a_path_or_a_link_is_refused(tmp_path):
    import tarfile

    for name, kind in (("../x", tarfile.REGTYPE), ("x", tarfile.SYMTYPE), ("a/x", tarfile.REGTYPE)):
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "y"
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            tar.addfile(entry)
        with pytest.raises(ValueError, match="not a plain file"):
            contents([tmp_path / "a.tar"])


def test_when_the_repository_has_no_room_the_least_valuable_are_left_out():
    names = [
        "a.fixed.trace.json.gz",
        "a.plain.snapshot.pickle.gz",
        "b.plain.trace.json.gz",
        "a.plain.times.json",
    ]
    files = dict.fromkeys(names, b"1" * 10)
    kept, left_out = unpack.select(files, 25)
    assert kept == ["a.plain.times.json", "b.plain.trace.json.gz"]
    assert left_out == ["a.plain.snapshot.pickle.gz", "a.fixed.trace.json.gz"]
