"""Small products of one shape that are launched right after each other: one batched product could do them all.

A run is a sequence of kernels on one stream, with no other kernel between them, of products of one kind with the same
shapes and types. That one of them needs the result of the one before is not in a trace: what lies between products
that do is usually a kernel, and ends the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]

PRODUCTS = frozenset({"aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::mv", "aten::addmv"})


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of a trace: rows of `kernels` in the order of their streams, of which run i is `row[first[i]:end[i]]`.

    `products` is the number of products in each: one may launch several kernels.
    """

    row: Ints
    first: Ints
    end: Ints
    products: Ints


@dataclass(frozen=True, slots=True)
class RepeatRow:
    """Runs of one op with one shape. Times are ns and sums over the trace.

    `span_ns` is from the start of a run's first kernel to the end of its last, `total_ns` of that in kernels.
    `longest` is the row of `kernels` that begins the longest run, of `most` products.
    """

    op: str
    input_dims: str
    kernel: str
    runs: int
    products: int
    total_ns: int
    span_ns: int
    longest: int
    most: int


@dataclass(frozen=True, slots=True)
class Repeats:
    """Rows with most products first."""

    rows: tuple[RepeatRow, ...]


class RepeatsAnalyzer:
    """The runs by op and shape."""

    name: ClassVar[str] = "repeats"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Repeats:  # noqa: ARG002
        """One row per op and shape."""
        found = repeated_products(trace)
        if not len(found.first):
            return Repeats(())
        op, duration = ints(trace.kernels, "op"), np.maximum(ints(trace.kernels, "dur", 0), 0)
        name, names = texts(trace.ops, "name")
        dims, shapes = texts(trace.ops, "input_dims")
        kernel, kernels = texts(trace.kernels, "name")
        before = np.concatenate(([0], np.cumsum(duration[found.row])))
        time = before[found.end] - before[found.first]
        start, leads, lasts = ints(trace.kernels, "ts"), found.row[found.first], found.row[found.end - 1]
        span = start[lasts] + duration[lasts] - start[leads]
        rows = []
        for members in group_rows(name[op[leads]], dims[op[leads]]):
            longest = members[found.products[members].argmax()]
            lead = int(leads[longest])
            rows.append(
                RepeatRow(
                    op=names[name[op[lead]]],
                    input_dims=shapes[dims[op[lead]]],
                    kernel=kernels[kernel[lead]] if kernel[lead] >= 0 else "(no name)",
                    runs=len(members),
                    products=int(found.products[members].sum()),
                    total_ns=int(time[members].sum()),
                    span_ns=int(span[members].sum()),
                    longest=lead,
                    most=int(found.products[longest]),
                )
            )
        return Repeats(tuple(sorted(rows, key=lambda r: (-r.products, r.op, r.input_dims))))


def repeated_products(trace: Trace) -> Runs:
    """The runs of `thresholds.REPEATED_PRODUCTS` and more small products, none longer than a step."""
    kernels, ops = trace.kernels, trace.ops
    op, duration = ints(kernels, "op"), ints(kernels, "dur", 0)
    rank, device, stream = (ints(kernels, c) for c in ("rank", "device", "stream"))
    name, names = texts(ops, "name")
    dims, _ = texts(ops, "input_dims")
    types, _ = texts(ops, "input_types")
    is_product = np.array([*(n in PRODUCTS for n in names), False])[name]
    fits = np.append(is_product & (dims >= 0), False)[op] & (op >= 0)
    fits &= (duration > 0) & (duration < thresholds.TINY_KERNEL_NS)
    order = np.lexsort((ints(kernels, "ts"), stream, device, rank))
    kind = codes_of(name.astype(np.int64), dims.astype(np.int64), types.astype(np.int64))
    kind, step = (np.append(column, -1)[op] for column in (kind, ints(ops, "step")))
    key = codes_of(rank, device, stream, step, kind)[order]
    fits, own = fits[order], op[order]
    joined = fits[1:] & fits[:-1] & (key[1:] == key[:-1])
    edge = np.diff(np.concatenate(([False], joined, [False])).astype(np.int8))
    first, last = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)
    begun = np.cumsum(np.append(True, own[1:] != own[:-1])[: len(own)])
    products = begun[last] - begun[first] + 1
    enough = products >= thresholds.REPEATED_PRODUCTS
    return Runs(order, first[enough], last[enough] + 1, products[enough])
