"""A large export of Nsight Systems, made up: as many kernels as asked for, with launches, copies, waits and NVTX.

It begins as the recording in fixtures/nsys, whose own events are taken out: so its schema and its tables of names are
what nsys 2022.4 writes. Nothing in it was measured.
"""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

RECORDED = Path(__file__).parents[2] / "fixtures" / "nsys" / "train.sqlite.gz"
KERNELS_PER_STEP, KERNELS_PER_OP, KERNELS_PER_MODULE = 500, 2, 20
SPACING_NS = 9_000
PROCESS = 4242 << 24
THREAD = PROCESS | 4242
OWN_EVENTS = ("NVTX_EVENTS", "OSRT_API", "OSRT_CALLCHAINS", "COMPOSITE_EVENTS", "SAMPLING_CALLCHAINS", "SCHED_EVENTS",
              "PROFILER_OVERHEAD", "PROCESSES", "ThreadNames")  # fmt: skip
DEVICE_WORK = "start end deviceId contextId streamId correlationId globalPid"
SCHEMA = {
    "CUPTI_ACTIVITY_KIND_KERNEL": f"{DEVICE_WORK} demangledName shortName mangledName launchType cacheConfig "
    "registersPerThread gridX gridY gridZ blockX blockY blockZ staticSharedMemory dynamicSharedMemory "
    "localMemoryPerThread localMemoryTotal gridId sharedMemoryExecuted graphNodeId sharedMemoryLimitConfig",
    "CUPTI_ACTIVITY_KIND_RUNTIME": "start end eventClass globalTid correlationId nameId returnValue callchainId",
    "CUPTI_ACTIVITY_KIND_MEMCPY": f"{DEVICE_WORK} bytes copyKind deprecatedSrcId srcKind dstKind srcDeviceId "
    "srcContextId dstDeviceId dstContextId migrationCause graphNodeId virtualAddress",
    "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION": f"{DEVICE_WORK} syncType eventId",
    "TARGET_INFO_GPU": "vmId id name memoryBandwidth clockRate smCount totalMemory threadsPerWarp maxWarpsPerSm "
    "cuDevice computeMajor computeMinor",
}


def write(path: Path, kernels: int) -> None:
    """The export; the same every time."""
    path.write_bytes(gzip.decompress(RECORDED.read_bytes()))
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = OFF")
    connection.execute("PRAGMA synchronous = OFF")
    for table in OWN_EVENTS:
        connection.execute(f"DELETE FROM {table}")
    for table, columns in SCHEMA.items():
        typed = ", ".join(f'"{c}" {"TEXT" if c == "name" else "INTEGER"}' for c in columns.split())
        connection.execute(f"CREATE TABLE {table} ({typed})")
    _fill(connection, kernels)
    connection.commit()
    connection.execute("VACUUM")
    connection.close()


def _fill(connection: sqlite3.Connection, kernels: int) -> None:
    chance = np.random.default_rng(6)
    number = np.arange(kernels)
    launch = number * SPACING_NS + chance.integers(0, 2_000, kernels)
    begin = launch + 12_000
    end = begin + chance.integers(1_000, SPACING_NS - 1_000, kernels)
    kinds = 40
    long_names = [
        f"void at::native::kernel_{k}<float, (int){k}, at::detail::Array<char *, (int)3>>(int, T3)"
        for k in range(kinds)
    ]
    names = _named(connection, [*long_names, *(f"kernel_{k}" for k in range(kinds))])
    kind = chance.integers(0, kinds, kernels)
    grid = chance.integers(1, 4_000, kernels)
    _insert(connection, "CUPTI_ACTIVITY_KIND_KERNEL", [
        begin, end, 0, 1, 7, number + 1, PROCESS, names[kind], names[kind + kinds], None, 0, 0, 32, grid, 1, 1, 256, 1,
        1, 0, 16_384, 0, 0, number, 32_768, None, 0], kernels)  # fmt: skip
    called = ["cudaLaunchKernel_v7000", "cudaMemcpyAsync_v3020", "cudaStreamSynchronize_v3020"]
    calls = _named(connection, called).tolist()
    _insert(connection, "CUPTI_ACTIVITY_KIND_RUNTIME",
            [launch, launch + 4_000, 0, THREAD, number + 1, calls[0], 0, None], kernels)  # fmt: skip
    copies = kernels // 10
    at = np.arange(copies) * 10 * SPACING_NS + 6_500
    own = kernels + 1 + np.arange(copies)
    _insert(connection, "CUPTI_ACTIVITY_KIND_RUNTIME",
            [at, at + 1_000, 0, THREAD, own, calls[1], 0, None], copies)  # fmt: skip
    _insert(connection, "CUPTI_ACTIVITY_KIND_MEMCPY", [
        at + 20_000, at + 26_000, 0, 1, 13, own, PROCESS, 1 << 20, 1, None, 0, 2, *[None] * 7], copies)  # fmt: skip
    waits = kernels // KERNELS_PER_STEP
    at = (np.arange(waits) + 1) * KERNELS_PER_STEP * SPACING_NS - 1_000
    own = kernels + copies + 1 + np.arange(waits)
    _insert(connection, "CUPTI_ACTIVITY_KIND_RUNTIME",
            [at, at + 900, 0, THREAD, own, calls[2], 0, None], waits)  # fmt: skip
    _insert(connection, "CUPTI_ACTIVITY_KIND_SYNCHRONIZATION",
            [at + 10, at + 890, 0, 1, 7, own, PROCESS, 3, (1 << 32) - 1], waits)  # fmt: skip
    _ranges(connection, kernels)
    connection.execute(
        "INSERT INTO TARGET_INFO_GPU VALUES "
        "(0, 0, 'made up', 1500000000000, 1400000000, 108, 40000000000, 32, 64, 0, 8, 0)"
    )


def _ranges(connection: sqlite3.Connection, kernels: int) -> None:
    """Steps, modules in them, and in these ops as emit_nvtx writes them, each with a text of its own."""
    ops = kernels // KERNELS_PER_OP
    texts: Iterable[str] = (f"aten::op_{i % 60}, seq = {i}, op_id = {i}" for i in range(ops))
    _push(connection, np.arange(ops) * KERNELS_PER_OP, KERNELS_PER_OP, 600, texts)
    modules = kernels // KERNELS_PER_MODULE
    per_step = KERNELS_PER_STEP // KERNELS_PER_MODULE
    texts = (f"layer {i % per_step}" for i in range(modules))
    _push(connection, np.arange(modules) * KERNELS_PER_MODULE, KERNELS_PER_MODULE, 400, texts)
    steps = kernels // KERNELS_PER_STEP
    _push(
        connection,
        np.arange(steps) * KERNELS_PER_STEP,
        KERNELS_PER_STEP,
        200,
        (f"step {i}" for i in range(steps)),
    )


def _push(
    connection: sqlite3.Connection, first: Ints, kernels: int, lead_ns: int, texts: Iterable[str]
) -> None:
    start = (first * SPACING_NS - 1_000 + lead_ns).tolist()
    length = kernels * SPACING_NS - 2 * lead_ns
    connection.executemany(
        'INSERT INTO NVTX_EVENTS (start, "end", eventType, text, globalTid, domainId) VALUES (?, ?, 59, ?, ?, 0)',
        ((at, at + length, text, THREAD) for at, text in zip(start, texts, strict=True)),
    )


def _named(connection: sqlite3.Connection, texts: Sequence[str]) -> Ints:
    """Their ids in StringIds."""
    (last,) = connection.execute("SELECT max(id) FROM StringIds").fetchone()
    ids = np.arange(len(texts)) + last + 1
    connection.executemany(
        "INSERT INTO StringIds (id, value) VALUES (?, ?)", zip(ids.tolist(), texts, strict=True)
    )
    return ids


def _insert(
    connection: sqlite3.Connection, table: str, columns: Sequence[Ints | int | None], rows: int
) -> None:
    spread = [c.tolist() if isinstance(c, np.ndarray) else [c] * rows for c in columns]
    marks = ", ".join("?" * len(columns))
    connection.executemany(f"INSERT INTO {table} VALUES ({marks})", zip(*spread, strict=True))
