"""Chains of kernels that pass over the same data one after the other and could be one kernel.

A chain is a run of pointwise, norm, quantisation, rotary, activation and cast kernels on one stream with nothing else
between. That each works on what the one before wrote is not in a trace: kernels whose traffic differs by more than a
factor of four are taken apart, and so are repeats of one op with `out=`, which overwrite each other's result. Nothing
is promised with more than low confidence.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.attributed import kernel_ops
from traceanalyzer.analyzers.groups import group_rows, longest_of
from traceanalyzer.analyzers.opportunities_results import Fusion, FusionRow
from traceanalyzer.analyzers.steps import step_of
from traceanalyzer.cost.pointwise import writes_where_told
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.roofline_results import Roofline
    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

# The kinds of kernels that fuse, by name; the first that fits.
KINDS = {
    "quant": re.compile(r"quant(?!ile)", re.IGNORECASE),
    "rope": re.compile(r"rotary|(?<![a-z])rope(?![a-z])", re.IGNORECASE),
    "cache": re.compile(r"reshape_and_cache|concat_and_cache", re.IGNORECASE),
    "norm": re.compile(r"(layer|rms|group|instance)_?norm|RowwiseMoments", re.IGNORECASE),
    "activation": re.compile(r"silu|gelu|swiglu|act_and_mul|relu|sigmoid|tanh|threshold", re.IGNORECASE),
    "pointwise": re.compile(r"elementwise|triton_poi|direct_copy|convert_?type", re.IGNORECASE),
}
_NOT = re.compile(
    r"gemm|matmul|reduce_kernel|multi_tensor|nccl|flash_(fwd|bwd|attn)|fmha|attention|fused_add|index|gather|scatter",
    re.IGNORECASE,
)
# What the chain could be, by the kinds that follow each other in it; the first that fits.
FORMS: Mapping[str, tuple[str, ...]] = {
    "norm_quant": ("norm", "quant"),
    "activation_quant": ("activation", "quant"),
    "rope_cache": ("rope", "cache"),
    "add_norm": ("pointwise", "norm"),
    "activation_mul": ("activation", "pointwise"),
    "pointwise": (),
}
SAME_DATA = 4.0
"""Kernels that pass over the same data move no more than this many times as much as each other (own judgement: one
reads a tensor, the other three of them)."""
MAX_ROWS = 100


class FusionAnalyzer:
    """Every distinct chain, with what one kernel in its place would save."""

    name: ClassVar[str] = "fusion"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Fusion:
        """The chains of all devices and streams."""
        duration = np.maximum(ints(trace.kernels, "dur", 0), 0)
        whole = int(duration.sum())
        chains = _Chains(trace, results["roofline"], duration, step_of(trace.kernels, results["steps"]))
        rows = sorted(chains.rows(whole), key=lambda r: (-(r.saving_ns or (0, 0))[1], -r.total_ns, r.kernels))
        total = sum(row.total_ns for row in rows)
        return Fusion(tuple(rows[:MAX_ROWS]), total, total / whole if whole else 0.0)


class _Chains:
    """Kernels in the order of their streams, cut into runs that could fuse."""

    def __init__(self, trace: Trace, roofline: Roofline, duration: Ints, step: Ints) -> None:
        table = trace.kernels
        name, self.names = texts(table, "name")
        kinds = list(KINDS)
        kind_of = np.array([*(_kind(n, kinds) for n in self.names), -1])
        rank, device, stream = (ints(table, c) for c in ("rank", "device", "stream"))
        order = np.lexsort((ints(table, "ts"), stream, device, rank))
        self.kinds = kinds
        self.row, self.name, self.duration = order, name[order].astype(np.int64), duration[order]
        self.start = ints(table, "ts")[order]
        op, self.ops = kernel_ops(trace)
        self.op = op[order]
        self.kind = kind_of[name][order]
        moved = [np.nan if r.bytes is None else r.bytes / r.count for r in roofline.rows]
        of = roofline.of_kernel[order]
        self.bytes = np.array([*moved, np.nan])[of]
        bandwidth = {d.gpu: d.bandwidth_gb_per_s for d in roofline.devices if d.bandwidth_gb_per_s}
        speed = [bandwidth.get(r.gpu) or np.nan for r in roofline.rows]
        self.bytes_per_ns = np.array([*speed, np.nan])[of]  # GB/s are bytes per ns
        lane = codes_of(rank, device, stream)[order] if len(order) else order
        joined = (self.kind[1:] >= 0) & (self.kind[:-1] >= 0) & (lane[1:] == lane[:-1])
        joined &= step[order][1:] == step[order][:-1]  # the next step's first kernel does other data
        with np.errstate(invalid="ignore", divide="ignore"):
            apart = np.abs(np.log(self.bytes[1:] / self.bytes[:-1])) > np.log(SAME_DATA)
        told = np.array(
            [writes_where_told(r.op, r.input_dims, r.input_types) for r in roofline.rows] + [False]
        )
        apart |= told[of[1:]] & told[of[:-1]] & (self.op[1:] == self.op[:-1])
        self.joined = joined & ~apart  # unknown traffic does not take them apart

    def rows(self, whole: int) -> list[FusionRow]:
        """One row per distinct sequence of kernels and ops."""
        edge = np.diff(np.concatenate(([False], self.joined, [False])).astype(np.int8))
        first, last = np.flatnonzero(edge == 1), np.flatnonzero(edge == -1)  # last one included
        if not len(first):
            return []
        key = self._keys(first, last)
        _, example, group = np.unique(key, return_index=True, return_inverse=True)
        count = np.bincount(group)
        span = self.start[last] + self.duration[last] - self.start[first]
        longest = longest_of(group, span, len(count))
        low, high = self._handed(first, last, group)
        moved = self._handed_bytes(first, last, group)
        found = []
        for i, (at, members) in enumerate(zip(example.tolist(), group_rows(group), strict=True)):
            part = slice(int(first[at]), int(last[at]) + 1)
            known = not np.isnan(high[i])
            places = first[members][:, None] + np.arange(part.stop - part.start)
            kernel_ns = self.duration[places].sum(axis=0).tolist()
            found.append(
                FusionRow(
                    kernels=tuple(self.names[c] if c >= 0 else "(no name)" for c in self.name[part]),
                    ops=tuple(self.ops[c] if c >= 0 else None for c in self.op[part]),
                    form=_form([self.kinds[k] for k in self.kind[part]]),
                    count=int(count[i]),
                    total_ns=sum(kernel_ns),
                    kernel_ns=tuple(kernel_ns),
                    share=sum(kernel_ns) / whole if whole else 0.0,
                    bytes=None if np.isnan(moved[i]) else (round(moved[i] / 2), round(moved[i])),
                    saving_ns=(round(low[i]), round(high[i])) if known else None,
                    longest=int(self.row[first[longest[i]]]),
                    longest_ns=int(span[longest[i]]),
                )
            )
        return found

    def _keys(self, first: Ints, last: Ints) -> NDArray[np.uint64]:
        """A number per sequence of names and ops; equal sequences, equal numbers."""
        step = codes_of(self.name + 1, self.op + 1).astype(np.uint64) + np.uint64(1)
        place = np.zeros(len(step), np.int64)
        run = np.repeat(np.arange(len(first)), last - first + 1)
        at = np.concatenate([np.arange(a, b + 1) for a, b in zip(first.tolist(), last.tolist(), strict=True)])
        place[at] = at - first[run]
        weight = np.power(np.uint64(0x9E3779B97F4A7C15), (place % 64 + 1).astype(np.uint64), dtype=np.uint64)
        mixed = step * weight
        mixed ^= mixed >> np.uint64(29)
        total = np.zeros(len(first), np.uint64)
        np.add.at(total, run, mixed[at])
        return total + (last - first).astype(np.uint64)

    @staticmethod
    def _sums(values: Floats, first: Ints, end: Ints, group: Ints) -> Floats:
        """Sums of values[first:end], added up by group; NaN where any of them is."""
        parts = []
        for column in (np.nan_to_num(values), np.isnan(values).astype(np.float64)):
            before = np.concatenate(([0.0], np.cumsum(column)))
            parts.append(np.bincount(group, before[end] - before[first]))
        return np.where(parts[1] > 0.5, np.nan, parts[0])

    def _handed_bytes(self, first: Ints, last: Ints, group: Ints) -> Floats:
        """Traffic for what kernels hand on: a writing and a reading of no more than half of either's traffic."""
        return self._sums(np.append(np.minimum(self.bytes[1:], self.bytes[:-1]), 0.0), first, last, group)

    def _handed(self, first: Ints, last: Ints, group: Ints) -> tuple[Floats, Floats]:
        """The time that saves, at least for the reading alone; no handover saves more than the shorter kernel."""
        shorter = np.minimum(self.duration[1:], self.duration[:-1])
        time = np.minimum(self.bytes[1:], self.bytes[:-1]) / self.bytes_per_ns[1:]
        low, high = (np.append(np.minimum(time * part, shorter), 0.0) for part in (0.5, 1.0))
        return self._sums(low, first, last, group), self._sums(high, first, last, group)


def _kind(name: str, kinds: list[str]) -> int:
    if _NOT.search(name):
        return -1
    return next((i for i, kind in enumerate(kinds) if KINDS[kind].search(name)), -1)


def _form(kinds: list[str]) -> str:
    pairs = set(pairwise(kinds))
    return next(form for form, wanted in FORMS.items() if not wanted or wanted in pairs)
