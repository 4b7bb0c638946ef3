"""Who a row belongs to: global ids → process, thread and rank.

A globalTid holds the host and hypervisor in its upper bits, then 24 bits of process and 24 of thread. Correlation ids
are counted per process, so every process with device work becomes a rank of its own: that makes the join on rank and
correlation right, and is what torchrun's processes are. They are ordered by the device they use first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.ingest.nsys.build import ABSENT, durations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.ingest.nsys.database import Rows, Strings, Tables

    Ints = NDArray[np.int64]

_BITS = (1 << 24) - 1
_DEVICE_TABLES = (
    "CUPTI_ACTIVITY_KIND_KERNEL",
    "CUPTI_ACTIVITY_KIND_MEMCPY",
    "CUPTI_ACTIVITY_KIND_MEMSET",
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE",
)


def process_of(global_id: Ints) -> Ints:
    """The process part of a globalTid or globalPid with the host bits: unique over hosts; -1 for none."""
    return np.where(global_id < 0, -1, global_id >> 24)


def pid_of(global_id: Ints) -> Ints:
    """The operating system's process id; -1 for none."""
    return np.where(global_id < 0, -1, (global_id >> 24) & _BITS)


def tid_of(global_id: Ints) -> Ints:
    """The operating system's thread id; -1 for none."""
    return np.where(global_id < 0, -1, global_id & _BITS)


@dataclass(frozen=True)
class Ranks:
    """The processes with device work, in the order of their ranks (see `process_of`)."""

    processes: tuple[int, ...]

    @classmethod
    def of(cls, database: Tables) -> Ranks:
        """Number the processes of a file."""
        first_device: dict[int, int] = {}
        for table in _DEVICE_TABLES:
            rows = database.read(table, ("globalPid", "deviceId")).distinct()
            pairs = np.stack((process_of(rows.ints("globalPid")), rows.ints("deviceId")))
            for process, device in pairs.T.tolist():
                first_device[process] = min(device, first_device.get(process, device))
        return cls(tuple(sorted(first_device, key=lambda p: (first_device[p], p))))

    @property
    def count(self) -> int:
        """Number of ranks, at least 1."""
        return max(len(self.processes), 1)

    def rank_of(self, global_id: Ints) -> Ints:
        """The rank of each row; 0 for processes without device work."""
        rank = np.zeros(len(global_id), np.int64)
        for number, process in enumerate(self.processes):
            rank[process_of(global_id) == process] = number
        return rank

    def owns_device_work(self, global_id: Ints) -> NDArray[np.bool_]:
        """Whether the process of each row has device work."""
        return np.isin(process_of(global_id), np.array(self.processes, np.int64))


def on_thread(rows: Rows, ranks: Ranks) -> dict[str, Ints]:
    """The columns that all rows of the host have: when, for how long, and on which thread of which rank."""
    thread, start = rows.ints("globalTid"), rows.ints("start", ABSENT)
    return {
        "rank": ranks.rank_of(thread),
        "ts": start,
        "dur": durations(start, rows.ints("end", ABSENT)),
        "pid": pid_of(thread),
        "tid": tid_of(thread),
    }


def process_rows(database: Tables, strings: Strings, ranks: Ranks, used: Ints) -> list[dict[str, Any]]:
    """Rows of `processes` for the processes and threads in `used` (globalTids): others are none of our business."""
    rows = []
    named = database.read("PROCESSES", ("globalPid",), ("name",))
    wanted = np.unique(process_of(used))
    for index in np.flatnonzero(np.isin(process_of(named.ints("globalPid")), wanted)).tolist():
        own = named.ints("globalPid")[index : index + 1]
        name = named.arrow("name")[index].as_py() if named.has("name") else None
        # a command line may hold secrets: keep the program
        rows.append(_row(ranks, own, None, name and name.split()[0].replace("\\", "/").rsplit("/", 1)[-1]))
    threads = database.read("ThreadNames", ("nameId", "globalTid"))
    keep = np.isin(threads.ints("globalTid"), np.unique(used))
    ids, names = threads.ints("globalTid")[keep], strings.of(threads.ints("nameId")[keep]).to_pylist()
    for index, name in enumerate(names):
        rows.append(_row(ranks, ids[index : index + 1], int(tid_of(ids)[index]), name))
    return sorted(rows, key=lambda r: (r["rank"], r["pid"], r["tid"] is not None, r["tid"] or 0))


def _row(ranks: Ranks, global_id: Ints, tid: int | None, name: str | None) -> dict[str, Any]:
    return {
        "rank": int(ranks.rank_of(global_id)[0]),
        "pid": int(pid_of(global_id)[0]),
        "tid": tid,
        "name": name or None,
    }
