"""How the streams of each device share the work, and whether they ever run at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.model.columns import ints
from traceanalyzer.model.communication import communication_kernels
from traceanalyzer.model.intervals import total, union

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.model.trace import Capability, Trace


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One stream with kernels that compute; `busy_ns` is the union of their time."""

    stream: int
    kernels: int
    busy_ns: int
    longest: int | None = None  # row of `kernels`


@dataclass(frozen=True, slots=True)
class DeviceStreams:
    """The streams of a device that compute, busiest first. `together_ns` is when two and more of them work."""

    rank: int
    device: int
    streams: tuple[StreamRow, ...]
    together_ns: int


@dataclass(frozen=True, slots=True)
class Streams:
    """All devices, by rank and device."""

    devices: tuple[DeviceStreams, ...]


class StreamsAnalyzer:
    """Looks at kernels that compute; communication has streams of its own for good reason."""

    name: ClassVar[str] = "streams"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Streams:  # noqa: ARG002
        """The streams of all ranks, over the whole trace."""
        table = trace.kernels
        compute = np.flatnonzero(~communication_kernels(trace))
        rank, device, stream = (ints(table, c)[compute] for c in ("rank", "device", "stream"))
        start = ints(table, "ts")[compute]
        end = start + np.maximum(ints(table, "dur", 0)[compute], 0)
        found = []
        for of_device in group_rows(rank, device):
            rows, alone = [], 0
            for mine in group_rows(stream[of_device]):
                chosen = of_device[mine]
                busy = total(union(start[chosen], end[chosen]))
                alone += busy
                longest = chosen[(end - start)[chosen].argmax()]
                rows.append(StreamRow(int(stream[longest]), len(chosen), busy, int(compute[longest])))
            first = of_device[0]
            together = alone - total(union(start[of_device], end[of_device]))
            rows.sort(key=lambda r: (-r.busy_ns, r.stream))
            found.append(DeviceStreams(int(rank[first]), int(device[first]), tuple(rows), together))
        return Streams(tuple(found))
