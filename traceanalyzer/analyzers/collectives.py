"""Communication kernels: how much they move, how fast, and how much of their time compute hides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.messages import recorded_bytes
from traceanalyzer.analyzers.results import CollectiveRow, Collectives
from traceanalyzer.analyzers.work import COMMUNICATION, COMPUTE, DeviceWork, device_work
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.communication import communication_kernels
from traceanalyzer.model.intervals import covered, total, union

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace


class CollectivesAnalyzer:
    """One row per kernel name, collective, element type and group, most time first."""

    name: ClassVar[str] = "collectives"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Collectives:  # noqa: ARG002
        """The communication of all ranks and devices, over the whole trace."""
        kernels = np.flatnonzero(communication_kernels(trace))
        if not len(kernels):
            return Collectives((), None)
        calls = _Calls(trace, kernels)
        work = device_work(trace)
        group_of_kernel = np.full(trace.kernels.num_rows, -1, np.int64)
        groups = list(group_rows(*calls.keys))
        for i, rows in enumerate(groups):
            group_of_kernel[kernels[rows]] = i
        exposed, hidden, when = _exposed(work, group_of_kernel, len(groups))
        found = [calls.row(rows, exposed[i]) for i, rows in enumerate(groups)]
        found.sort(key=lambda r: (-r.total_ns, r.name, r.collective or "", r.dtype or "", r.group or ""))
        return Collectives(tuple(found), hidden / when if when else None)


def bus_factor(collective: str, ranks: int) -> float:
    """What turns bytes per second of a collective into bus bandwidth (nccl-tests, PERFORMANCE.md)."""
    kind = re.sub(r"[^a-z]", "", collective.lower())
    if "allreduce" in kind:
        return 2 * (ranks - 1) / ranks
    if any(name in kind for name in ("allgather", "reducescatter", "alltoall")):
        return (ranks - 1) / ranks
    return 1.0


class _Calls:
    """The columns of communication kernels, with their arguments where those were recorded; -1 is unknown."""

    def __init__(self, trace: Trace, kernels: NDArray[np.int64]) -> None:
        table = trace.collectives
        argument_row = np.full(trace.kernels.num_rows, -1, np.int64)
        linked = ints(table, "kernel")
        argument_row[linked[linked >= 0]] = np.flatnonzero(linked >= 0)
        self.kernels, self.row_of = kernels, argument_row[kernels]
        self.duration = np.maximum(ints(trace.kernels, "dur", 0), 0)[kernels]
        name, self.names = texts(trace.kernels, "name")
        self.texts = {column: texts(table, column) for column in ("collective", "dtype", "group")}
        self.group_size = self._of(ints(table, "group_size"))
        self.codes = {column: self._of(codes) for column, (codes, _) in self.texts.items()}
        self.keys: tuple[NDArray[np.integer], ...] = (name[kernels], *self.codes.values(), self.group_size)
        self.in_bytes, self.out_bytes = (self._of(of_all) for of_all in recorded_bytes(table))

    def _of(self, column: NDArray[np.integer]) -> NDArray[np.int64]:
        values = np.full(len(self.row_of), -1, np.int64)
        known = self.row_of >= 0
        values[known] = column[self.row_of[known]]
        return values

    def row(self, rows: NDArray[np.int64], exposed_ns: int) -> CollectiveRow:
        first = rows[0]
        text = {c: self._text(c, int(self.codes[c][first])) for c in self.codes}
        size = int(self.group_size[first])
        name = int(self.keys[0][first])
        duration = self.duration[rows]
        return CollectiveRow(
            name=self.names[name] if name >= 0 else "(no name)",
            collective=text["collective"],
            dtype=text["dtype"],
            group=text["group"],
            group_size=size if size > 0 else None,
            count=len(rows),
            in_bytes=_sum(self.in_bytes[rows]),
            out_bytes=_sum(self.out_bytes[rows]),
            total_ns=int(duration.sum()),
            min_ns=int(duration.min()),
            max_ns=int(duration.max()),
            exposed_ns=exposed_ns,
            bus_gb_per_s=self._bandwidth(rows, text["collective"], size),
            longest=int(self.kernels[rows[duration.argmax()]]),
        )

    def _bandwidth(self, rows: NDArray[np.int64], collective: str | None, size: int) -> float | None:
        """Of the fastest execution: the others also hold the time they waited for their peers."""
        moved = np.maximum(self.in_bytes[rows], self.out_bytes[rows])
        timed = (moved > 0) & (self.duration[rows] > 0)
        if collective is None or size < 2 or not timed.any():
            return None
        return float((moved[timed] / self.duration[rows][timed]).max() * bus_factor(collective, size))

    def _text(self, column: str, code: int) -> str | None:
        return self.texts[column][1][code] if code >= 0 else None


def _exposed(
    work: tuple[DeviceWork, ...], group_of_kernel: NDArray[np.int64], groups: int
) -> tuple[list[int], int, int]:
    """Exposed time per group; time of all communication that compute hides; time of all communication."""
    exposed, hidden, when_ns = [0] * groups, 0, 0
    for device in work:
        compute, communication = device.busy(COMPUTE), device.busy(COMMUNICATION)
        hidden += int(covered(compute, communication.start, communication.end).sum())
        when_ns += total(communication)
        chosen = np.flatnonzero(device.kind == COMMUNICATION)
        group = group_of_kernel[device.row[chosen]]
        for i in np.unique(group).tolist():
            mine = chosen[group == i]
            when = union(device.start[mine], device.end[mine])
            exposed[i] += total(when) - int(covered(compute, when.start, when.end).sum())
    return exposed, hidden, when_ns


def _sum(values: NDArray[np.int64]) -> int | None:
    return int(values.sum()) if (values >= 0).all() else None
