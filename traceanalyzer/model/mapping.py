"""A second trace of the same program tells what the kernels of the first belong to.

Inside a CUDA graph every kernel carries the one launch of the graph. A run of the same program with graphs off, or
the trace of their capture, has the same kernels with an op each. A kernel is matched with one of the second trace by
name, grid and block, in the same neighbourhood of other kernels, as often seen before in its launch (or step) as
there; where that fails by name, grid and block alone, then by name alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints, texts, triples
from traceanalyzer.model.join import codes_of, first_match

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

NEIGHBOURS = ((8, 8), (8, 0), (0, 8))
"""How many kernels before and after must agree: a decoder's layer has about ten, and a graph has two ends."""


class Match(IntEnum):
    """How a kernel was found in the second trace."""

    NONE = 0
    NAME = 1
    GRID = 2
    ORDER = 3


@dataclass(frozen=True)
class Attribution:
    """The second trace, linked, and for each kernel of the first, shape (kernels,), what was found in it.

    `wanted` says whether the kernel needed it: it lies in a CUDA graph or has no op. `kernel` is the row in the
    second trace's `kernels`, -1 for none; `how` holds `Match`.
    """

    trace: Trace
    wanted: NDArray[np.bool_]
    kernel: Ints
    how: Ints


def attribute(trace: Trace, second: Trace) -> Attribution:
    """Match the kernels of a linked trace that lie in a CUDA graph or have no op with those of another."""
    link, links = texts(trace.kernels, "link")
    in_graph = np.array([*(name == "graph" for name in links), False])[link]
    needs = in_graph | (ints(trace.kernels, "op") < 0)
    wanted = np.flatnonzero(needs)
    link, links = texts(second.kernels, "link")
    known = np.array([*(name in ("nesting", "external_id", "flow") for name in links), False])[link]
    have = np.flatnonzero(known & (ints(second.kernels, "op") >= 0))
    kernel, how = np.full(trace.kernels.num_rows, -1, np.int64), np.zeros(trace.kernels.num_rows, np.int64)
    if len(wanted) and len(have):
        left, right = _Sequence(trace, wanted, "api_call"), _Sequence(second, have, "step")
        name, signature = _codes(left, right)
        levels = ((signature, n, Match.ORDER) for n in NEIGHBOURS)
        for code, neighbours, match in (*levels, (signature, None, Match.GRID), (name, None, Match.NAME)):
            lost = np.flatnonzero(kernel[left.rows] < 0)
            found = _found(left, right, code, neighbours)[lost]
            kernel[left.rows[lost]] = np.where(found >= 0, right.rows[found], -1)
            how[left.rows[lost[found >= 0]]] = match
    return Attribution(second, needs, kernel, how)


class _Sequence:
    """Kernels in the order of their start within each run of a graph or step: `rows` in `kernels`, `run` of each."""

    def __init__(self, trace: Trace, rows: Ints, run: str) -> None:
        table = trace.kernels
        run_of, rank = ints(table, run)[rows], ints(table, "rank")[rows]
        order = np.lexsort((rows, ints(table, "ts")[rows], run_of, rank))
        self.table, self.rows = table, rows[order]
        self.run = codes_of(rank[order], run_of[order])


def _codes(left: _Sequence, right: _Sequence) -> tuple[Ints, Ints]:
    """One numbering, over both sequences, of names, and of names with grid and block."""
    numbers: dict[str, int] = {}
    names, shapes = [], []
    for side in (left, right):
        code, words = texts(side.table, "name")
        numbered = np.array([numbers.setdefault(word, len(numbers)) for word in words] + [-1], np.int64)
        names.append(numbered[code[side.rows]])
        shapes.append(np.hstack([triples(side.table, c)[side.rows] for c in ("grid", "block")]))
    name = np.concatenate(names)
    return name, codes_of(name, *np.concatenate(shapes).T)


def _found(left: _Sequence, right: _Sequence, code: Ints, neighbours: tuple[int, int] | None) -> Ints:
    """For each kernel on the left the index on the right, -1 for none."""
    size = len(left.rows)
    run = np.concatenate((left.run, right.run + int(left.run.max()) + 1))
    context = code if neighbours is None else _context(code, run, *neighbours)
    count = _seen_before(context, run)
    found = first_match((context[:size], count[:size]), (context[size:], count[size:]))
    if neighbours is not None:
        return found
    anyhow = first_match((context[:size],), (context[size:],))
    return np.where(found >= 0, found, anyhow)


def _context(code: Ints, run: Ints, before: int, after: int) -> Ints:
    """One number per combination of a kernel and its neighbours in its run."""
    parts = [code]
    for distance in (*range(-before, 0), *range(1, after + 1)):
        at = np.arange(len(code)) + distance
        inside = (at >= 0) & (at < len(code))
        at = np.where(inside, at, 0)
        parts.append(np.where(inside & (run[at] == run), code[at], -1))
    return codes_of(*parts)


def _seen_before(code: Ints, run: Ints) -> Ints:
    """How often each value occurred before in its run."""
    group = codes_of(run, code)
    order = np.argsort(group, kind="stable")
    first = np.flatnonzero(np.diff(group[order], prepend=-1))
    place = np.arange(len(order)) - np.repeat(first, np.diff(first, append=len(order)))
    result = np.empty(len(order), np.int64)
    result[order] = place
    return result
