"""The allocator's rules, and what the recorded requests would need under other settings."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from snapshot_files import BASE, MIB, USER, block, entry, segment, snapshot, write

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.analyzers.allocator import Allocator, OutOfMemory
from traceanalyzer.analyzers.allocator_settings import AllocatorSettings, changed, recorded
from traceanalyzer.analyzers.oom.whatif import told, what_if
from traceanalyzer.analyzers.snapshot.state import device_states
from traceanalyzer.cli.command_line import run
from traceanalyzer.errors import UsageError
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import load

if TYPE_CHECKING:
    from traceanalyzer.analyzers.snapshot.results import WhatIf

FIXTURE = Path(__file__).parents[2] / "fixtures/snapshots/oom.pickle.gz"
EXPANDABLE = AllocatorSettings(expandable=True)


def allocator(settings: AllocatorSettings | None = None, limit_mib: int | None = None) -> Allocator:
    return Allocator(settings or AllocatorSettings(), None if limit_mib is None else limit_mib * MIB)


def tried(tmp_path: Path, content: Any, conf: str) -> WhatIf:
    trace = load(write(tmp_path / "run.pickle", content), options=LoadOptions(use_cache=False))
    (state,) = device_states(trace)
    return what_if(state, conf)


@pytest.mark.parametrize(
    ("requested", "reserved"),
    [(1, 2), (MIB, 2), (MIB + 1, 20), (10 * MIB - 512, 20), (10 * MIB, 10), (11 * MIB, 12)],
)
def test_segments_have_the_sizes_of_cudas_allocator(requested: int, reserved: int) -> None:
    memory = allocator()
    memory.malloc(requested, 0, None)
    assert memory.reserved == reserved * MIB


def test_the_smallest_free_block_is_taken_and_neighbours_merge() -> None:
    memory = allocator()
    blocks = [memory.malloc(n * MIB, 0, None) for n in (4, 6, 2, 8)]
    assert memory.reserved == 20 * MIB
    memory.free(blocks[1])
    memory.free(blocks[2])
    assert memory.malloc(8 * MIB, 0, None).address == blocks[1].address
    assert memory.reserved == 20 * MIB


def test_streams_and_private_pools_do_not_share_blocks() -> None:
    memory = allocator()
    for stream, pool in ((0, None), (7, None), (0, "1,0")):
        memory.free(memory.malloc(20 * MIB, stream, pool))
    assert memory.reserved == 60 * MIB
    memory.release_cached()
    assert memory.reserved == 20 * MIB, "a private pool keeps its memory"


def test_free_segments_are_given_back_before_memory_runs_out() -> None:
    memory = allocator(limit_mib=64)
    memory.free(memory.malloc(40 * MIB, 0, None))
    memory.malloc(50 * MIB, 0, None)
    assert (memory.reserved, memory.retries) == (50 * MIB, 1)
    with pytest.raises(OutOfMemory):
        memory.malloc(20 * MIB, 0, None)


def test_expandable_segments_grow_by_20_mib_and_reuse_holes_that_touch() -> None:
    memory = allocator(EXPANDABLE)
    first, second = memory.malloc(30 * MIB, 0, None), memory.malloc(30 * MIB, 0, None)
    assert memory.reserved == 60 * MIB
    memory.free(first)
    memory.free(second)
    memory.malloc(70 * MIB, 0, None)
    assert memory.reserved == 80 * MIB, "only what is missing is mapped"


def test_expandable_segments_give_back_the_granules_within_a_hole() -> None:
    memory = allocator(EXPANDABLE)
    blocks = [memory.malloc(30 * MIB, 0, None) for _ in range(4)]
    memory.free(blocks[1])
    memory.release_cached()
    assert memory.reserved == 100 * MIB, "of 30 to 60 MiB, 40 to 60 is one granule of 20"
    memory.malloc(30 * MIB, 0, None)
    assert memory.reserved == 120 * MIB


def test_max_split_size_keeps_large_blocks_whole() -> None:
    memory = allocator(AllocatorSettings(max_split=32 * MIB))
    memory.free(memory.malloc(60 * MIB, 0, None))
    memory.malloc(20 * MIB, 0, None)
    assert memory.reserved == 80 * MIB, "20 MiB may not split 60"
    memory.malloc(45 * MIB, 0, None)
    assert memory.reserved == 80 * MIB, "45 may have 60: less than 20 more"


@pytest.mark.parametrize(
    ("requested", "rounded"), [(700, 1024), (1200 * 1024, 1280 * 1024), (5 * MIB + 1, 6 * MIB)]
)
def test_roundup_power2_divisions(requested: int, rounded: int) -> None:
    assert changed(AllocatorSettings(), "roundup_power2_divisions:4").rounded(requested) == rounded


def test_a_collection_threshold_gives_back_old_segments_before_asking_for_more() -> None:
    memory = allocator(AllocatorSettings(collect_above=0.5), limit_mib=100)
    memory.free(memory.malloc(60 * MIB, 0, None))
    memory.malloc(80 * MIB, 0, None)
    assert (memory.reserved, memory.retries) == (80 * MIB, 0)


@given(
    steps=st.lists(st.tuples(st.integers(1, 60 * MIB), st.integers(0, 1), st.booleans()), max_size=60),
    expandable=st.booleans(),
)
@hypothesis_settings(max_examples=80)
def test_blocks_never_overlap_and_reserved_covers_them(
    steps: list[tuple[int, int, bool]], *, expandable: bool
) -> None:
    memory, live = allocator(AllocatorSettings(expandable=expandable)), []
    for requested, stream, release in steps:
        if release and live:
            memory.free(live.pop(requested % len(live)))
            if requested % 3 == 0:
                memory.release_cached()
        else:
            live.append(memory.malloc(requested, stream, None))
    spans = sorted((b.address, b.address + b.size) for b in live)
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
    assert memory.reserved >= sum(b.size for b in live)
    for one in live:
        memory.free(one)
    memory.release_cached()
    assert memory.reserved == 0


def test_settings_are_read_as_pytorch_spells_them_and_as_snapshots_keep_them() -> None:
    conf = "expandable_segments:True, max_split_size_mb:128,roundup_power2_divisions:[2:1,4:2,>:8]"
    found = changed(AllocatorSettings(), conf)
    assert (found.expandable, found.max_split) == (True, 128 * MIB)
    assert found.divisions[:4] == (1, 1, 2, 8)
    kept = {
        "max_split_size": 128 * MIB,
        "roundup_power2_divisions": {"4": 2},
        "garbage_collection_threshold": 0.5,
    }
    assert recorded(kept, expandable=False) == replace(
        AllocatorSettings(max_split=128 * MIB, collect_above=0.5), divisions=(0, 0, 2, *(0,) * 13)
    )


@pytest.mark.parametrize(
    "conf", ["expandable_segment:True", "expandable_segments:yes", "max_split_size_mb:20", "roundup_power2_divisions:3",
             "garbage_collection_threshold:2", "backend:native"]
)  # fmt: skip
def test_what_pytorch_would_refuse_or_cannot_be_tried_is_an_error(conf: str) -> None:
    with pytest.raises(UsageError):
        changed(AllocatorSettings(), conf)


def oversized() -> dict[str, Any]:
    """A segment of 20 MiB for a request of 12 MiB, for which CUDA's allocator makes one of 12 MiB."""
    blocks = [block(BASE, 12 * MIB, 12 * MIB), block(BASE + 12 * MIB, 8 * MIB, 0, "inactive")]
    trace = [entry("segment_alloc", BASE, 20 * MIB, 1), entry("alloc", BASE, 12 * MIB, 2, [USER])]
    return snapshot([segment(BASE, blocks)], trace)


def test_what_is_recorded_must_come_out_first(tmp_path: Path) -> None:
    found = tried(tmp_path, oversized(), "expandable_segments:True")
    assert found.peak_reserved_bytes is None
    assert found.error_share == 0.4
    assert "off by 40.0%" in told(found)


def test_without_history_there_is_nothing_to_replay(tmp_path: Path) -> None:
    found = tried(
        tmp_path, snapshot([segment(BASE, [block(BASE, 2 * MIB, 5)])], []), "expandable_segments:True"
    )
    assert "no history" in told(found)


def test_the_fixtures_leak_runs_out_whatever_the_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["oom", str(FIXTURE), "--what-if", "expandable_segments:True", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["what_if"]
    assert found["error_share"] == 0
    assert found["same_segments_share"] == 1
    assert found["runs_out"] is True
    assert found["recorded_oom"] is True
    assert found["peak_reserved_bytes"] <= found["limit_bytes"]
    assert run(["oom", str(FIXTURE), "--what-if", "expandable_segments:True"]) == 0
    assert "memory would still run out, at entry 1,109" in capsys.readouterr().out


def test_an_unknown_setting_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["oom", str(FIXTURE), "--what-if", "expandable_segment:True"]) == 2
    assert "cannot be tried" in capsys.readouterr().err


def test_a_post_mortem_claims_no_more_than_the_replay_gives() -> None:
    (oom,) = run_analyzers(load(FIXTURE, options=LoadOptions(use_cache=False)))[0]["oom"].rows
    (change,) = [c for c in oom.changes if c.what == "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"]
    assert oom.what_if.runs_out is True
    assert (change.frees_bytes, change.condition) == (
        0,
        "not alone: a replay of this run still runs out of memory",
    )
