"""What the host's threads did, and when: the material from which idle time gets its cause.

Kinds of host work are told by names: of API calls, ops, annotations and Python frames. Where two overlap, the
one that comes first in `STALLS` and `ORDINARY` wins, so that the time of one thread is never counted twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import Intervals, empty, join, subtract, union

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

# Something outside the normal course of a step, first match first.
STALLS: Mapping[str, re.Pattern[str]] = {
    "gc": re.compile(r"^Python GC|garbage.collect|<built-in (function|method) collect\b", re.IGNORECASE),
    "compile": re.compile(
        r"\(dynamo_timed\)|^(entire_frame_compile|backend_compile|inductor_compile|compile_fx_inner)\b"
        r"|torch/_dynamo/convert_frame\.py\(\d+\): _?compile"
        r"|torch/_inductor/compile_fx\.py\(\d+\): compile_fx"
        r"|triton/compiler/compiler\.py\(\d+\): compile|^(cu|cuda|hip)(Module|Library)Load"
    ),
    "host_sync": re.compile(
        r"^(cuda|hip)(Device|Stream|Event)Synchronize|^cu(Ctx|Stream|Event)Synchronize"
        r"|^(mtia|xpu|ze|musa|acl|cn).*Synchroni[sz]e"
    ),
    "allocator": re.compile(
        r"^(cuda|hip)(Malloc|Free|HostAlloc|HostMalloc|HostFree|HostRegister|HostUnregister)(?!.*Async)"
        r"|^cuMem(Alloc|Free|Create|Release|Map|Unmap|SetAccess|Address(Reserve|Free)|HostAlloc)(?!.*Async)"
        r"|^hip(MemCreate|MemMap|MemUnmap|MemRelease|MemSetAccess|MemAddress)"
    ),
    "host_copy": re.compile(r"^(cuda|hip)Memcpy(2D|3D|WithStream)?(_v\d+)?$|^cuMemcpy(HtoD|DtoH)(_v\d+)?$"),
    "dataloader": re.compile(r"DataLoader.*__next__|torch/utils/data/dataloader\.py\(\d+\): __next__"),
    # On threads of its own: see `HostActivity.collectives`.
    "host_communication": re.compile(r"^(gloo|mpi):"),
}
# The normal course of a step; what is left is dispatch.
ORDINARY: Mapping[str, re.Pattern[str]] = {
    "optimizer": re.compile(r"^Optimizer\.(step|zero_grad)#"),
    "autograd": re.compile(
        r"^autograd::engine::evaluate_function|run_backward of torch\._C\._EngineBase"
        r"|torch/(_tensor|autograd/\w+)\.py\(\d+\): (_engine_run_)?backward"
    ),
}
KINDS: tuple[str, ...] = (*STALLS, *ORDINARY)
_OPERATOR = re.compile(r"^(?!autograd::|torch::autograd::)\w+::")
_COMMUNICATES = re.compile(r"^_?c10d(_functional)?::")


@dataclass(frozen=True)
class HostRows:
    """The rows of one host table; arrays of shape (rows,). `thread` numbers the threads of all ranks."""

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    thread: NDArray[np.int64]
    code: NDArray[np.int32]
    names: list[str]

    def named(self, pattern: re.Pattern[str]) -> NDArray[np.bool_]:
        """Which rows have a name in which the pattern is found."""
        hits = np.array([pattern.search(n) is not None for n in self.names] + [False])
        result: NDArray[np.bool_] = hits[self.code]
        return result

    def name(self, row: int) -> str | None:
        """The name of a row, if it has one."""
        code = int(self.code[row])
        return self.names[code] if code >= 0 else None


@dataclass(frozen=True)
class HostActivity:
    """All host rows by table, and what kind of work each thread did when."""

    ops: HostRows
    annotations: HostRows
    api_calls: HostRows
    python_calls: HostRows
    waits: NDArray[np.bool_]  # API calls that return when the device is done
    copies: NDArray[
        np.bool_
    ]  # API calls that copy pageable memory to the device, or block for another reason
    parent: NDArray[np.int64]  # the op that an op is within, -1 for none
    process: Mapping[int, tuple[int, int]]  # (rank, pid) of a thread
    launchers: frozenset[int]  # threads that launched device work

    @classmethod
    def of(cls, trace: Trace) -> HostActivity:
        """Look at a linked trace."""
        tables = [trace.ops, trace.annotations, trace.api_calls, trace.python_calls]
        threads, process = _threads(tables)
        ops, annotations, calls, frames = (_rows(t, c) for t, c in zip(tables, threads, strict=True))
        on_gpu = np.array(trace.annotations.column("on_gpu").fill_null(False).to_numpy(), np.bool_)
        annotations.thread[on_gpu] = -1  # belongs to no host thread
        pageable, to_host = _copy_calls(trace)
        blocking = pageable | calls.named(STALLS["host_copy"])
        waits = calls.named(STALLS["host_sync"]) | (blocking & to_host)
        launching = np.concatenate([ints(t, "api_call") for t in (trace.kernels, trace.copies)])
        launchers = frozenset(np.unique(calls.thread[launching[launching >= 0]]).tolist())
        parent = ints(trace.ops, "parent")
        return cls(ops, annotations, calls, frames, waits, blocking & ~waits, parent, process, launchers)

    @cached_property
    def autograd_threads(self) -> frozenset[int]:
        """The threads that run backward nodes."""
        return frozenset(np.unique(self.ops.thread[self.ops.named(ORDINARY["autograd"])]).tolist())

    def crew(self, thread: int) -> frozenset[int]:
        """The threads whose time is one course of events with that of this launching thread.

        Backward nodes run on a thread of their own while the thread that called `backward()` waits for it, so
        in a process with such a thread all launching threads are one crew; otherwise a thread is alone.
        """
        mates = frozenset(t for t in self.launchers if self.process[t] == self.process[thread])
        return mates if mates & self.autograd_threads else frozenset({thread})

    def activity(self, crew: frozenset[int]) -> dict[str, Intervals]:
        """When a crew did each kind of work; the sets do not overlap."""
        found: dict[str, Intervals] = {}
        taken = empty()
        for kind in KINDS:
            if kind == "host_communication":
                busy = self._waits_for_ranks(crew)
            else:
                busy = join(*(self._kinds[kind].get(thread, empty()) for thread in crew))
            found[kind] = subtract(busy, taken)
            taken = join(taken, busy)
        return found

    @cached_property
    def _waiting(self) -> dict[int, Intervals]:
        return _by_thread([(self.api_calls, self.waits)])

    @cached_property
    def _kinds(self) -> dict[str, dict[int, Intervals]]:
        patterns = {**STALLS, **ORDINARY}
        tables = (self.ops, self.annotations, self.api_calls, self.python_calls)
        found = {kind: _by_thread([(t, t.named(patterns[kind])) for t in tables]) for kind in KINDS}
        found["host_sync"] = self._waiting
        found["host_copy"] = _by_thread([(self.api_calls, self.copies)])
        return found

    def _waits_for_ranks(self, crew: frozenset[int]) -> Intervals:
        """When collectives ran that a crew asked for, and it neither computed nor called the driver.

        The calls that wait for a collective have no rows of their own without stacks.
        """
        rows, caller = self.collectives
        if not len(rows):
            return empty()
        mine = np.isin(caller, sorted(crew))
        for process in {self.process[thread] for thread in crew}:
            mine |= (caller < 0) & np.isin(self.annotations.thread[rows], self._threads_of(process))
        ran = union(self.annotations.start[rows[mine]], self.annotations.end[rows[mine]])
        busy = []
        for table, chosen in (
            (self.ops, self.computes),
            (self.api_calls, np.ones(len(self.waits), np.bool_)),
        ):
            of_crew = chosen & np.isin(table.thread, sorted(crew))
            busy.append(union(table.start[of_crew], table.end[of_crew]))
        return subtract(ran, join(*busy))

    @cached_property
    def computes(self) -> NDArray[np.bool_]:
        """Which ops compute: operators, but not nodes of the autograd engine, nor what communicates within.

        Such a node may be a function of the user that waits for a collective.
        """
        waits = np.zeros(len(self.parent), np.bool_)
        rows = np.flatnonzero(self.ops.named(_COMMUNICATES))
        while len(rows):
            waits[rows] = True
            rows = np.unique(self.parent[rows])
            rows = rows[(rows >= 0) & ~waits[rows]]
        return self.ops.named(_OPERATOR) & ~waits

    @cached_property
    def collectives(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The annotations that are collectives on the host, and the thread that asked for each; -1 is not known.

        Gloo runs them on threads of its own. Asked for it has the last op of communication that began before, in the
        same process.
        """
        rows = np.flatnonzero(
            self.annotations.named(STALLS["host_communication"]) & (self.annotations.thread >= 0)
        )
        caller = np.full(len(rows), -1, np.int64)
        if not len(rows):
            return rows, caller
        asks = np.flatnonzero(self.ops.named(_COMMUNICATES))
        asks = asks[np.argsort(self.ops.start[asks], kind="stable")]
        for process in {self.process[t] for t in np.unique(self.annotations.thread[rows]).tolist()}:
            threads = self._threads_of(process)
            ran = np.flatnonzero(np.isin(self.annotations.thread[rows], threads))
            asked = asks[np.isin(self.ops.thread[asks], threads)]
            last = np.searchsorted(self.ops.start[asked], self.annotations.start[rows[ran]], side="right") - 1
            caller[ran[last >= 0]] = self.ops.thread[asked[last[last >= 0]]]
        return rows, caller

    def _threads_of(self, process: tuple[int, int]) -> list[int]:
        return [thread for thread, own in self.process.items() if own == process]


def _threads(tables: list[pa.Table]) -> tuple[list[NDArray[np.int64]], dict[int, tuple[int, int]]]:
    """A number for the thread of every row, the same for all tables, and the (rank, pid) of each number."""
    encoded = [
        pa.chunked_array([c.cast(pa.int64()) for t in tables for c in t.column(name).chunks], pa.int64())
        .fill_null(-1)
        .combine_chunks()
        .dictionary_encode()
        for name in ("rank", "pid", "tid")
    ]
    codes = [e.indices.to_numpy().astype(np.int64) for e in encoded]
    ranks, pids, tids = (e.dictionary.to_pylist() for e in encoded)
    thread = (codes[0] * max(len(pids), 1) + codes[1]) * max(len(tids), 1) + codes[2]
    process = {
        t: (ranks[t // len(tids) // len(pids)], pids[t // len(tids) % len(pids)])
        for t in np.unique(thread).tolist()
    }
    return np.split(thread, np.cumsum([t.num_rows for t in tables])[:-1]), process


def _rows(table: pa.Table, thread: NDArray[np.int64]) -> HostRows:
    start = ints(table, "ts")
    code, names = texts(table, "name")
    return HostRows(start, start + np.maximum(ints(table, "dur", 0), 0), thread.copy(), code, names)


def _by_thread(chosen: list[tuple[HostRows, NDArray[np.bool_]]]) -> dict[int, Intervals]:
    start = np.concatenate([rows.start[mask] for rows, mask in chosen])
    end = np.concatenate([rows.end[mask] for rows, mask in chosen])
    thread = np.concatenate([rows.thread[mask] for rows, mask in chosen])
    order = np.argsort(thread, kind="stable")
    start, end, thread = start[order], end[order], thread[order]
    values, first = np.unique(thread, return_index=True)
    edges = [*first.tolist(), len(thread)]
    return {
        int(t): union(start[lo:hi], end[lo:hi])
        for t, lo, hi in zip(values, edges, edges[1:], strict=False)
        if t >= 0
    }


def _copy_calls(trace: Trace) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which API calls copy to or from pageable memory, and which copy to the host."""
    copies = trace.copies
    call = ints(copies, "api_call")
    memory = np.zeros(copies.num_rows, np.bool_)
    for column in ("src_kind", "dst_kind"):
        memory |= _equals(copies, column, "pageable")
    pageable, to_host = (np.zeros(trace.api_calls.num_rows, np.bool_) for _ in range(2))
    linked = call >= 0
    pageable[call[linked & memory]] = True
    to_host[call[linked & _equals(copies, "direction", "DtoH")]] = True
    return pageable, to_host


def _equals(table: pa.Table, column: str, value: str) -> NDArray[np.bool_]:
    codes, names = texts(table, column)
    result: NDArray[np.bool_] = np.array([n == value for n in names] + [False])[codes]
    return result
