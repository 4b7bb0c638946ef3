"""How close each kernel comes to what the GPU can do, and which of its limits it is near.

A kernel's roof is the longer of two times: its FLOPs at the peak of their type, its bytes at the memory's
bandwidth (Williams, Waterman, Patterson: Roofline, 2009). How near it comes to the roof, and how it fills the
device, says what limits it (kernel_bound.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.attributed import kernel_ops
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.kernel_bound import SURE, Filling, Work, guessed, judged
from traceanalyzer.analyzers.messages import message_bytes
from traceanalyzer.analyzers.roofline_results import (
    Coverage,
    DeviceRoof,
    KernelRoof,
    Roofline,
    RooflineRow,
)
from traceanalyzer.analyzers.waves import multiprocessors, occupancies, waves
from traceanalyzer.cost.attribution import kernel_costs
from traceanalyzer.cost.kernel_costs import KernelCosts, Source
from traceanalyzer.cost.names import matrix_units
from traceanalyzer.hardware import SHORT_NAMES, Choice, Gpu, look_up
from traceanalyzer.model.columns import ints, texts, triples
from traceanalyzer.model.communication import communication_kernels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace


class RooflineAnalyzer:
    """FLOPs, bytes, roof and label of every kernel. `choice` is what the user says of the hardware."""

    name: ClassVar[str] = "roofline"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, choice: Choice | None = None) -> None:
        self.choice = choice

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Roofline:  # noqa: ARG002
        """The roofline of all ranks and devices.

        Raises:
            UsageError: `choice` names a GPU that is not known.
        """
        devices, gpus, gpu_of = _devices(trace, self.choice)
        labels = _Labels(trace, kernel_costs(trace), gpus, gpu_of)
        made = sorted(
            labels.rows(), key=lambda r: (-r[0].total_ns, r[0].kernel, r[0].op or "", r[0].input_dims or "")
        )
        rows = [row for row, _ in made]
        of_kernel = np.full(trace.kernels.num_rows, -1, np.int64)
        for i, (_, kernels) in enumerate(made):
            of_kernel[kernels] = i
        bound_ns: dict[str, int] = {}
        for row in rows:
            bound_ns[row.bound] = bound_ns.get(row.bound, 0) + row.total_ns
        flops = [r.flops for r in rows if r.flops is not None]
        return Roofline(
            devices=tuple(_verified(device, rows) for device in devices),
            rows=tuple(rows),
            coverage=_coverage(rows),
            bound_ns=dict(sorted(bound_ns.items(), key=lambda item: (-item[1], item[0]))),
            kernels=_by_name(rows),
            achieved_flops=sum(flops) if flops else None,
            above_roof=tuple(r for r in rows if (r.efficiency or 0.0) > thresholds.ABOVE_ROOF),
            of_kernel=of_kernel,
        )


def dominant(time: Mapping[str, int]) -> str:
    """The label with half of the time or a clear lead over the next; otherwise mixed (unknown of nothing)."""
    ranked = sorted(time.items(), key=lambda item: (-item[1], item[0]))
    total = sum(time.values())
    if not total:
        return "unknown"
    first, second = ranked[0][1] / total, ranked[1][1] / total if len(ranked) > 1 else 0.0
    leads = first >= thresholds.DOMINANT_SHARE or first - second >= thresholds.DOMINANT_LEAD
    return ranked[0][0] if leads else "mixed"


def _devices(
    trace: Trace, choice: Choice | None
) -> tuple[tuple[DeviceRoof, ...], list[Gpu], NDArray[np.int64]]:
    """Every device that ran kernels; the distinct GPUs among them; for each kernel an index there, or -1."""
    rank, device = ints(trace.kernels, "rank"), ints(trace.kernels, "device")
    known = {(row["rank"], row["device"]): row for row in trace.devices.to_pylist()}
    found: list[DeviceRoof] = []
    gpus: list[Gpu] = []
    gpu_of = np.full(len(rank), -1, np.int64)
    for rows in group_rows(rank, device):
        key = int(rank[rows[0]]), int(device[rows[0]])
        row = known.get(key, {})
        match = look_up(row.get("name"), row.get("memory"), row.get("sms"), choice)
        gpu = match.gpu
        if gpu is not None and gpu not in gpus:
            gpus.append(gpu)
        gpu_of[rows] = -1 if gpu is None else gpus.index(gpu)
        found.append(
            DeviceRoof(
                *key,
                name=row.get("name"),
                gpu=gpu.name if gpu else None,
                reason=match.reason,
                source="; ".join(dict.fromkeys(gpu.sources.values())) if gpu else None,
                verified=gpu is not None,
                bandwidth_gb_per_s=gpu.bandwidth_gb_per_s if gpu else None,
                tf32_tflops=gpu.tf32_tflops if gpu else None,
                bf16_tflops=gpu.bf16_tflops if gpu else None,
                fp32_tflops=gpu.fp32_tflops if gpu else None,
                peaks=gpu.peaks if gpu else {},
                sources={SHORT_NAMES[name]: source for name, source in gpu.sources.items()} if gpu else {},
            )
        )
    return tuple(found), gpus, gpu_of


def _verified(device: DeviceRoof, rows: Sequence[RooflineRow]) -> DeviceRoof:
    """The device, verified unless a roof of its kind of GPU rests on a figure that is not."""
    doubtful = any(row.unverified for row in rows if row.gpu == device.gpu)
    return replace(device, verified=device.verified and not doubtful)


class _Labels:
    """Groups of kernels that share name, call and GPU, and their labels."""

    def __init__(
        self, trace: Trace, costs: KernelCosts, gpus: Sequence[Gpu], gpu_of: NDArray[np.int64]
    ) -> None:
        self.costs, self.gpus, self.gpu_of = costs, gpus, gpu_of
        self.name, self.names = texts(trace.kernels, "name")
        self.duration = np.maximum(ints(trace.kernels, "dur", 0), 0)
        self.communication = communication_kernels(trace)
        sent = np.flatnonzero(self.communication)
        self.message = np.full(len(self.duration), -1, np.int64)
        self.message[sent] = message_bytes(trace, sent)
        self.blocks = triples(trace.kernels, "grid").prod(axis=1)
        self.sms = multiprocessors(trace)
        self.occupancy = occupancies(trace.kernels)
        self.waves = waves(
            self.blocks, triples(trace.kernels, "block").prod(axis=1), self.sms, self.occupancy
        )
        self.op, self.op_names = kernel_ops(trace)

    def rows(self) -> list[tuple[RooflineRow, NDArray[np.int64]]]:
        """Each row with the rows of `kernels` that it sums up."""
        call, source = self.costs.call, self.costs.source
        known = np.where(call >= 0, -1, self.op)  # kernels without a cost are told apart by op only
        return [(self._row(rows), rows) for rows in group_rows(self.name, call, known, source, self.gpu_of)]

    def _row(self, rows: NDArray[np.int64]) -> RooflineRow:
        first = rows[0]
        code, call = int(self.name[first]), int(self.costs.call[first])
        name = self.names[code] if code >= 0 else "(no name)"
        if self.communication[rows].any() or call < 0:
            return self._without_cost(rows, name)
        costed = self.costs.calls[call]
        work = Work(
            int(self.duration[rows].sum()),
            len(rows),
            float(self.costs.flops[rows].sum()),
            float(self.costs.bytes[rows].sum()),
            float(self.costs.whole_bytes[first]),
            self._filling(rows),
        )
        gpu = self.gpus[self.gpu_of[first]] if self.gpu_of[first] >= 0 else None
        source = Source(int(self.costs.source[first]))
        label = judged(work, costed.cost, name, gpu, source)
        return RooflineRow(
            kernel=name,
            op=costed.op,
            input_dims=costed.input_dims,
            count=work.count,
            total_ns=work.duration_ns,
            flops=work.flops,
            bytes=work.bytes,
            source=source.name.lower(),
            matrix_units=matrix_units(name),
            input_types=costed.input_types,
            gpu=gpu.name if gpu else None,
            longest=self._longest(rows),
            **label,
        )

    def _filling(self, rows: NDArray[np.int64]) -> Filling:
        """Of the longest of these executions."""
        longest = rows[self.duration[rows].argmax()]
        return Filling(
            int(self.blocks[longest]),
            int(self.sms[longest]),
            float(self.waves[longest]),
            float(np.nan_to_num(self.occupancy[longest])) / 100,
        )

    def _without_cost(self, rows: NDArray[np.int64], name: str) -> RooflineRow:
        communicates = bool(self.communication[rows].any())
        bound, source, reason = (
            ("communication", "name", "") if communicates else guessed(name, self._filling(rows))
        )
        op, gpu, message = int(self.op[rows[0]]), int(self.gpu_of[rows[0]]), self.message[rows]
        return RooflineRow(
            kernel=name,
            op=self.op_names[op] if op >= 0 else None,
            input_dims=None,
            count=len(rows),
            total_ns=int(self.duration[rows].sum()),
            flops=None,
            bytes=float(message.sum()) if (message >= 0).all() else None,
            roof_ns=None,
            efficiency=None,
            limit=None,
            bound=bound,
            confidence="high" if communicates else "low",
            source=source,
            dtype=None,
            matrix_units=matrix_units(name),
            reason=reason,
            gpu=self.gpus[gpu].name if gpu >= 0 else None,
            longest=self._longest(rows),
        )

    def _longest(self, rows: NDArray[np.int64]) -> int:
        return int(rows[self.duration[rows].argmax()])


def _coverage(rows: Sequence[RooflineRow]) -> Coverage:
    time = dict.fromkeys(
        ("cost", "communication", "name_only", "blocks_only", "unknown", "messages", "mapping", "replayed"), 0
    )
    for row in rows:
        if row.bound == "communication":
            time["communication"] += row.total_ns
            time["messages"] += row.total_ns if row.bytes is not None else 0
        elif row.flops is None:
            time["unknown" if row.source == "none" else f"{row.source}_only"] += row.total_ns
        else:
            time["cost"] += row.total_ns
            if row.source in ("mapping", "replayed"):
                time[row.source] += row.total_ns
    total = sum(row.total_ns for row in rows) or 1
    return Coverage(**{kind: ns / total for kind, ns in time.items()})


def _by_name(rows: Sequence[RooflineRow]) -> dict[str, KernelRoof]:
    of: dict[str, list[RooflineRow]] = {}
    for row in rows:
        of.setdefault(row.kernel, []).append(row)
    return {name: _joined(of[name]) for name in sorted(of)}


def _joined(rows: Sequence[RooflineRow]) -> KernelRoof:
    time: dict[str, int] = {}
    for row in rows:
        time[row.bound] = time.get(row.bound, 0) + row.total_ns
    total = sum(time.values())
    flops, moved = [r.flops for r in rows], [r.bytes for r in rows]
    roofs = [r.roof_ns for r in rows if r.roof_ns is not None]
    least = min((r.confidence for r in rows), key=SURE.index)
    return KernelRoof(
        bound=dominant(time),
        confidence=least,
        flops=None if None in flops else round(sum(f for f in flops if f is not None)),
        bytes=None if None in moved else round(sum(b for b in moved if b is not None)),
        percent_of_roof=100 * sum(roofs) / total if total and len(roofs) == len(rows) else None,
    )
