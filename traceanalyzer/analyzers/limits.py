"""The label of every op, module, step and of the run: the labels of their kernels, weighted with their time.

A label leads with half of the time or ten points more than the next, else the limit is mixed. Steps and the run also
weigh exposed communication, exposed copies and idle time against the kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.attributed import kernel_modules, kernel_ops
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.limits_results import Limit, LimitRow, Limits
from traceanalyzer.analyzers.roofline import dominant
from traceanalyzer.model.columns import ints

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.results import Breakdown, Partition, Steps
    from traceanalyzer.analyzers.roofline_results import Roofline
    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]

MAX_ROWS = 500
"""Ops, and modules, that are handed on: those with most time."""
_SURE = ("low", "medium", "high")


class LimitsAnalyzer:
    """Level 2: above the single kernel."""

    name: ClassVar[str] = "limits"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Limits:
        """The limits of all ranks and devices; empty without kernels."""
        weigh = Weigher(trace, results["roofline"])
        op, ops = kernel_ops(trace)
        return Limits(
            ops=_largest([LimitRow("op", ops[op[rows[0]]], weigh(rows)) for rows in _groups(op)]),
            modules=_modules(trace, weigh),
            steps=tuple(_steps(trace, results, weigh)),
            run=_run(results, weigh),
        )


class Weigher:
    """Makes the limit of any rows of `kernels`."""

    def __init__(self, trace: Trace, roofline: Roofline) -> None:
        self.rows, self.of = roofline.rows, roofline.of_kernel
        self.duration = np.maximum(ints(trace.kernels, "dur", 0), 0)
        self.bounds = sorted({row.bound for row in self.rows})
        self.bound = np.array([self.bounds.index(row.bound) for row in self.rows], np.int64)
        self.sure = np.array([_SURE.index(row.confidence) for row in self.rows], np.int64)
        self.efficiency = np.array(
            [np.nan if row.efficiency is None else row.efficiency for row in self.rows], np.float64
        )

    def __call__(
        self, kernels: Ints, beside: Mapping[str, int] | None = None, of_ns: int | None = None
    ) -> Limit:
        """The limit of these kernels, as `of_ns` of time when that is less than their sum, and of time `beside`."""
        time = np.bincount(self.of[kernels], self.duration[kernels], len(self.rows)).astype(np.int64)
        whole = int(time.sum())
        scale = of_ns / whole if of_ns is not None and whole else 1.0
        by_bound = {
            name: round(int(time[self.bound == i].sum()) * scale)
            for i, name in enumerate(self.bounds)
            if time[self.bound == i].any()
        }
        for name, ns in (beside or {}).items():
            if ns:
                by_bound[name] = by_bound.get(name, 0) + ns
        label = dominant(by_bound)
        leading = (
            label if label in by_bound else max(by_bound, key=lambda n: (by_bound[n], n), default="unknown")
        )
        total = sum(by_bound.values())
        known = ~np.isnan(self.efficiency) & (time > 0)
        costed = int(time[known].sum())
        return Limit(
            bound=label,
            share=by_bound.get(leading, 0) / total if total else 0.0,
            total_ns=total,
            efficiency=float((self.efficiency[known] * time[known]).sum() / costed) if costed else None,
            costed=costed / whole if whole else 0.0,
            confidence=self._confidence(time, leading, label),
            evidence=self._evidence(time, leading),
            by_bound=dict(sorted(by_bound.items(), key=lambda item: (-item[1], item[0]))),
        )

    def _confidence(self, time: Ints, leading: str, label: str) -> str:
        """What at least half of the leading label's time has; one less when nothing leads."""
        if leading not in self.bounds:
            return "high" if label == leading else "medium"  # measured, not judged
        mine = np.where(self.bound == self.bounds.index(leading), time, 0)
        level = next(
            level for level in (2, 1, 0) if 2 * mine[self.sure >= level].sum() >= mine.sum() or level == 0
        )
        return _SURE[level if label == leading else max(level - 1, 0)]

    def _evidence(self, time: Ints, leading: str) -> str | None:
        mine = (
            time
            if leading not in self.bounds
            else np.where(self.bound == self.bounds.index(leading), time, 0)
        )
        if not mine.any():
            return None
        row = self.rows[int(mine.argmax())]
        return f"{row.kernel} ({row.op})" if row.op else row.kernel


def _groups(code: Ints) -> Iterator[Ints]:
    return (rows for rows in group_rows(code) if code[rows[0]] >= 0)


def _largest(rows: list[LimitRow]) -> tuple[LimitRow, ...]:
    return tuple(sorted(rows, key=lambda row: (-row.limit.total_ns, row.name))[:MAX_ROWS])


def _modules(trace: Trace, weigh: Weigher) -> tuple[LimitRow, ...]:
    """Each module with the modules inside it."""
    code, paths = kernel_modules(trace)
    inside: dict[str, list[Ints]] = {}
    for rows in _groups(code):
        parts = paths[code[rows[0]]].split("/")
        for depth in range(1, len(parts) + 1):
            inside.setdefault("/".join(parts[:depth]), []).append(rows)
    return _largest([LimitRow("module", path, weigh(np.concatenate(rows))) for path, rows in inside.items()])


def _steps(trace: Trace, results: Mapping[str, Any], weigh: Weigher) -> Iterator[LimitRow]:
    """Steps of each device: kernels that start in the step's window, and what the partition has beside them."""
    steps: Steps = results["steps"]
    breakdown: Breakdown = results["breakdown"]
    rank, device, start = (ints(trace.kernels, c) for c in ("rank", "device", "ts"))
    several = len(breakdown.devices) > 1
    for of in breakdown.devices if steps.kind != "window" else ():
        mine = np.flatnonzero((rank == of.rank) & (device == of.device))
        order = mine[np.argsort(start[mine], kind="stable")]
        windows = [s for s in steps.steps if s.rank == of.rank]
        for step, partition in zip(windows, of.steps, strict=False):
            low, high = np.searchsorted(start[order], (step.start_ns, step.window_end_ns))
            where = f"{step.name}, rank {of.rank}, GPU {of.device}" if several else step.name
            yield LimitRow("step", where, _of_partition(order[low:high], partition, weigh))


def _run(results: Mapping[str, Any], weigh: Weigher) -> LimitRow | None:
    breakdown: Breakdown = results["breakdown"]
    if not len(weigh.of):
        return None
    wholes = [device.whole for device in breakdown.devices]
    total = {name: sum(getattr(w, name) for w in wholes) for name in _PARTS}
    return LimitRow("run", "the run", _weighed(np.arange(len(weigh.of)), total, weigh))


_PARTS = ("compute_ns", "exposed_communication_ns", "exposed_copy_ns", "idle_ns")


def _of_partition(kernels: Ints, partition: Partition, weigh: Weigher) -> Limit:
    return _weighed(kernels, {name: getattr(partition, name) for name in _PARTS}, weigh)


def _weighed(kernels: Ints, part: Mapping[str, int], weigh: Weigher) -> Limit:
    beside = {
        "communication": part["exposed_communication_ns"],
        "copy": part["exposed_copy_ns"],
        "overhead": part["idle_ns"],
    }
    communicates = [i for i, row in enumerate(weigh.rows) if row.bound == "communication"]
    compute = kernels[~np.isin(weigh.of[kernels], communicates)]
    return weigh(compute, beside, part["compute_ns"])
