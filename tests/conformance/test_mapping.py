"""`--mapping` on a recorded pair: one program with CUDA graphs on a V100, and without on an A100.

Products have other names on another GPU; they must stay unmatched. The recording with graphs also launched many of the
same kernels outside of them: what their ops are there is the answer to check with.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

import traceanalyzer as ta
from traceanalyzer.model.mapping import Match

from .corpus import NO_CACHE, needs_corpus, path_of

if TYPE_CHECKING:
    from traceanalyzer.model.trace import Trace

KERNEL_OF = {"aten::sub": "aten::add", "aten::clamp_min": "aten::clamp"}


@cache
def mapped() -> Trace:
    return ta.pipeline.load(path_of("diff/test"), options=NO_CACHE, mapping=path_of("diff/control"))


@needs_corpus
def test_every_kernel_that_both_programs_ran_is_found_and_no_other() -> None:
    trace = mapped()
    assert trace.mapping is not None
    in_graph = np.array(trace.kernels["link"].to_pylist()) == "graph"
    assert in_graph.sum() == 4464
    theirs = set(trace.mapping.trace.kernels["name"].to_pylist())
    shared = np.array([name in theirs for name in trace.kernels["name"].to_pylist()])
    found = trace.mapping.how[in_graph] != Match.NONE
    assert (found == shared[in_graph]).all()
    assert 3100 < found.sum() < 3200
    assert not any("sgemm" in name for name in np.array(trace.kernels["name"].to_pylist())[in_graph][found])


@needs_corpus
def test_the_ops_are_those_of_the_same_launches_outside_of_the_graph() -> None:
    """Of kernels that one op alone launched there; `KERNEL_OF` names ops that launch the same kernel."""
    trace = mapped()
    assert trace.mapping is not None
    ops, second = trace.ops["name"].to_pylist(), trace.mapping.trace
    their_ops, their_op = second.ops["name"].to_pylist(), second.kernels["op"].to_pylist()
    known: dict[tuple[str, tuple[int, ...]], set[str]] = defaultdict(set)
    asked = []
    columns = (trace.kernels[c].to_pylist() for c in ("name", "grid", "link", "op"))
    for i, (name, grid, link, op) in enumerate(zip(*columns, strict=True)):
        if link != "graph" and op is not None:
            known[name, tuple(grid)].add(ops[op])
        elif link == "graph" and trace.mapping.how[i] >= Match.GRID:
            asked.append((name, tuple(grid), their_ops[their_op[trace.mapping.kernel[i]]]))
    answers = [(op, known[name, grid]) for name, grid, op in asked if len(known.get((name, grid), ())) == 1]
    assert len(answers) > 500
    assert [a for a in answers if _kernel_of(a[0]) not in map(_kernel_of, a[1])] == []


def _kernel_of(op: str) -> str:
    plain = op.removesuffix("_")
    return KERNEL_OF.get(plain, plain)


@needs_corpus
def test_the_report_says_which_share_was_found() -> None:
    analysis = ta.analyze(mapped())
    rows = analysis["mapping"].rows
    assert {row.how for row in rows} >= {"order", "grid", "name", "none"}
    assert 0.35 < analysis["mapping"].matched < 0.45
    assert analysis["roofline"].coverage.mapping > 0.08
