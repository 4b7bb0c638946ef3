"""Loops of which only memory was recorded: what they keep, where they begin, and how long it takes to tell."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from memory_situations import FREED, START, steps
from snapshot_files import BASE, MIB, block, entry, frame, segment, snapshot, write

from traceanalyzer.analyzers.snapshot_rounds import caches
from traceanalyzer.pipeline import analyze, load

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.analyzers.snapshot_device import DeviceState

FORWARD = [frame("/app/model.py", 12, "forward"), frame("/app/train.py", 5, "main")]


def forward_of_steps(*, replaces: bool) -> dict[str, Any]:
    """Each step makes a temporary and 4 MiB that stay, or a block 4 MiB larger than the one it releases."""
    trace, kept, where = [entry("segment_alloc", BASE, 400 * MIB, START)], [], BASE + 8 * MIB
    for i in range(8):
        at, size = START + i * 100 + 10, 4 * MIB * (i + 1 if replaces else 1)
        trace += [entry("alloc", BASE, 4 * MIB, at, FORWARD), entry("alloc", where, size, at + 1, FORWARD)]
        gone = [(BASE, 4 * MIB), *(kept if replaces else [])]
        trace += [entry(action, *old, at + 2, FORWARD) for old in gone for action in FREED]
        kept = [*([] if replaces else kept), (where, size)]
        where += size
    blocks = [block(address, size, size, frames=FORWARD) for address, size in kept]
    before = block(BASE, kept[0][0] - BASE, 0, "inactive")
    behind = block(where, BASE + 400 * MIB - where, 0, "inactive")
    return snapshot([segment(BASE, [before, *blocks, behind])], trace, steps(8))


def codes_of(tmp_path: Path, content: dict[str, Any]) -> set[str]:
    return {finding.code for finding in analyze(load(write(tmp_path / "s.pickle", content))).findings}


def test_a_line_that_keeps_what_it_makes_leaks_though_it_releases_temporaries(tmp_path: Path) -> None:
    found = codes_of(tmp_path, forward_of_steps(replaces=False))
    assert "MEM002" in found
    assert "MEM003" not in found


def test_a_line_that_replaces_what_it_held_by_something_larger_is_a_cache(tmp_path: Path) -> None:
    found = codes_of(tmp_path, forward_of_steps(replaces=True))
    assert "MEM003" in found
    assert "MEM002" not in found


def test_telling_caches_takes_memory_for_the_blocks_and_not_for_every_moment_of_each() -> None:
    count = 100_000
    numbers = np.arange(count)
    state = SimpleNamespace(
        loop=numbers // 100,
        alloc=numbers,
        completed=numbers + 50,
        block_stack=np.zeros(count, np.int64),
        block_requested=np.full(count, 512, np.int64),
        categories=SimpleNamespace(of_stack=lambda _: ("activations", "")),
    )
    tracemalloc.start()
    caches(cast("DeviceState", state))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 12 * numbers.nbytes
