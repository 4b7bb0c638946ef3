"""The cost of every kernel: the cost of the op that launched it, shared between the kernels of that op.

An op's cost is found once per distinct call (name, shapes, types, strides, values), never per row. Which call a
kernel belongs to is tried in this order; `Source` says which one it was:

- shapes: the op that launched it has a formula and recorded shapes;
- replayed: no formula knows it, but PyTorch on its meta device does (`cost/meta.py`);
- around: an op around that one has, and nothing inside it has a cost of its own;
- forward: the op computes the gradient of a product or of attention with a cost; twice that is taken;
- experts: kernels of a fused mixture of experts, from the shapes around them and their grids (`cost/moe.py`);
- signature, ambiguous: no op is known, but the same kernel with the same grid and block was launched by an op
  elsewhere in the trace; ambiguous when by different calls, then the one whose duration is nearest is taken;
- mapping: a second trace of the program launched the same kernel with the same grid and block by an op.

When an op launches several kernels they share its cost in proportion to their time, so that all show the op's
own efficiency. For products, convolutions and attention only the kernels that do the product share it; layout
changes, fills and split-K reductions beside them have no cost. Kernels of a CUDA graph have no op of their own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.cost.call import parse_call
from traceanalyzer.cost.experts import with_experts
from traceanalyzer.cost.formulas import cost_of, has_formula
from traceanalyzer.cost.kernel_costs import Costed, KernelCosts, Source
from traceanalyzer.cost.meta import WORTHWHILE, costs_on_meta, may_know
from traceanalyzer.cost.names import does_products
from traceanalyzer.cost.signatures import recovered
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.mapping import Match

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.cost.kernel_costs import Floats, Ints
    from traceanalyzer.cost.meta import Recorded
    from traceanalyzer.model.trace import Trace

BACKWARD = 2.0  # gradients of both factors: two products where the forward pass has one


def kernel_costs(trace: Trace) -> KernelCosts:
    """The cost of every kernel of a linked trace."""
    kernels = trace.kernels
    op = ints(kernels, "op")
    how, hows = texts(kernels, "link")
    op = np.where(np.isin(how, [i for i, h in enumerate(hows) if h == "graph"]), -1, op)
    weight = np.maximum(ints(kernels, "dur", 0), 1)
    ops = _OpCosts(trace, op, weight)
    owner, source = ops.owners(op)
    call = np.where(owner >= 0, ops.call[owner], -1) if len(ops.call) else np.full(len(op), -1, np.int64)
    gradient = source == Source.FORWARD
    call[gradient] = ops.backward_of(call[gradient])
    calls = tuple(ops.calls)
    group = np.where(gradient, op, owner)  # the gradient's kernels are its own, not the forward op's
    share = _shares(trace, group, call, weight, calls)
    known = ~np.isnan(share)
    call, source = np.where(known, call, -1), np.where(known, source, Source.NONE)
    whole = np.array([(c.cost.flops, c.cost.bytes) for c in calls] + [(np.nan, np.nan)], np.float64)
    flops, moved = (whole[call, i] * np.where(known, share, np.nan) for i in (0, 1))
    costs = KernelCosts(flops, moved, whole[call, 1], call, source, calls)
    return _carried(trace, recovered(trace, with_experts(trace, op, costs), op, weight))


def _carried(trace: Trace, costs: KernelCosts) -> KernelCosts:
    """The costs with those of the same kernels, with the same grid, in a second trace of the program."""
    mapping = trace.mapping
    if mapping is None:
        return costs
    theirs = kernel_costs(mapping.trace)
    if not theirs.calls:
        return costs
    unsure = (costs.call < 0) | (costs.source == Source.AMBIGUOUS)
    at = np.where((mapping.how >= Match.GRID) & unsure, mapping.kernel, -1)
    new = (at >= 0) & (theirs.call[at] >= 0)
    return KernelCosts(
        np.where(new, theirs.flops[at], costs.flops),
        np.where(new, theirs.bytes[at], costs.bytes),
        np.where(new, theirs.whole_bytes[at], costs.whole_bytes),
        np.where(new, theirs.call[at] + len(costs.calls), costs.call),
        np.where(new, int(Source.MAPPING), costs.source),
        costs.calls + theirs.calls,
    )


class _OpCosts:
    """The cost of ops that launch kernels, and of the ops around them; one formula per distinct call."""

    def __init__(self, trace: Trace, op: Ints, weight: Ints) -> None:
        self.parent, self.forward = ints(trace.ops, "parent"), ints(trace.ops, "forward")
        self.calls: list[Costed] = []
        self.replayed: list[int] = []  # the calls whose cost PyTorch told
        self.call = np.full(trace.ops.num_rows, -1, np.int64)
        self._backward: dict[int, int] = {}
        if not trace.ops.num_rows:
            return
        launches = np.zeros(len(self.call), np.bool_)
        launches[op[op >= 0]] = True
        wanted = launches | self._ancestors(np.flatnonzero(launches))
        forward = self.forward[wanted]
        wanted[forward[forward >= 0]] = True
        time = np.bincount(op[op >= 0], weight[op >= 0], len(self.call)).astype(np.float64)
        self._evaluate(trace.ops, np.flatnonzero(wanted), time, *self._main_kernels(trace, op, weight))
        # holds an op that has a cost and launches kernels
        self.inside = self._ancestors(np.flatnonzero(launches & (self.call >= 0)))

    def _ancestors(self, rows: Ints) -> NDArray[np.bool_]:
        """Which ops are around these."""
        found = np.zeros(len(self.parent), np.bool_)
        while len(rows):
            rows = self.parent[rows]
            rows = rows[rows >= 0]
            rows = rows[~found[rows]]
            found[rows] = True
        return found

    def _main_kernels(self, trace: Trace, op: Ints, weight: Ints) -> tuple[Ints, list[str]]:
        """Code of the longest kernel's name by op row, -1 for none: it tells the type of lists of tensors."""
        codes, names = texts(trace.kernels, "name")
        main = np.full(trace.ops.num_rows, -1, np.int64)
        launched = np.flatnonzero((op >= 0) & (codes >= 0))
        launched = launched[np.argsort(weight[launched], kind="stable")]
        main[op[launched]] = codes[launched]  # the last one, the longest, stays
        return main, names

    def _evaluate(self, ops: pa.Table, rows: Ints, time: Floats, main: Ints, kernels: list[str]) -> None:
        texts_of = [
            texts(ops, c) for c in ("name", "input_dims", "input_types", "input_strides", "concrete_inputs")
        ]
        key = codes_of(*(codes[rows].astype(np.int64) for codes, _ in texts_of)) if len(rows) else rows
        _, first, which = np.unique(key, return_index=True, return_inverse=True)
        numbers = np.full(len(first), -1, np.int64)
        unknown: list[tuple[int, Recorded]] = []
        for i, row in enumerate(rows[first].tolist()):
            name, dims, types, strides, values = (
                words[codes[row]] if codes[row] >= 0 else None for codes, words in texts_of
            )
            kernel = kernels[main[row]] if main[row] >= 0 else ""
            call = parse_call(name or "", dims, types, strides, values, kernel)
            cost = None if call is None else cost_of(call)
            if cost is not None:
                numbers[i] = len(self.calls)
                self.calls.append(Costed(name or "", dims, types, cost))
            elif call is not None and not has_formula(call.name):
                unknown.append((i, (name or "", dims, types, strides, values)))
        if unknown:
            self._replay(
                unknown,
                np.bincount(which, time[rows], len(first)).astype(np.float64),
                float(time.sum()),
                numbers,
            )
        self.call[rows] = numbers[which] if len(rows) else -1

    def _replay(self, unknown: list[tuple[int, Recorded]], time: Floats, whole: float, numbers: Ints) -> None:
        """What no formula knows and launches kernels itself, by PyTorch on its meta device."""
        worth = [u for u in unknown if time[u[0]] > 0 and may_know(u[1])]
        asked = sorted(worth, key=lambda u: (-time[u[0]], u[0]))
        if sum(time[i] for i, _ in asked) < WORTHWHILE * whole:
            return
        for (i, recorded), cost in zip(asked, costs_on_meta([r for _, r in asked]), strict=True):
            if cost is not None:
                numbers[i] = len(self.calls)
                self.replayed.append(len(self.calls))
                self.calls.append(Costed(*recorded[:3], cost))

    def owners(self, op: Ints) -> tuple[Ints, Ints]:
        """For each kernel the op whose cost it bears (-1: none), and how it was found."""
        owner, source = np.full(len(op), -1, np.int64), np.full(len(op), int(Source.NONE), np.int64)
        if not len(self.call):
            return owner, source
        at = op.copy()
        direct = (at >= 0) & (self.call[at] >= 0)
        owner[direct], source[direct] = at[direct], Source.SHAPES
        source[direct & np.isin(np.where(at >= 0, self.call[at], -1), self.replayed)] = Source.REPLAYED
        lost = np.flatnonzero((at >= 0) & ~direct)
        climbing = self.parent[at[lost]]
        while (climbing >= 0).any():
            good = (climbing >= 0) & (self.call[climbing] >= 0) & ~self.inside[climbing]
            owner[lost[good]], source[lost[good]] = climbing[good], Source.AROUND
            lost, climbing = lost[~good], climbing[~good]
            climbing = np.where(climbing >= 0, self.parent[climbing], -1)
        lost = np.flatnonzero((op >= 0) & (owner < 0))
        forward = self.forward[op[lost]]
        matrix = np.array([c.cost.matrix for c in self.calls] + [False])
        good = (forward >= 0) & matrix[self.call[forward]]
        owner[lost[good]], source[lost[good]] = forward[good], Source.FORWARD
        return owner, source

    def backward_of(self, calls: Ints) -> Ints:
        """The numbers of calls that cost twice as much as these."""
        for number in np.unique(calls).tolist():
            if number in self._backward:
                continue
            forward = self.calls[number]
            cost = replace(
                forward.cost,
                flops=forward.cost.flops * BACKWARD,
                bytes=forward.cost.bytes * BACKWARD,
                assumes="the backward pass costs twice the forward pass",
            )
            self._backward[number] = len(self.calls)
            self.calls.append(replace(forward, op=f"backward of {forward.op}", cost=cost))
        return np.array([self._backward[n] for n in calls.tolist()], np.int64)


def _shares(trace: Trace, group: Ints, call: Ints, weight: Ints, calls: tuple[Costed, ...]) -> Floats:
    """Each kernel's part of the cost of its group, NaN for those that bear none."""
    bears = (group >= 0) & (call >= 0)
    if not bears.any():
        return np.full(len(group), np.nan)
    codes, names = texts(trace.kernels, "name")
    product = np.array([does_products(n) for n in names] + [False])[codes]
    is_matrix = np.array([c.cost.matrix for c in calls] + [False])[call]
    size = int(group.max()) + 1
    has_product = np.bincount(group[bears & product], minlength=size) > 0
    bears &= ~is_matrix | product | ~has_product[group]
    total = np.bincount(group[bears], weights=weight[bears], minlength=size)
    return np.where(bears, weight / np.maximum(total[group], 1), np.nan)
