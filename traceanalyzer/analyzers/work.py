"""The work of each device in the order of its start: kernels and copies in one sequence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.model.columns import ints
from traceanalyzer.model.communication import communication_kernels
from traceanalyzer.model.intervals import Intervals, union

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

COMPUTE, COMMUNICATION, COPY = 0, 1, 2


@dataclass(frozen=True)
class DeviceWork:
    """Everything that one device of one rank executed; arrays of shape (rows,), sorted by start.

    `kind` is COMPUTE, COMMUNICATION or COPY (memcpy and memset); `row` is the row in `copies` when COPY,
    otherwise in `kernels`; `api_call` is the row of the call that launched it, -1 when that is not known.
    """

    rank: int
    device: int
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    kind: NDArray[np.int8]
    row: NDArray[np.int64]
    api_call: NDArray[np.int64]

    def busy(self, *kinds: int) -> Intervals:
        """The time in which work of these kinds ran on any stream; of any kind when none is named."""
        if not kinds:
            return union(self.start, self.end)
        chosen = np.isin(self.kind, kinds)
        return union(self.start[chosen], self.end[chosen])


def streams(work: DeviceWork, trace: Trace) -> NDArray[np.int64]:
    """The stream of each piece of work, shape (rows,)."""
    stream = np.empty(len(work.row), np.int64)
    copies = work.kind == COPY
    stream[copies] = ints(trace.copies, "stream")[work.row[copies]]
    stream[~copies] = ints(trace.kernels, "stream")[work.row[~copies]]
    return stream


def by_row(
    works: Sequence[DeviceWork], values: Sequence[NDArray[np.int64]], trace: Trace
) -> dict[str, NDArray[np.int64]]:
    """What is known of each piece of work, one array per device, for each row of `kernels` and of `copies`."""
    found = {name: np.zeros(trace.tables[name].num_rows, np.int64) for name in ("kernels", "copies")}
    for work, value in zip(works, values, strict=True):
        copies = work.kind == COPY
        found["copies"][work.row[copies]] = value[copies]
        found["kernels"][work.row[~copies]] = value[~copies]
    return found


def device_work(trace: Trace) -> tuple[DeviceWork, ...]:
    """The work of every device that executed any, by rank and device: found once for each trace."""
    found: tuple[DeviceWork, ...] = trace.once("device_work", _device_work)
    return found


def _device_work(trace: Trace) -> tuple[DeviceWork, ...]:
    kernels, copies = trace.kernels, trace.copies
    both = {
        name: np.concatenate((ints(kernels, name), ints(copies, name)))
        for name in ("rank", "device", "ts", "api_call")
    }
    duration = np.concatenate((ints(kernels, "dur", 0), ints(copies, "dur", 0)))
    end = both["ts"] + np.maximum(duration, 0)
    kind = np.concatenate((communication_kernels(trace), np.full(copies.num_rows, COPY))).astype(np.int8)
    row = np.concatenate((np.arange(kernels.num_rows), np.arange(copies.num_rows)))
    found = []
    for mine in group_rows(both["rank"], both["device"]):
        rows = mine[np.lexsort((end[mine], both["ts"][mine]))]
        first = rows[0]
        found.append(
            DeviceWork(
                int(both["rank"][first]),
                int(both["device"][first]),
                both["ts"][rows],
                end[rows],
                kind[rows],
                row[rows],
                both["api_call"][rows],
            )
        )
    return tuple(found)
