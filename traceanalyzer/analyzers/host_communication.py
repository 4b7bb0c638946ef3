"""Communication that the host runs itself (Gloo, MPI), and who waits for whom in its collectives.

As on devices, the rank that takes the shortest time for a collective is the one that came last. The profiler records
neither the process group nor a number of these collectives: the n-th of a name on every rank is taken to be one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.collective_runs import POINT_TO_POINT, everywhere_as_often
from traceanalyzer.analyzers.groups import turns
from traceanalyzer.analyzers.host import STALLS, HostActivity
from traceanalyzer.analyzers.peers import peer_rows
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import total, union
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.recordings import recording_at

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.peers import PeerRow
    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HostCommunicationRow:
    """All executions of one collective, or of sending or receiving; `total_ns` is how long they ran."""

    name: str
    count: int
    total_ns: int
    min_ns: int
    max_ns: int


@dataclass(frozen=True, slots=True)
class HostCommunication:
    """Rows by name, most time first; `ranks` is empty unless two ranks and more ran the same collectives."""

    rows: tuple[HostCommunicationRow, ...]
    ranks: tuple[PeerRow, ...] = ()


class HostCommunicationAnalyzer:
    """Looks at the whole trace."""

    name: ClassVar[str] = "host_communication"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> HostCommunication:  # noqa: ARG002
        """The communication of all ranks."""
        if not any(STALLS["host_communication"].search(name) for name in texts(trace.annotations, "name")[1]):
            return HostCommunication(())
        host = HostActivity.of(trace)
        rows = host.collectives[0]
        ranges = host.annotations
        code, took = ranges.code[rows].astype(np.int64), (ranges.end - ranges.start)[rows]
        found = []
        for each in np.unique(code).tolist():
            times = took[code == each]
            found.append(
                HostCommunicationRow(
                    ranges.names[each], len(times), int(times.sum()), int(times.min()), int(times.max())
                )
            )
        found.sort(key=lambda row: (-row.total_ns, row.name))
        return HostCommunication(tuple(found), _ranks(trace, host, rows, code, took))


def _ranks(trace: Trace, host: HostActivity, rows: Ints, code: Ints, took: Ints) -> tuple[PeerRow, ...]:
    start = host.annotations.start[rows]
    order = np.argsort(start, kind="stable")
    pairs = np.array([POINT_TO_POINT.search(name) is not None for name in host.annotations.names])
    order = order[~pairs[code[order]]]
    rows, code, took, start = rows[order], code[order], took[order], start[order]
    rank = ints(trace.annotations, "rank")[rows]
    kind = np.unique(codes_of(code, recording_at(trace.recordings, rank, start)), return_inverse=True)[1]
    call = np.unique(codes_of(kind, turns(codes_of(kind, rank))), return_inverse=True)[1]
    ranks = np.unique(rank)
    everywhere = np.bincount(call)[call] == len(ranks)
    shared = everywhere & everywhere_as_often(kind, rank)
    if len(ranks) < 2 or not shared.any():
        return ()
    compute, of_op = {}, ints(trace.ops, "rank")
    for one in ranks.tolist():
        mine = host.computes & (of_op == one)
        compute[one] = total(union(host.ops.start[mine], host.ops.end[mine]))
    return peer_rows(rank[shared], call[shared], rows[shared], took[shared], compute)
