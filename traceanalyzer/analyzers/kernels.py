"""Kernels by name, over the whole trace: how often, how long, and who launches them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.attributed import kernel_modules, kernel_ops
from traceanalyzer.analyzers.groups import group_rows, heaviest
from traceanalyzer.analyzers.results import KernelRow, Kernels
from traceanalyzer.analyzers.waves import occupancies
from traceanalyzer.model.columns import ints, texts, triples
from traceanalyzer.model.communication import communication_kernels
from traceanalyzer.model.intervals import contains, union

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.kernel_metrics import KernelMetrics
    from traceanalyzer.analyzers.roofline_results import Roofline
    from traceanalyzer.model.trace import Capability, Trace


class KernelsAnalyzer:
    """One row per kernel name, most time first. Unlike the breakdown this sums durations over streams."""

    name: ClassVar[str] = "kernels"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Kernels:
        """The kernels of all ranks and devices, with their roofline where it was made."""
        table = trace.kernels
        duration = np.maximum(ints(table, "dur", 0), 0)
        total = int(duration.sum())
        columns = _Columns(trace, duration, total, results.get("roofline"), results.get("kernel_metrics"))
        rows = [columns.row(rows) for rows in group_rows(columns.name)]
        rows.sort(key=lambda row: (-row.total_ns, row.name))
        return Kernels(
            rows=tuple(rows),
            count=table.num_rows,
            total_ns=total,
            median_ns=int(np.median(duration)) if len(duration) else None,
            unlinked=int((ints(table, "op") < 0).sum()),
            graph_share=_graph_share(trace, duration),
            optimizer_kernels=_optimizer_kernels(trace),
        )


class _Columns:
    """The columns of `kernels` that a row is made of."""

    def __init__(
        self,
        trace: Trace,
        duration: NDArray[np.int64],
        total: int,
        roofline: Roofline | None,
        metrics: KernelMetrics | None,
    ) -> None:
        table = trace.kernels
        self.roofs = roofline.kernels if roofline is not None else {}
        self.measured = metrics.bounds() if metrics is not None else {}
        self.duration, self.total = duration, total
        self.name, self.names = texts(table, "name")
        self.module, self.modules = kernel_modules(trace)
        self.communication = communication_kernels(trace)
        self.occupancy = occupancies(table)
        self.blocks = triples(table, "grid").prod(axis=1)
        self.threads = triples(table, "block").prod(axis=1)
        self.op, self.op_names = kernel_ops(trace)

    def row(self, rows: NDArray[np.int64]) -> KernelRow:
        duration = self.duration[rows]
        total = int(duration.sum())
        longest = int(rows[duration.argmax()])
        op, module = heaviest(self.op[rows], duration), heaviest(self.module[rows], duration)
        code = int(self.name[rows[0]])
        name = self.names[code] if code >= 0 else "(no name)"
        roof = self.roofs.get(name)
        measured, rated = self._measured(rows), roof.bound if roof else None
        return KernelRow(
            name=name,
            category="communication" if self.communication[rows].any() else "compute",
            count=len(rows),
            total_ns=total,
            mean_ns=round(total / len(rows)),
            median_ns=int(np.median(duration)),
            min_ns=int(duration.min()),
            max_ns=int(duration.max()),
            share=total / self.total if self.total else 0.0,
            op=None if op is None else self.op_names[op],
            module=None if module is None else self.modules[module],
            occupancy_percent=_weighted(self.occupancy[rows], duration),
            blocks=int(self.blocks[longest]) or None,
            threads=int(self.threads[longest]) or None,
            bound=measured or rated,
            flops=roof.flops if roof else None,
            bytes=roof.bytes if roof else None,
            percent_of_roof=roof.percent_of_roof if roof else None,
            measured_bound=measured,
            rated_bound=rated,
        )

    def _measured(self, rows: NDArray[np.int64]) -> str | None:
        """What Nsight Compute says of most of the profiled time of these executions; None when it profiled none."""
        time: dict[str, int] = {}
        for row in rows.tolist() if self.measured else ():
            if row in self.measured:
                bound = self.measured[row]
                time[bound] = time.get(bound, 0) + int(self.duration[row])
        return max(sorted(time), key=lambda bound: time[bound]) if time else None


def _graph_share(trace: Trace, duration: NDArray[np.int64]) -> float | None:
    """The share of kernel time that graph launches started."""
    if not (ints(trace.kernels, "api_call") >= 0).any():
        return None
    total = int(duration.sum())
    return int(duration[launched_by_graphs(trace)].sum()) / total if total else None


def launched_by_graphs(trace: Trace) -> NDArray[np.bool_]:
    """Which kernels a graph launch started; shape (kernels,)."""
    call = ints(trace.kernels, "api_call")
    codes, names = texts(trace.api_calls, "name")
    launches_graph = np.array(["GraphLaunch" in n for n in names] + [False])
    in_graph: NDArray[np.bool_] = (call >= 0) & launches_graph[np.append(codes, -1)[call]]
    return in_graph


def _optimizer_kernels(trace: Trace) -> float | None:
    """How many kernels are launched within an `Optimizer.step` range, per range."""
    codes, names = texts(trace.annotations, "name")
    on_gpu = np.array(trace.annotations.column("on_gpu").fill_null(False).to_numpy(), np.bool_)
    is_step = np.array([n.startswith("Optimizer.step#") for n in names] + [False])
    steps = np.flatnonzero(is_step[codes] & ~on_gpu)
    call = ints(trace.kernels, "api_call")
    call = call[call >= 0]
    if not len(steps) or not len(call):
        return None
    start, end = ints(trace.annotations, "ts")[steps], ints(trace.annotations, "dur", 0)[steps]
    rank, call_rank = ints(trace.annotations, "rank")[steps], ints(trace.api_calls, "rank")[call]
    launched = ints(trace.api_calls, "ts")[call]
    inside = 0
    for r in np.unique(rank).tolist():
        ranges = union(start[rank == r], (start + end)[rank == r])
        inside += int(contains(ranges, launched[call_rank == r]).sum())
    return inside / len(steps)


def _weighted(values: NDArray[np.float64], weights: NDArray[np.int64]) -> float | None:
    known = ~np.isnan(values)
    weight = int(weights[known].sum())
    return float((values[known] * weights[known]).sum() / weight) if weight else None
