"""Of several ranks, what is known of some of them only is named; and which ranks were not given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from traceanalyzer import analyze, load
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.reporters import render

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Event = dict[str, Any]
NO_CACHE = LoadOptions(use_cache=False)


def a_rank(rank: int) -> list[Event]:
    """Two steps, each with an op, a kernel and a collective."""
    host, device = {"pid": 10 + rank, "tid": 1}, {"pid": 0, "tid": 7}
    events = []
    for step in range(2):
        at, number = 1000 * step, 10 * step + 1
        ids = {"External id": number, "correlation": number}
        shaped = {**ids, "Input Dims": [[2, 2]]}
        name = "ncclDevKernel_AllReduce_Sum_f32_RING_LL"
        events += [
            {"cat": "user_annotation", "name": f"ProfilerStep#{step}", "ts": at, "dur": 999, **host},
            {"cat": "cpu_op", "name": "aten::mm", "ts": at + 5, "dur": 20, "args": shaped, **host},
            {"cat": "cuda_runtime", "name": "cudaLaunchKernel", "ts": at + 6, "dur": 5, "args": ids, **host},
            {"cat": "kernel", "name": "gemm", "ts": at + 20, "dur": 500, "args": ids, **device},
            {"cat": "kernel", "name": name, "ts": at + 520, "dur": 300, "args": {"correlation": 999}, **device},
        ]  # fmt: skip
    return [{"ph": "X", **event} for event in events]


def written(folder: Path, ranks: Sequence[list[Event]], size: int) -> Path:
    for rank, events in enumerate(ranks):
        header = {"baseTimeNanoseconds": 1, "distributedInfo": {"rank": rank, "world_size": size}}
        (folder / f"rank{rank}.json").write_text(json.dumps({**header, "traceEvents": events}))
    return folder


def told(folder: Path) -> list[tuple[str, str]]:
    """What is said of ranks, besides that nobody recorded their process groups."""
    analysis = analyze(load(folder, options=NO_CACHE))
    quality = json.loads(render(analysis, "json"))["quality"]
    assert all(q["message"] in render(analysis, "markdown") for q in quality)
    return [
        (q["level"], q["message"])
        for q in quality
        if "rank" in q["message"] and "process groups" not in q["message"]
    ]


@pytest.mark.parametrize(
    ("kept", "message"),
    [
        (lambda e: e["cat"] != "kernel", "Not recorded of rank 1: work on an accelerator"),
        (lambda e: e["cat"] != "user_annotation", "Not recorded of rank 1: steps"),
        (lambda e: e["cat"] != "cpu_op", "Not recorded of rank 1: input shapes"),
    ],
)
def test_what_one_rank_lacks_is_named(tmp_path: Path, kept: Callable[[Event], bool], message: str) -> None:
    folder = written(tmp_path, [a_rank(0), list(filter(kept, a_rank(1)))], 2)
    ((level, said),) = told(folder)
    assert level == "missing"
    assert said.startswith(f"{message};")


def test_a_rank_of_which_nothing_was_recorded_is_named(tmp_path: Path) -> None:
    assert told(written(tmp_path, [a_rank(0), []], 2)) == [("partial", "Of rank 1 nothing was recorded")]


def test_ranks_that_were_not_given_are_counted(tmp_path: Path) -> None:
    ((level, said),) = told(written(tmp_path, [a_rank(0), a_rank(1)], 4))
    assert (level, said) == ("info", "2 of 4 ranks were given: whether others hold them up is not known")


def test_of_ranks_that_were_recorded_alike_nothing_is_said(tmp_path: Path) -> None:
    assert told(written(tmp_path, [a_rank(0), a_rank(1)], 2)) == []
