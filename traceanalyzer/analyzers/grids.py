"""How kernels fill a device: blocks against multiprocessors, the last wave, occupancy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.steps import step_of
from traceanalyzer.analyzers.waves import multiprocessors, occupancies, waves
from traceanalyzer.model.columns import ints, texts, triples
from traceanalyzer.model.communication import communication_kernels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace


@dataclass(frozen=True, slots=True)
class GridRow:
    """The executions of one kernel name that do not fill a device, ns of kernel time.

    `all_ns` is the time of every execution of that name in the steps, also of those that fill a device. `small_ns`:
    fewer blocks than multiprocessors. `tail_ns`: what the last, partly filled wave of blocks leaves unused of the
    whole. `low_ns`: estimated occupancy below `thresholds.LOW_OCCUPANCY` with blocks enough.
    """

    kernel: str
    count: int
    total_ns: int
    blocks: int  # of the longest execution
    occupancy_percent: float | None
    small_ns: int
    tail_ns: int
    low_ns: int
    all_ns: int
    longest: int | None = None  # row of `kernels`


@dataclass(frozen=True, slots=True)
class Grids:
    """Rows with anything to say, most time first. `known` is False when multiprocessors or grids are not recorded."""

    known: bool
    rows: tuple[GridRow, ...]


class GridsAnalyzer:
    """Compares grids with the number of multiprocessors."""

    name: ClassVar[str] = "grids"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Grids:
        """The kernels of all ranks that compute, in the steps: earlier work may be any part of one."""
        table = trace.kernels
        blocks = triples(table, "grid").prod(axis=1)
        threads = triples(table, "block").prod(axis=1)
        sms = multiprocessors(trace)
        use = (sms > 0) & (blocks > 0) & (threads > 0) & ~communication_kernels(trace)
        if not use.any():
            return Grids(False, ())
        duration = np.maximum(ints(table, "dur", 0), 0)
        occupancy = occupancies(table)
        within = step_of(table, results["steps"]) >= 0
        long = use & within & (duration >= thresholds.TINY_KERNEL_NS)
        small = long & (blocks < sms)
        tail = np.where(long & ~small, _unused_in_last_wave(waves(blocks, threads, sms, occupancy)), 0.0)
        low = long & ~small & (occupancy > 0) & (occupancy < thresholds.LOW_OCCUPANCY * 100)
        codes, names = texts(table, "name")
        every_ns = np.bincount(codes[within] + 1, duration[within], len(names) + 1)
        any_ = np.flatnonzero(small | low | (tail > 0))
        rows = []
        for group in group_rows(codes[any_]):
            mine = any_[group]
            longest = int(mine[duration[mine].argmax()])
            part = occupancy[mine]
            known = ~np.isnan(part)
            rows.append(
                GridRow(
                    names[codes[longest]] if codes[longest] >= 0 else "(no name)",
                    len(mine),
                    int(duration[mine].sum()),
                    int(blocks[longest]),
                    float(part[known].mean()) if known.any() else None,
                    int(duration[mine][small[mine]].sum()),
                    int((duration[mine] * tail[mine]).sum()),
                    int(duration[mine][low[mine]].sum()),
                    int(every_ns[codes[longest] + 1]),
                    longest,
                )
            )
        return Grids(True, tuple(sorted(rows, key=lambda r: (-r.total_ns, r.kernel))))


def _unused_in_last_wave(taken: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of a kernel's time that the slots without a block in the last wave stand for, at most; 0 when unknown."""
    known = np.nan_to_num(taken)
    whole = np.ceil(known)
    return np.where(whole > 1, 1 - known / np.maximum(whole, 1), 0.0)
