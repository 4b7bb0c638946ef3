"""Prefill and decode: the ranges in which a serving engine or a generate loop runs one or the other."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints, texts

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

PREFILL, DECODE, MIXED = range(3)
# vLLM: execute_context_1(888_788544)_generation_0(0), execute_32_context_0(…)_generation_32(…): requests of each kind.
_VLLM = re.compile(r"execute_(?:\d+_)?context_(\d+)\(.*?\)_generation_(\d+)\(")
# SGLang's forward modes, and what programs call their own ranges.
_PREFILL = re.compile(r"(?:^|[^a-z])(?:prefill|extend)(?:$|[^a-z])", re.IGNORECASE)
_DECODE = re.compile(r"(?:^|[^a-z])decode(?:$|[^a-z])", re.IGNORECASE)
# Functions that run a whole batch in one phase: SGLang's model runner, and functions that a program names so.
_FUNCTIONS = {"forward_extend": PREFILL, "prefill": PREFILL, "forward_decode": DECODE, "decode_one": DECODE,
              "decode_step": DECODE, "decode_one_token": DECODE}  # fmt: skip
_LOOPS = frozenset({"_sample", "_greedy_search", "greedy_search", "_beam_search"})  # transformers' generate


@dataclass(frozen=True)
class Ranges:
    """Host ranges of one phase each, sorted by rank and start, none inside another; shape (ranges,)."""

    rank: Ints
    start: Ints
    end: Ints
    phase: Ints

    def of(self, rank: Ints, at: Ints) -> Ints:
        """The phase at each time on its rank, -1 outside all ranges."""
        found = np.full(len(at), -1, np.int64)
        for r in np.unique(self.rank).tolist():
            mine, own = rank == r, self.rank == r
            index = np.searchsorted(self.start[own], at[mine], side="right") - 1
            inside = (index >= 0) & (at[mine] < self.end[own][index])
            found[mine] = np.where(inside, self.phase[own][index], -1)
        return found


def phase_of(name: str) -> int | None:
    """The phase that the name of a range tells; None for most names."""
    batch = _VLLM.search(name)
    if batch:
        context, generation = (int(n) for n in batch.groups())
        if context and generation:
            return MIXED
        return PREFILL if context else DECODE if generation else None
    prefill, decode = _PREFILL.search(name), _DECODE.search(name)
    if prefill and decode:
        return MIXED
    return PREFILL if prefill else DECODE if decode else None


def serving_ranges(trace: Trace) -> Ranges:
    """From annotations; where there are none, from functions; else from transformers' generate loops."""
    annotations = trace.annotations
    codes, names = texts(annotations, "name")
    told = np.array([*(-1 if (p := phase_of(n)) is None else p for n in names), -1])[codes]
    on_gpu = np.asarray(annotations.column("on_gpu").combine_chunks().fill_null(False))
    found = _outermost(annotations, np.flatnonzero((told >= 0) & ~on_gpu), told)
    if len(found.phase) or not trace.python_calls.num_rows:
        return found
    codes, names = texts(trace.python_calls, "function")
    told = np.array([*(_FUNCTIONS.get(n, -1) for n in names), -1])[codes]
    found = _outermost(trace.python_calls, np.flatnonzero(told >= 0), told)
    return found if len(found.phase) else _generate_loops(trace)


def _generate_loops(trace: Trace) -> Ranges:
    """Within the loop the first call of the model is prefill, the others decode."""
    calls = trace.python_calls
    codes, names = texts(calls, "function")
    files, paths = texts(calls, "file")
    loop = np.array([*(n in _LOOPS for n in names), False])[codes]
    loop &= np.array([*(p.endswith("generation/utils.py") for p in paths), False])[files]
    codes, names = texts(calls, "name")
    module = np.array([*(n.startswith("nn.Module: ") for n in names), False])[codes]
    parent = ints(calls, "parent")
    called = np.flatnonzero(module & (parent >= 0) & loop[parent]) if len(parent) else np.zeros(0, np.int64)
    told = np.full(calls.num_rows, DECODE, np.int64)
    _, first = np.unique(parent[called], return_index=True)
    told[called[first]] = PREFILL
    return _outermost(calls, called, told)


def _outermost(table: pa.Table, rows: Ints, told: Ints) -> Ranges:
    """The ranges of these rows that lie in no other of them."""
    rank, start = ints(table, "rank")[rows], ints(table, "ts")[rows]
    end = start + np.maximum(ints(table, "dur", 0)[rows], 0)
    keep = np.ones(len(rows), np.bool_)
    for r in np.unique(rank).tolist():
        mine = np.flatnonzero(rank == r)
        reached = np.maximum.accumulate(end[mine])
        keep[mine[1:]] = start[mine][1:] >= reached[:-1]
    return Ranges(rank[keep], start[keep], end[keep], told[rows][keep])
