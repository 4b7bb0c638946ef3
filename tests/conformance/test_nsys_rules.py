"""Our tables of the rules of `nsys analyze` against those of nsys 2026.2, row by row."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from traceanalyzer.analyzers.nsys import rules as nsys_rules

from .corpus import needs_corpus
from .nsys import answer, load, same

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceanalyzer.analyzers.nsys.tables import StatsTable
    from traceanalyzer.model.trace import Trace

RULES = {
    "analyze_cuda_memcpy_async": nsys_rules.cuda_memcpy_async,
    "analyze_cuda_api_sync": nsys_rules.cuda_api_sync,
    "analyze_gpu_gaps_gap=1": partial(nsys_rules.gpu_gaps, gap_ns=1_000_000),
    "analyze_gpu_time_util_threshold=90": partial(nsys_rules.gpu_time_util, percent=90),
}


@needs_corpus
@pytest.mark.parametrize("name", ["h100x2_train", "t4_cupy"])
@pytest.mark.parametrize("rule", RULES)
def test_equal_to_nsys_analyze(name: str, rule: str) -> None:
    """Rows of equal duration have no order of their own: they are compared by their start."""
    table: Callable[[Trace], StatsTable] = RULES[rule]
    ours = table(load(name))
    theirs = answer(name, rule)
    assert theirs is not None
    start = ours.columns.index("Start (ns)")
    by_start = sorted(ours.rows, key=lambda row: (row[start], row))
    wanted = sorted(theirs, key=lambda row: (int(row["Start (ns)"]), int(row["PID"])))
    assert len(by_start) == len(wanted)
    wrong = [
        (column, value, other[column])
        for row, other in zip(by_start, wanted, strict=True)
        for column, value in zip(ours.columns, row, strict=True)
        if not same(value, other[column])
    ]
    assert wrong == []
