"""Two snapshots: what grew; and holders grouped by whatever is known of them, at any time."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from snapshot_files import BASE, LIBRARY, MIB, USER, block, entry, frame, segment, snapshot, write

from traceanalyzer.analyzers.snapshot.diff import SnapshotDiff, compare
from traceanalyzer.analyzers.snapshot.groups import WAYS, grouped
from traceanalyzer.analyzers.snapshot.state import device_states
from traceanalyzer.cli.command_line import run
from traceanalyzer.cli.table import width_of
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.languages import speaking, spoken
from traceanalyzer.pipeline import load

NO_CACHE = LoadOptions(use_cache=False)
FIXTURE = Path(__file__).parents[2] / "fixtures/snapshots/oom.pickle.gz"
CACHE = frame("/app/cache.py", 12, "keep")
START = 1_700_000_000_000_000


def holding(kept: dict[str, int], **rest: Any) -> dict[str, Any]:
    """Blocks of so many MiB that stay, by the name of who allocated them, each 10 µs after the other."""
    lines = {"user": [LIBRARY, USER], "cache": [CACHE, LIBRARY, LIBRARY, USER]}
    trace, blocks, where = [entry("segment_alloc", BASE, 64 * MIB, START)], [], BASE
    for i, (name, mib) in enumerate(kept.items()):
        trace.append(entry("alloc", where, mib * MIB, START + 10 * (i + 1), lines[name], **rest))
        blocks.append(block(where, mib * MIB, mib * MIB, frames=lines[name]))
        where += mib * MIB
    blocks.append(block(where, BASE + 64 * MIB - where, 0, "inactive"))
    marks = [
        {"stage": s, "name": "warm up", "device": 0, "time_us": START + t}
        for s, t in (("START", 5), ("END", 15))
    ]
    return snapshot([segment(BASE, blocks)], trace, marks)


def diff(tmp_path: Path, before: Any, after: Any) -> SnapshotDiff:
    paths = [write(tmp_path / f"{name}.pickle", c) for name, c in (("a", before), ("b", after))]
    return compare(*(load(p, options=NO_CACHE) for p in paths), "end")


def test_what_grew_and_what_is_new_by_line(tmp_path: Path) -> None:
    (device,) = diff(tmp_path, holding({"user": 8}), holding({"user": 6, "cache": 10})).devices
    assert [(r.key, r.change_bytes // MIB, r.before_count, r.after_count) for r in device.rows["line"]] == [
        ("/app/cache.py:12 keep", 10, 0, 1),
        ("/app/train.py:57 train_step", -2, 1, 1),
    ]
    assert device.after["active_bytes"] - device.before["active_bytes"] == 8 * MIB


def test_changes_add_up_to_the_change_of_what_is_active_however_they_are_grouped(tmp_path: Path) -> None:
    (device,) = diff(tmp_path, holding({"user": 8}), holding({"user": 6, "cache": 10})).devices
    assert set(device.rows) == set(WAYS)
    for rows in device.rows.values():
        assert sum(r.change_bytes for r in rows) == 8 * MIB


def test_a_device_that_only_one_shows_is_named_and_not_compared_with_nothing(tmp_path: Path) -> None:
    second = holding({"user": 8})
    second["segments"][0]["device"] = 1
    second["device_traces"] = [[], second["device_traces"][0]]
    found = diff(tmp_path, holding({"user": 8}), second)
    assert (found.devices, found.only_before, found.only_after) == ((), ((0, 0),), ((0, 1),))


def test_stacks_begin_with_the_users_line_and_count_library_frames(tmp_path: Path) -> None:
    (state,) = device_states(load(write(tmp_path / "a.pickle", holding({"cache": 3})), options=NO_CACHE))
    (row,) = grouped(state.holders_at(None), "stack")
    assert row.key == "/app/cache.py:12 keep ← … 2 in libraries ← /app/train.py:57 train_step"
    with speaking("zh"):
        assert spoken(row.key) == "/app/cache.py:12 keep ← … 库中 2 层 ← /app/train.py:57 train_step"


def test_holders_of_one_line_are_told_apart_by_annotation_pool_and_graph(tmp_path: Path) -> None:
    content = holding({"user": 4, "cache": 3}, compile_context="0/0")
    content["segments"][0]["segment_pool_id"] = (1, 0)
    (state,) = device_states(load(write(tmp_path / "a.pickle", content), options=NO_CACHE))
    holders = state.holders_at(None)
    known = {by: {row.key: row.bytes // MIB for row in grouped(holders, by)} for by in WAYS}
    assert known["annotation"] == {"warm up": 4, "no annotation around it, or before the window": 3}
    assert (known["pool"], known["compile"], known["stream"]) == ({"1,0": 7}, {"0/0": 7}, {"0": 7})


def test_any_time_can_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path / "a.pickle", holding({"user": 4, "cache": 3})))
    assert run(["oom", path, "--no-cache", "--at", "15us"]) == 0
    shown = capsys.readouterr().out
    assert "at 15.0 µs" in shown
    assert "train_step" in shown
    assert "keep" not in shown.split("Who holds")[1]
    assert run(["oom", path, "--no-cache", "--at", "soon"]) == 2
    assert "no time such as 12.5ms" in capsys.readouterr().err


def test_segments_are_shown_at_the_same_moment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(write(tmp_path / "a.pickle", holding({"user": 4, "cache": 3})))
    assert run(["oom", path, "--no-cache", "--at", "15us", "--segments"]) == 0
    row = capsys.readouterr().out.split("Segments at 15.0 µs")[1].splitlines()[2]
    assert row.split() == ["0x7f0000000000", "64.0", "MiB", "60.0", "MiB", "1", "0", "0,0", "unknown"]


def test_the_command_tells_what_grew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = (
        str(write(tmp_path / n, c))
        for n, c in (("a.pickle", holding({"user": 8})), ("b.pickle", holding({"user": 8, "cache": 4})))
    )
    assert run(["diff", before, after, "--no-cache"]) == 0
    shown = capsys.readouterr().out
    assert "active     8.00 MiB → 12.0 MiB (+4.00 MiB)" in shown
    assert "+4.00 MiB" in shown.splitlines()[-1]
    assert "/app/cache.py:12 keep" in shown.splitlines()[-1]
    assert run(["diff", before, after, "--no-cache", "--json"]) == 0
    (device,) = json.loads(capsys.readouterr().out)["snapshot_diff"]["devices"]
    assert device["rows"]["module"][0]["change_bytes"] == 4 * MIB


@pytest.mark.parametrize("language", ["en", "zh"])
def test_totals_stand_below_each_other(
    language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.pickle", holding({"user": 2}))
    assert run(["diff", str(path), str(FIXTURE), "--no-cache", "--lang", language]) == 0
    totals = [line for line in capsys.readouterr().out.splitlines() if " → " in line][:4]
    assert len(totals) == 4
    columns = [re.search(r"[\d.,]+ [KMG]?i?B →", line) for line in totals]
    assert {
        width_of(line[: found.start()]) for line, found in zip(totals, columns, strict=True) if found
    } == {13}


@pytest.mark.parametrize("by", ["line", "category"])
def test_categories_are_told_in_the_language(
    by: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "a.pickle", holding({"user": 2}))
    assert run(["diff", str(path), str(FIXTURE), "--no-cache", "--lang", "zh", "--by", by]) == 0
    shown = capsys.readouterr().out
    assert "优化器状态" in shown
    assert "optimizer" not in shown


def test_one_input_is_not_enough(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["diff", str(FIXTURE)]) == 2
    assert "two inputs" in capsys.readouterr().err
