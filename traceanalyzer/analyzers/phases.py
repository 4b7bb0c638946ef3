"""Which phase each piece of device work was launched in, what limits the phases, and how much the peak is used.

Training: work of autograd's nodes is backward; a forward op with a sequence number of its own inside one is
recomputed (activation checkpointing runs the forward pass again there); what `Optimizer.step` launches is the
optimizer's; the rest is forward. Serving: the ranges that vLLM and SGLang write around a batch, and functions named
after the phases. Work that was launched before the recording began is named apart, of whatever phase it may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.compiled import compiled
from traceanalyzer.analyzers.launch_order import BEFORE_THE_RECORDING
from traceanalyzer.analyzers.limits import Weigher
from traceanalyzer.analyzers.phases_results import PhaseRow, Phases, Utilisation
from traceanalyzer.analyzers.serving import serving_ranges
from traceanalyzer.analyzers.work import COPY, DeviceWork, device_work
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import contains, join, subtract, total, union
from traceanalyzer.model.tree import inherit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.results import Breakdown, Steps
    from traceanalyzer.analyzers.roofline_results import Roofline
    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]

TRAINING = ("forward", "backward", "recompute", "optimizer")
INFERENCE = ("prefill", "decode", "mixed")
_FORWARD, _BACKWARD, _RECOMPUTE, _OPTIMIZER = range(4)
_OTHER, _EARLIER = -1, -2


class PhasesAnalyzer:
    """Empty when the trace tells of no phase."""

    name: ClassVar[str] = "phases"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Phases:
        """The phases of all ranks and devices."""
        kind, names, calls, phase = _phases(trace)
        work = device_work(trace)
        for table, launched in results["steps"].launched_ns.items():
            phase[table][launched == BEFORE_THE_RECORDING] = _EARLIER
        rows = _rows(trace, results["roofline"], work, names, calls, phase) if kind else ()
        busy = sum(total(device.busy()) for device in work)
        busy -= sum(row.busy_ns for row in rows if row.phase == "earlier")
        recomputed = [row.busy_ns for row in rows if row.phase == "recompute"]
        redone = (phase["kernels"] == _RECOMPUTE) & (kind == "training")
        return Phases(
            kind=kind,
            rows=rows,
            several_share=max(0.0, 1 - sum(row.share for row in rows)) if rows else 0.0,
            recompute_share=sum(recomputed) / busy if kind == "training" and busy else None,
            graph_share=results["kernels"].graph_share,
            compiled=compiled(trace),
            utilisation=_utilisation(trace, results, redone),
        )


def _phases(trace: Trace) -> tuple[str | None, tuple[str, ...], list[int | None], dict[str, Ints]]:
    """The kind of run, its phases, how often each is marked, and the phase of each row of kernels and copies."""
    call = {table: ints(trace.tables[table], "api_call") for table in ("kernels", "copies")}
    optimizer = _optimizer_steps(trace)
    op_phase = _op_phases(trace)
    if (op_phase == _BACKWARD).any() or optimizer.size:
        of_api = _launched_in(trace, optimizer)
        found = {}
        for table, rows in call.items():
            op = ints(trace.tables[table], "op")
            by_op = np.where(op >= 0, op_phase[op], _FORWARD) if len(op_phase) else np.full(len(op), _FORWARD)
            in_optimizer = (rows >= 0) & of_api[rows] if len(of_api) else np.zeros(len(rows), np.bool_)
            known = (rows >= 0) | (op >= 0)
            found[table] = np.where(in_optimizer, _OPTIMIZER, np.where(known, by_op, _OTHER))
        return "training", TRAINING, [None, None, None, len(optimizer)], found
    ranges = serving_ranges(trace)
    if not len(ranges.phase):
        return None, (), [], {table: np.full(len(rows), _OTHER) for table, rows in call.items()}
    of_call = ranges.of(ints(trace.api_calls, "rank"), ints(trace.api_calls, "ts"))
    found = {
        table: np.where(rows >= 0, of_call[rows], _OTHER) if len(of_call) else np.full(len(rows), _OTHER)
        for table, rows in call.items()
    }
    return "inference", INFERENCE, [int((ranges.phase == i).sum()) for i in range(len(INFERENCE))], found


def _op_phases(trace: Trace) -> Ints:
    """forward, backward or recompute for each op, shape (ops,)."""
    ops = trace.ops
    codes, names = texts(ops, "name")
    is_node = np.array([*(n.startswith("autograd::engine::evaluate_function") for n in names), False])[codes]
    parent, depth = ints(ops, "parent"), ints(ops, "depth")
    # a forward op: it made a node of its own for the backward pass
    again = (ints(ops, "seq") >= 0) & (ints(ops, "fwd_tid", 0) <= 0) & ~is_node
    rows = np.arange(len(codes))
    node = inherit(parent, depth, np.where(is_node, rows, -1))
    redone = inherit(parent, depth, np.where(again & (node >= 0), rows, -1))
    backward = (node >= 0) | (ints(ops, "forward") >= 0)
    return np.where(redone >= 0, _RECOMPUTE, np.where(backward, _BACKWARD, _FORWARD))


def _optimizer_steps(trace: Trace) -> Ints:
    """Rows of `annotations`: the host's ranges of `Optimizer.step`."""
    codes, names = texts(trace.annotations, "name")
    on_gpu = np.asarray(trace.annotations.column("on_gpu").combine_chunks().fill_null(False))
    is_step = np.array([*(n.startswith("Optimizer.step#") for n in names), False])[codes]
    return np.flatnonzero(is_step & ~on_gpu)


def _launched_in(trace: Trace, ranges: Ints) -> NDArray[np.bool_]:
    """Which API calls lie in these ranges of their rank, on whatever thread."""
    rank, at = ints(trace.api_calls, "rank"), ints(trace.api_calls, "ts")
    start, of = ints(trace.annotations, "ts")[ranges], ints(trace.annotations, "rank")[ranges]
    end = start + ints(trace.annotations, "dur", 0)[ranges]
    inside = np.zeros(len(at), np.bool_)
    for r in np.unique(of).tolist():
        mine = rank == r
        inside[mine] = contains(union(start[of == r], end[of == r]), at[mine])
    return inside


def _rows(
    trace: Trace,
    roofline: Roofline,
    work: tuple[DeviceWork, ...],
    names: tuple[str, ...],
    calls: list[int | None],
    phase: dict[str, Ints],
) -> tuple[PhaseRow, ...]:
    weigh = Weigher(trace, roofline)
    busy = sum(total(device.busy()) for device in work)
    numbers = {**dict(enumerate(names)), _EARLIER: "earlier", _OTHER: "other"}
    time = _times(work, phase, list(numbers))
    rows = []
    for number, name in numbers.items():
        busy_ns, alone_ns = time[number]
        if busy_ns:
            kernels = np.flatnonzero(phase["kernels"] == number)
            limit = weigh(kernels) if len(kernels) else None
            marked = calls[number] if number >= 0 else None
            rows.append(
                PhaseRow(name, marked, len(kernels), busy_ns, alone_ns / busy if busy else 0.0, limit)
            )
    return tuple(rows)


def _times(
    work: tuple[DeviceWork, ...], phase: dict[str, Ints], numbers: list[int]
) -> dict[int, tuple[int, int]]:
    """Of each phase the time in which its work runs, and that in which no other phase's does."""
    found = dict.fromkeys(numbers, (0, 0))
    for device in work:
        of = np.zeros(len(device.kind), np.int64)
        of[device.kind == COPY] = phase["copies"][device.row[device.kind == COPY]]
        of[device.kind != COPY] = phase["kernels"][device.row[device.kind != COPY]]
        when = {n: union(device.start[of == n], device.end[of == n]) for n in numbers}
        for n in numbers:
            others = join(*(when[m] for m in numbers if m != n))
            busy_ns, alone_ns = found[n]
            found[n] = busy_ns + total(when[n]), alone_ns + total(subtract(when[n], others))
    return found


def _utilisation(trace: Trace, results: Mapping[str, Any], redone: NDArray[np.bool_]) -> Utilisation | None:
    """None unless most kernels have a cost and the peak for the type of most products is known.

    Both time and FLOPs are those of the steps: what the device still does of the warm-up is in no step.
    """
    roofline: Roofline = results["roofline"]
    breakdown: Breakdown = results["breakdown"]
    wall = sum(step.wall_ns for device in breakdown.devices for step in device.steps)
    products: dict[str, float] = {}
    for row in roofline.rows:
        if row.flops and row.dtype and row.limit and row.matrix_units is not False:
            products[row.dtype] = products.get(row.dtype, 0.0) + row.flops
    if not products or not wall or roofline.coverage.cost < thresholds.MEASURED_SHARE:
        return None
    dtype = max(products, key=lambda name: (products[name], name))
    peaks = {device.peaks.get(dtype) for device in roofline.devices}
    peak = peaks.pop() if len(peaks) == 1 else None
    if peak is None:
        return None
    stepped = _in_steps(trace, results["steps"])
    each = np.array([(row.flops or 0.0) / row.count for row in roofline.rows])
    flops, again = (each[roofline.of_kernel[chosen]].sum() for chosen in (stepped, stepped & redone))
    could = peak * wall / 1e9
    return Utilisation(
        float(flops - again) / could, float(flops) / could, float(flops), peak, dtype, roofline.coverage.cost
    )


def _in_steps(trace: Trace, steps: Steps) -> NDArray[np.bool_]:
    """Which kernels begin within a step of their rank, as the device sees steps."""
    rank, at = ints(trace.kernels, "rank"), ints(trace.kernels, "ts")
    found = np.zeros(len(at), np.bool_)
    for r in {step.rank for step in steps.steps}:
        windows = np.array([(s.start_ns, s.window_end_ns) for s in steps.steps if s.rank == r], np.int64)
        mine = rank == r
        found[mine] = contains(union(windows[:, 0], windows[:, 1]), at[mine])
    return found
