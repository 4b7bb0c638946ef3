"""Costs for the kernels of fused mixtures of experts, from the shapes around them and their grids."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.cost import moe
from traceanalyzer.cost.call import parse_call
from traceanalyzer.cost.kernel_costs import Costed, KernelCosts, Source
from traceanalyzer.model.columns import texts, triples
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    from traceanalyzer.cost.kernel_costs import Ints
    from traceanalyzer.model.trace import Trace


def with_experts(trace: Trace, op: Ints, costs: KernelCosts) -> KernelCosts:
    """The costs with those of experts' kernels: one per distinct kernel, grid and call."""
    codes, names = texts(trace.kernels, "name")
    op_codes, op_names = texts(trace.ops, "name")
    fused = np.array([n in moe.OPS for n in op_names] + [False])
    rows = np.flatnonzero((op >= 0) & (costs.call < 0))
    rows = rows[fused[op_codes[op[rows]]]] if len(op_codes) else rows[:0]
    if not len(rows):
        return costs
    dims, shapes = texts(trace.ops, "input_dims")
    kinds, types = texts(trace.ops, "input_types")
    grid = triples(trace.kernels, "grid")
    calls = list(costs.calls)
    flops, moved, whole = costs.flops.copy(), costs.bytes.copy(), costs.whole_bytes.copy()
    call, source = costs.call.copy(), costs.source.copy()
    per_call = codes_of(*(c[op[rows]].astype(np.int64) for c in (op_codes, dims, kinds)))
    for number in np.unique(per_call).tolist():
        mine = rows[per_call == number]
        first = int(op[mine[0]])
        name = op_names[op_codes[first]]
        shape = shapes[dims[first]] if dims[first] >= 0 else None
        kind = types[kinds[first]] if kinds[first] >= 0 else None
        found = parse_call(name, shape, kind, None, None)
        same = codes_of(codes[mine].astype(np.int64), *grid[mine].T)
        kernels = [mine[same == s] for s in np.unique(same).tolist()]
        launched = [(names[codes[k[0]]], tuple(grid[k[0]].tolist())) for k in kernels]
        layer = moe.layer(found, launched) if found else None
        for chosen, (kernel, blocks) in zip(kernels, launched, strict=True):
            cost = layer.cost(kernel, blocks) if layer else None
            if cost is not None:
                flops[chosen], moved[chosen], whole[chosen] = cost.flops, cost.bytes, cost.bytes
                call[chosen], source[chosen] = len(calls), Source.EXPERTS
                calls.append(Costed(name, shape, kind, cost))
    return KernelCosts(flops, moved, whole, call, source, tuple(calls))
