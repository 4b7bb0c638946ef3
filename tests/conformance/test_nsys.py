"""Our tables against those of `nsys stats`, on exports of nsys 2021 to 2026."""

from __future__ import annotations

import pytest

from traceanalyzer.analyzers.nsys.stats import STATS
from traceanalyzer.analyzers.nsys.tables import cuda_api_sum, cuda_kern_exec_sum

from .corpus import needs_corpus
from .nsys import BACKTRACES, EXPORTS, answer, differences, key, load

COUNT_CALLS = (cuda_api_sum, cuda_kern_exec_sum)
CASES = [
    pytest.param(name, table, id=f"{name}-{table.__name__}")
    for name in EXPORTS
    for table in STATS
    if answer(name, table.__name__) is not None and not (name in BACKTRACES and table in COUNT_CALLS)
]


@needs_corpus
@pytest.mark.parametrize(("name", "table"), CASES)
def test_equal_to_nsys(name: str, table) -> None:  # type: ignore[no-untyped-def]
    theirs = answer(name, table.__name__)
    assert theirs is not None
    assert differences(table(load(name)), theirs)[:5] == []


@needs_corpus
@pytest.mark.parametrize("name", sorted(BACKTRACES))
def test_calls_that_nsys_counts_twice_count_once(name: str) -> None:
    theirs = answer(name, "cuda_api_sum")
    assert theirs is not None
    ours = {row[8]: row for row in cuda_api_sum(load(name)).rows}
    same = {r["Name"] for r in theirs if int(r["Total Time (ns)"]) == ours[key({"Name": r["Name"]})[0]][1]}
    assert {key({"Name": n})[0] for n in same} == set(ours)
    launches = answer(name, "cuda_kern_exec_sum")
    assert launches is not None
    counts = {row[-1]: row[3] for row in cuda_kern_exec_sum(load(name)).rows}
    assert {r["Kernel Name"]: int(r["Count"]) for r in launches} == {k: 2 * n for k, n in counts.items()}
