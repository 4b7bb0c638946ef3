"""Loops of which only memory was recorded: what they keep, where they begin, and how long it takes to tell."""

from __future__ import annotations

import tracemalloc
from time import process_time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa
import pytest
from memory_situations import FREED, START, steps
from snapshot_files import BASE, MIB, block, entry, frame, segment, snapshot, write

from traceanalyzer.analyzers.snapshot.rounds import caches, rounds
from traceanalyzer.analyzers.snapshot.stacks import StackTable
from traceanalyzer.analyzers.snapshot.state import device_states
from traceanalyzer.pipeline import analyze, load

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.analyzers.snapshot.device import DeviceState

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


def state_of(stack: np.ndarray[Any, Any], parent: list[int], names: list[str]) -> DeviceState:
    """One allocation per stack given, the first of them released; a frame for each row of the tree of stacks."""
    rows = pa.array(np.arange(len(parent)))
    trace = SimpleNamespace(
        stacks=pa.table({"parent": pa.array(parent), "frame": rows}),
        frames=pa.table({"name": names, "file": ["/app/model.py"] * len(names), "line": rows}),
    )
    positions = {"alloc": np.arange(len(stack)), "free_completed": np.zeros(1, np.int64)}
    found = SimpleNamespace(
        rows=positions["alloc"], stack=stack, positions=positions.get, stacks=StackTable(cast("Any", trace))
    )
    return cast("DeviceState", found)


@pytest.mark.parametrize("within", ["forward", "main"])
def test_a_million_entries_of_twenty_thousand_stacks_take_a_moment(within: str) -> None:
    depth, kinds = 60, 20_000
    parent = [*range(-1, depth - 1), *[depth - 1] * kinds]
    names = [within, *["call"] * (depth + kinds - 1)]
    state = state_of(depth + np.tile(np.arange(kinds), 50), parent, names)
    began = process_time()
    number = rounds(state)
    assert process_time() - began < 3
    assert number.max() == (-1 if within == "forward" else 49)


def growing_batches(marked: str = "") -> dict[str, Any]:
    """Five times the same twelve requests, the last time for twice the bytes, of which the last does not fit.

    Args:
        marked: "ended" for steps that all have an end, "cut off" for a last one without.
    """
    lines = [[frame("/app/train.py", 10 + i, "step")] for i in range(12)]
    trace, marks, time = [entry("segment_alloc", BASE, 100 * MIB, START)], list[dict[str, Any]](), START + 1
    for i in range(5):
        mark = {"name": f"ProfilerStep#{i}", "device": 0}
        marks.append({"stage": "START", "time_us": time, **mark})
        size, where, made = (8 if i == 4 else 4) * MIB, BASE, []
        for line in lines[: 11 if i == 4 else 12]:
            trace.append(entry("alloc", where, size, time, line))
            made.append(where)
            where, time = where + size, time + 1
        if i < 4:
            trace += [entry(action, at, size, time) for at in made for action in FREED]
        else:
            trace.append(entry("oom", 0, 8 * MIB, time, lines[-1]))
        time += 1
        if i < 4 or marked == "ended":
            marks.append({"stage": "END", "time_us": time, **mark})
    blocks = [block(at, 8 * MIB, 8 * MIB, frames=line) for at, line in zip(made, lines, strict=False)]
    segments = [segment(BASE, [*blocks, block(where, 12 * MIB, 0, "inactive")])]
    return snapshot(segments, trace, marks if marked else [])


def test_the_rounds_before_an_error_begin_with_the_first_line_of_the_loop(tmp_path: Path) -> None:
    (state,) = device_states(load(write(tmp_path / "s.pickle", growing_batches())))
    made = state.positions("alloc")
    assert state.loop[made].tolist() == [*np.repeat(range(4), 12), *[-1] * 11]


@pytest.mark.parametrize(
    ("marked", "before"),
    [("", "round of their loop before"), ("ended", "step before"), ("cut off", "step before")],
)
def test_a_step_that_asks_for_more_than_the_one_before_is_why_it_does_not_fit(
    tmp_path: Path, marked: str, before: str
) -> None:
    (oom,) = analyze(load(write(tmp_path / "s.pickle", growing_batches(marked))))["oom"].rows
    cause = oom.causes[0]
    assert (cause.name, cause.bytes) == ("larger_step", 11 * 4 * MIB)
    assert f"2.0 times as much as in the {before}, " in cause.evidence
