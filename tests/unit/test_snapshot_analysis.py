"""From a snapshot to answers: whose line, what for, what grows, why it did not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from snapshot_files import (
    BASE,
    KERNEL,
    LIBRARY,
    MIB,
    USER,
    block,
    entry,
    frame,
    segment,
    simple,
    snapshot,
    write,
)

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.cli.command_line import run
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import analyze, load

NO_CACHE = LoadOptions(use_cache=False)
FIXTURE = Path(__file__).parents[2] / "fixtures/snapshots/oom.pickle.gz"
FORWARD = frame("/app/model.py", 4, "Block.forward")
BACKWARD = frame("/v/site-packages/torch/autograd/graph.py", 823, "backward")
FREED = ("free_requested", "free_completed")


def results(tmp_path: Path, content: Any) -> dict[str, Any]:
    return run_analyzers(load(write(tmp_path / "run.pickle", content), options=NO_CACHE))[0]


def held(tmp_path: Path, *frames: dict[str, Any], freed_by: Any = None) -> Any:
    """The one holder of 4 MiB at the peak, allocated by a stack and released by another."""
    trace = [entry("segment_alloc", BASE, 20 * MIB, 1), entry("alloc", BASE, 4 * MIB, 2, list(frames))]
    blocks = [
        block(BASE, 4 * MIB, 4 * MIB, frames=list(frames)),
        block(BASE + 4 * MIB, 16 * MIB, 0, "inactive"),
    ]
    if freed_by is not None:
        trace += [entry(a, BASE, 4 * MIB, 3, freed_by) for a in FREED]
        blocks = [block(BASE, 20 * MIB, 0, "inactive")]
    (device,) = results(tmp_path, snapshot([segment(BASE, blocks)], trace))["snapshot"].devices
    (holder,) = device.peak.holders
    return holder


def test_settings_that_differ_from_the_defaults_are_told(tmp_path: Path) -> None:
    chosen = {
        "expandable_segments": True,
        "release_lock_on_cudamalloc": False,
        "pinned_num_register_threads": 1,
    }
    content = snapshot(
        [], [entry("segment_alloc", BASE, 20 * MIB, 1)], garbage_collection_threshold=0.8, **chosen
    )
    (device,) = results(tmp_path, content)["snapshot"].devices
    assert device.settings == (("expandable_segments", "True"), ("garbage_collection_threshold", "0.8"))


def test_the_users_line_comes_before_installed_code_and_compiled_frames(tmp_path: Path) -> None:
    holder = held(tmp_path, KERNEL, frame("a.cpp", 9, "f()"), LIBRARY, USER, frame("/app/main.py", 1, "main"))
    assert (holder.python, holder.function) == ("/app/train.py:57", "train_step")
    assert held(tmp_path, KERNEL, LIBRARY).python.endswith("module.py:1511")
    assert held(tmp_path, KERNEL).python is None


@pytest.mark.parametrize(
    ("category", "frames", "freed_by"),
    [
        ("activations", [FORWARD], None),
        ("activations", [FORWARD], [BACKWARD]),
        ("temporaries", [FORWARD], [FORWARD]),
        ("gradients", [frame("??", 0, "torch::autograd::Engine::evaluate_function()"), USER], None),
        ("temporaries", [BACKWARD], [BACKWARD]),
        ("parameters", [frame("/v/site-packages/torch/nn/modules/linear.py", 106, "__init__"), USER], None),
        ("parameters", [frame("/v/site-packages/torch/nn/modules/module.py", 9, "_apply"), USER], None),
        ("optimizer_state", [frame("/v/site-packages/torch/optim/adam.py", 9, "_init_group"), USER], None),
        ("optimizer_state", [USER, frame("/v/site-packages/torch/optim/optimizer.py", 493, "wrapper")], None),
        ("temporaries", [USER, frame("/v/site-packages/torch/optim/optimizer.py", 493, "wrapper")], [USER]),
        ("kv_cache", [frame("/app/cache.py", 3, "append_kv"), FORWARD], None),
        ("casts", [frame("??", 0, "at::autocast::cached_cast(c10::ScalarType)"), FORWARD], None),
        ("logits", [frame("/v/site-packages/torch/nn/functional.py", 3, "cross_entropy"), USER], None),
        ("inputs", [frame("/app/data.py", 3, "to_device"), USER], None),
        ("workspace", [frame("??", 0, "at::cuda::getCurrentCUDABlasHandle()"), FORWARD], None),
        ("unknown", [USER], None),
        ("unknown", [LIBRARY, USER], None),
    ],
)
def test_what_memory_is_for(tmp_path: Path, category: str, frames: Any, freed_by: Any) -> None:
    holder = held(tmp_path, *frames, freed_by=freed_by)
    assert (holder.category, bool(holder.inferred_from)) == (category, True)


def test_a_window_with_its_beginning_is_complete_and_a_cut_one_is_not(tmp_path: Path) -> None:
    whole, cut = simple(), simple()
    cut["device_traces"][0] = cut["device_traces"][0][3:]
    (a,), (b,) = (results(tmp_path, c)["snapshot"].devices for c in (whole, cut))
    assert (a.complete, b.complete) == (True, False)
    assert a.peak.unseen_bytes == 0
    assert b.peak.unseen_bytes == 3 * MIB, "released in the window, allocated before it"


def test_a_use_takes_its_share_of_the_blocks_where_no_segment_tells_of_them(tmp_path: Path) -> None:
    loss = [frame("/torch/nn/functional.py", 3, "cross_entropy")]
    content = snapshot([], [entry("alloc", BASE, 5 * MIB, 1_700_000_000_000_000, loss)])
    found = analyze(load(write(tmp_path / "a.pickle", content), options=NO_CACHE))
    (claim,) = [f.claim for f in found.findings if f.code == "MEM011"]
    assert "take 5.00 MiB (100 %) of the peak" in claim
    assert not {"MEM004", "MEM006", "MEM010"} & {f.code for f in found.findings}, "nothing was reserved"
    assert found.verdict.headline == "How much memory was in use is not known: no segment is listed."


def test_what_was_allocated_before_the_window_is_said(tmp_path: Path) -> None:
    cut = simple()
    cut["device_traces"][0] = cut["device_traces"][0][2:]
    cut["segments"][0]["blocks"][0]["frames"] = []
    analysis = analyze(load(write(tmp_path / "cut.pickle", cut), options=NO_CACHE))
    assert any("5.00 MiB were allocated before it" in n.message for n in analysis.trace.sources[0].notes)
    assert ", 5.00 MiB of it allocated before the window" in analysis.verdict.headline
    whole = load(write(tmp_path / "whole.pickle", simple()), options=NO_CACHE)
    assert not whole.sources[0].notes


def request(
    tmp_path: Path, *, stream: int = 0, free: int = 0, blocks: Any = None, size: int = 30 * MIB
) -> Any:
    """An oom entry after a segment of 40 MiB with the given blocks."""
    blocks = blocks or [block(BASE, 40 * MIB, 40 * MIB)]
    trace = [entry("oom", free, size, 5, [USER], stream=stream, pool_id=(0, 0))]
    (oom,) = results(tmp_path, snapshot([segment(BASE, blocks)], trace))["oom"].rows
    return oom


def test_a_limit_is_the_cause_when_the_device_has_room(tmp_path: Path) -> None:
    oom = request(tmp_path, free=64 * MIB)
    assert oom.causes[0].name == "memory_limit"
    assert oom.segment_bytes == 30 * MIB


def test_room_on_another_stream_is_the_cause(tmp_path: Path) -> None:
    oom = request(tmp_path, stream=7, blocks=[block(BASE, 40 * MIB, 0, "inactive")])
    assert oom.causes[0].name == "other_stream"
    assert oom.free.other_streams_largest_bytes == 40 * MIB
    assert oom.free.largest_bytes == 0


def test_holes_are_the_cause_when_together_they_would_do(tmp_path: Path) -> None:
    holes = [
        block(BASE + i * 10 * MIB, 10 * MIB, MIB, "inactive" if i % 2 else "active_allocated")
        for i in range(4)
    ]
    oom = request(tmp_path, blocks=holes, size=15 * MIB)
    assert [c.name for c in oom.causes][:2] == ["fragmentation", "spike"]
    assert oom.changes[0].frees_bytes == 20 * MIB
    assert "empty_cache" not in str(oom.changes)


def test_a_single_large_request_is_a_spike(tmp_path: Path) -> None:
    assert request(tmp_path).causes[0].name == "spike"


def test_a_private_pool_that_many_lines_hold_may_be_of_graphs_or_of_others(tmp_path: Path) -> None:
    lines = [frame("/app/many.py", i, "f") for i in range(600)]
    size = 64 * 1024
    blocks = [block(BASE + i * size, size, size, frames=[line]) for i, line in enumerate(lines)]
    private = segment(BASE, blocks, segment_pool_id=(1, 0))
    trace = [entry("oom", 0, 36 * MIB, 5, [USER], pool_id=(0, 0))]
    (oom,) = results(tmp_path, snapshot([private], trace))["oom"].rows
    cause = next(c for c in oom.causes if c.name == "graph_pool")
    assert (cause.bytes, cause.confidence) == (600 * size, "medium")
    assert "in private pools, such as those of CUDA graphs" in cause.evidence


@pytest.fixture(scope="module")
def leaking() -> Any:
    return analyze(load(FIXTURE, options=NO_CACHE))


def test_the_leak_of_the_fixture_is_found_and_explains_its_oom(leaking: Any) -> None:
    (device,) = leaking["snapshot"].devices
    (growing,) = device.growth
    assert (growing.python, growing.function, growing.bytes_per_step) == ("train.py:27", "log_loss", 6 * MIB)
    (oom,) = leaking["oom"].rows
    assert oom.causes[0].name == "leak"
    assert {"MEM001", "MEM002"} <= {f.code for f in leaking.findings}
    assert leaking.verdict.headline.startswith("Out of memory asking for")
    assert "CAPT001" not in {f.code for f in leaking.findings}, (
        "a snapshot is no profile with options missing"
    )


def test_the_memory_section_shows_the_snapshot(leaking: Any) -> None:
    (device,) = leaking["snapshot"].devices
    (timeline,) = leaking["memory"].timelines
    assert timeline.peak_allocated_bytes == device.peak.allocated_bytes
    assert timeline.accounted_bytes == sum(h.bytes for h in timeline.live_at_peak) == device.peak.active_bytes


def test_the_command_tells_cause_and_holders(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["oom", str(FIXTURE), "--no-cache"]) == 0
    shown = capsys.readouterr().out
    assert "cause 1     leak" in shown
    assert "train.py:27 log_loss" in shown
    for by, expected in (("category", "optimizer state"), ("module", "Block"), ("stack", "log_loss")):
        assert run(["oom", str(FIXTURE), "--by", by, "--at", "peak"]) == 0
        assert expected in capsys.readouterr().out


def test_its_json_holds_everything(capsys: pytest.CaptureFixture[str]) -> None:
    import json

    assert run(["oom", str(FIXTURE), "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["oom"]["rows"][0]["causes"][0]["name"] == "leak"
    assert content["snapshot"]["devices"][0]["growth"][0]["bytes_per_step"] == 6 * MIB


def test_names_from_a_file_do_not_steer_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = frame("/app/\x1b[2Jx.py", 1, "f\x07")
    content = snapshot([segment(BASE, [block(BASE, 2 * MIB, 9, frames=[evil])])], [])
    assert run(["oom", str(write(tmp_path / "e.pickle", content))]) == 0
    assert "\x1b" not in (out := capsys.readouterr().out)
    assert "\x07" not in out


def rounds_of(tmp_path: Path, loops: int, *, keeps: bool, forward: bool = False) -> Any:
    """A loop without marked steps: a temporary comes and goes in each round, and a block stays or is released."""
    around = [frame("/app/model.py", 9, "Model.forward")] if forward else []
    loop = [*around, frame("/app/train.py", 7, "main")]
    work, kept = [frame("/app/train.py", 20, "work"), *loop], [frame("/app/train.py", 30, "keep"), *loop]
    trace, blocks, at, time = [entry("segment_alloc", BASE, 400 * MIB, 1)], [], BASE + 16 * MIB, 2
    for _ in range(loops):
        for stack, address, size, freed in ((work, BASE, 4 * MIB, True), (kept, at, 8 * MIB, not keeps)):
            trace.append(entry("alloc", address, size, time, stack))
            trace += [entry(a, address, size, time + 1, stack) for a in FREED] if freed else []
            time += 2
        blocks += [block(at, 8 * MIB, 8 * MIB, frames=kept)] if keeps else []
        at += 8 * MIB if keeps else 0
    before = block(BASE, 16 * MIB, 0, "inactive")
    behind = block(at, BASE + 400 * MIB - at, 0, "inactive")
    content = snapshot([segment(BASE, [before, *blocks, behind])], trace)
    return results(tmp_path, content)["snapshot"].devices[0]


def test_what_every_round_of_a_loop_leaves_is_growth_without_marked_steps(tmp_path: Path) -> None:
    (row,) = rounds_of(tmp_path, 5, keeps=True).growth
    assert (row.python, row.bytes_per_step, row.steps, row.marked) == ("/app/train.py:30", 8 * MIB, 5, False)
    assert row.total_bytes == 5 * 8 * MIB


def test_a_loop_that_releases_what_it_made_does_not_grow(tmp_path: Path) -> None:
    assert not rounds_of(tmp_path, 5, keeps=False).growth


def test_layers_of_one_forward_pass_are_no_rounds(tmp_path: Path) -> None:
    assert not rounds_of(tmp_path, 5, keeps=True, forward=True).growth
