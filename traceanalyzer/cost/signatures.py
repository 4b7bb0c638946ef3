"""Kernels without an op, told by other launches of the same kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.cost.kernel_costs import KernelCosts, Source
from traceanalyzer.model.columns import texts, triples
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    from traceanalyzer.cost.kernel_costs import Ints
    from traceanalyzer.model.trace import Trace


def recovered(trace: Trace, costs: KernelCosts, op: Ints, weight: Ints) -> KernelCosts:
    """Costs for kernels without an op from launches of the same kernel with the same grid and block."""
    lost = (costs.call < 0) & (op < 0)
    if not lost.any() or not (costs.call >= 0).any():
        return costs
    names = texts(trace.kernels, "name")[0].astype(np.int64)
    grid, block = triples(trace.kernels, "grid"), triples(trace.kernels, "block")
    signature = codes_of(names, *grid.T, *block.T)
    rows = np.flatnonzero((costs.call >= 0) & np.isin(signature, signature[lost]))
    if not len(rows):
        return costs
    # one candidate per signature and call, with its mean duration and cost
    pair, index = np.unique(np.stack((signature[rows], costs.call[rows])), axis=1, return_inverse=True)
    index = index.ravel()
    count = np.bincount(index)
    mean = [np.bincount(index, weights=v[rows]) / count for v in (weight, costs.flops, costs.bytes)]
    flops, moved, whole_bytes = costs.flops.copy(), costs.bytes.copy(), costs.whole_bytes.copy()
    call, source = costs.call.copy(), costs.source.copy()
    targets = np.flatnonzero(lost & np.isin(signature, pair[0]))
    first = np.searchsorted(pair[0], signature[targets], "left")
    last = np.searchsorted(pair[0], signature[targets], "right")
    best, nearest = first.copy(), np.abs(mean[0][first] - weight[targets])
    for offset in range(1, int((last - first).max())):
        candidate = np.minimum(first + offset, last - 1)
        distance = np.abs(mean[0][candidate] - weight[targets])
        best, nearest = np.where(distance < nearest, candidate, best), np.minimum(distance, nearest)
    flops[targets], moved[targets], call[targets] = mean[1][best], mean[2][best], pair[1][best]
    whole_bytes[targets] = np.array([c.cost.bytes for c in costs.calls], np.float64)[pair[1][best]]
    source[targets] = np.where(last - first > 1, Source.AMBIGUOUS, Source.SIGNATURE)
    return KernelCosts(flops, moved, whole_bytes, call, source, costs.calls)
