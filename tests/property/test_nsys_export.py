"""An Nsight Systems export with rows in any order or parts missing: the same numbers, or what is not known is said.

`NEEDS` is the other side of that: what each table of numbers is made of. Whatever is not in there may be missing.
"""

from __future__ import annotations

import json
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nsys_files import Export, global_id

from traceanalyzer.analyzers.nsys.ranges import nvtx_gpu_proj_trace, nvtx_sum
from traceanalyzer.analyzers.nsys.stats import STATS
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import analyze, load
from traceanalyzer.reporters import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.nsys.tables import StatsTable
    from traceanalyzer.model.trace import Trace

NO_CACHE = LoadOptions(use_cache=False)
KERNEL, RUNTIME, COPY, SET, NVTX, SYSTEM, MEMORY, GRAPH, SAMPLES = (
    "CUPTI_ACTIVITY_KIND_KERNEL", "CUPTI_ACTIVITY_KIND_RUNTIME", "CUPTI_ACTIVITY_KIND_MEMCPY",
    "CUPTI_ACTIVITY_KIND_MEMSET", "NVTX_EVENTS", "OSRT_API", "CUDA_GPU_MEMORY_USAGE_EVENTS",
    "CUPTI_ACTIVITY_KIND_GRAPH_TRACE", "COMPOSITE_EVENTS")  # fmt: skip


def _of(table: str, *columns: str) -> frozenset[str]:
    return frozenset({table, *(f"{table}.{column}" for column in ("start", "end", *columns))})


NAMES = frozenset({"StringIds", "StringIds.id", "StringIds.value"})
KERNELS = _of(KERNEL, "demangledName", "shortName") | NAMES
CALLS = _of(RUNTIME, "nameId") | NAMES
COPIES = _of(COPY, "copyKind") | _of(SET)
RANGES = _of(NVTX, "eventType", "textId", "text", "globalTid", "domainId") | NAMES
SHAPES = frozenset({f"{KERNEL}.{side}{axis}" for side in ("grid", "block") for axis in "XYZ"})
WORK = (KERNEL, COPY, SET)
LINKS = frozenset(
    {f"{table}.{column}" for table in WORK for column in ("correlationId", "globalPid")}
    | {f"{RUNTIME}.correlationId", f"{RUNTIME}.globalTid"}
)
LANES = frozenset(
    f"{table}.{column}" for table in WORK for column in ("deviceId", "contextId", "streamId", "globalPid")
)
ALL_COPIES = COPIES | {f"{COPY}.bytes", f"{SET}.bytes"}
NEEDS = {
    "cuda_api_sum": CALLS,
    "cuda_gpu_kern_sum": KERNELS,
    "cuda_gpu_kern_sum_base": KERNELS,
    "cuda_gpu_kern_gb_sum": KERNELS | SHAPES,
    "cuda_gpu_mem_time_sum": COPIES,
    "cuda_gpu_mem_size_sum": ALL_COPIES,
    "cuda_gpu_sum": KERNELS | COPIES,
    "cuda_api_gpu_sum": KERNELS | COPIES | CALLS,
    "cuda_kern_exec_sum": KERNELS | CALLS | LINKS | LANES,
    "cuda_gpu_trace": KERNELS | ALL_COPIES | SHAPES | LINKS | LANES
    | {f"{KERNEL}.registersPerThread", f"{COPY}.srcKind", f"{COPY}.dstKind", f"{SET}.memKind"},
    "nvtx_sum": RANGES,
    "nvtx_pushpop_sum": RANGES,
    "nvtx_startend_sum": RANGES,
    "nvtx_gpu_proj_trace": RANGES | KERNELS | CALLS | COPIES | LINKS | LANES,
    "nvtx_gpu_proj_sum": RANGES | KERNELS | CALLS | COPIES | LINKS | LANES,
    "osrt_sum": _of(SYSTEM, "nameId") | NAMES,
}  # fmt: skip
NUMBERED = {"RangeId", "ParentId", "RangeStack"}
"""Ranges are numbered by their row."""

MOMENT, LENGTH, NAME = (
    st.integers(0, 50_000),
    st.integers(0, 3_000),
    st.sampled_from(["gemm", "relu<float>(int)", "x"]),
)
PID = st.sampled_from([300, 400])


@st.composite
def exports(draw: st.DrawFn) -> Export:
    """Some of everything; `Export.write` leaves out a table of which there is nothing."""
    export = Export()
    for correlation, (pid, at, length, wait, name) in enumerate(
        draw(st.lists(st.tuples(PID, MOMENT, LENGTH, LENGTH, NAME), min_size=1, max_size=6)), start=1
    ):
        export.launch(pid, at, at + length, correlation)
        export.kernel(
            pid,
            at + wait,
            at + wait + length,
            correlation,
            name,
            pid // 300 - 1,
            graphId=None,
            graphNodeId=None,
        )
    for correlation, (pid, at, length, kind) in enumerate(
        draw(st.lists(st.tuples(PID, MOMENT, LENGTH, st.sampled_from([1, 2, 8])), max_size=3)), start=50
    ):
        export.launch(pid, at, at + length, correlation, "cudaMemcpyAsync_v3020")
        export.add(COPY, start=at, end=at + length, deviceId=0, contextId=1, streamId=9, correlationId=correlation,
                   globalPid=global_id(pid), bytes=length * 8, copyKind=kind, srcKind=0, dstKind=2)  # fmt: skip
        export.add(SET, start=at, end=at + length, deviceId=0, contextId=1, streamId=9, correlationId=correlation + 50,
                   globalPid=global_id(pid), bytes=length, memKind=2)  # fmt: skip
    for pid, at, length, text, kind in draw(st.lists(
        st.tuples(PID, MOMENT, LENGTH, st.sampled_from(["step 1", "aten::mul, seq = 7, op_id = 2", "f"]),
                  st.sampled_from([59, 60, 34])), max_size=5)):  # fmt: skip
        export.range(pid, at, None if kind == 34 else at + length, text, kind)
    for pid, at, length in draw(st.lists(st.tuples(PID, MOMENT, LENGTH), max_size=3)):
        export.add(SYSTEM, start=at, end=at + length, eventClass=27, globalTid=global_id(pid, pid),
                   nameId=export.name("poll"), callchainId=0)  # fmt: skip
        export.add(MEMORY, start=at, globalPid=global_id(pid), deviceId=0, address=at, bytes=length, memKind=2,
                   memoryOperationType=at % 2)  # fmt: skip
        export.add(SAMPLES, id=at, start=at, cpu=0, threadState=1, globalTid=global_id(pid, pid))
    return export


def loaded(export: Export, **how: Any) -> Trace:
    with tempfile.TemporaryDirectory() as folder:
        return load(export.write(Path(folder, "run.sqlite"), **how), options=NO_CACHE)


def shuffled(export: Export, seed: int) -> Export:
    other, chance = Export(), random.Random(seed)
    other.names = export.names
    other.tables = {table: chance.sample(rows, len(rows)) for table, rows in export.tables.items()}
    return other


def rows(table: StatsTable) -> list[tuple[Any, ...]]:
    kept = [i for i, column in enumerate(table.columns) if column not in NUMBERED]
    return sorted((tuple(row[i] for i in kept) for row in table.rows), key=repr)


def parts(export: Export) -> list[str]:
    return ["StringIds", "StringIds.value", *export.tables,
            *(f"{table}.{column}" for table, found in export.tables.items() for column in found[0])]  # fmt: skip


def depends(what: str, missing: str) -> bool:
    return missing in NEEDS[what]


def doubts(trace: Trace) -> Iterable[str]:
    """What a reader is told to be unknown."""
    yield from (note.message for note in trace.sources[0].notes if note.kind == "partial")


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(exports(), st.integers())
def test_rows_in_any_order_give_the_same_numbers(export: Export, seed: int) -> None:
    one, other = loaded(export), loaded(shuffled(export, seed))
    for make in STATS:
        assert rows(make(one)) == rows(make(other)), make.__name__
    assert analyze(one)["breakdown"].devices == analyze(other)["breakdown"].devices


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(exports(), st.data())
def test_what_is_missing_changes_no_number_that_does_not_need_it(export: Export, data: st.DataObject) -> None:
    missing = data.draw(st.sampled_from(parts(export)))
    one, other = loaded(export), loaded(export, without=[missing])
    for make in STATS:
        if not depends(make.__name__, missing):
            assert rows(make(one)) == rows(make(other)), f"{make.__name__} without {missing}"
    document = render(analyze(other), "json")
    assert '"schema_version"' in document


def full() -> Export:
    """One of everything."""
    export = Export()
    export.launch(300, 100, 120, 1).kernel(300, 200, 300, 1, "gemm", graphId=None, graphNodeId=None)
    export.launch(300, 130, 150, 2, "cudaMemcpyAsync_v3020")
    export.add(COPY, start=400, end=480, deviceId=0, contextId=1, streamId=9, correlationId=2,
               globalPid=global_id(300), bytes=64, copyKind=1, srcKind=0, dstKind=2)  # fmt: skip
    export.add(MEMORY, start=10, globalPid=global_id(300), deviceId=0, address=4096, bytes=512, memKind=2,
               memoryOperationType=1)  # fmt: skip
    export.add(SYSTEM, start=500, end=600, eventClass=27, globalTid=global_id(300, 300), nameId=export.name("poll"),
               callchainId=0)  # fmt: skip
    return export.range(300, 90, 160, "step")


UNKNOWN = {
    f"{KERNEL}.start": "without a start",
    f"{KERNEL}.end": "without an end",
    f"{RUNTIME}.end": "without an end",
    f"{COPY}.end": "without an end",
    f"{SYSTEM}.end": "without an end",
    "StringIds": "without a name",
    "StringIds.value": "without a name",
    f"{RUNTIME}.nameId": "without a name",
    f"{NVTX}.eventType": "of an unknown kind",
    f"{MEMORY}.memoryOperationType": "of an unknown kind",
}


@pytest.mark.parametrize("missing", UNKNOWN)
def test_numbers_that_cannot_be_made_are_said_to_be_missing(missing: str) -> None:
    assert list(doubts(loaded(full()))) == []
    assert UNKNOWN[missing] in " ".join(doubts(loaded(full(), without=[missing])))


def test_unknown_is_not_zero() -> None:
    no_bytes = loaded(full(), without=[f"{MEMORY}.bytes", f"{COPY}.bytes"])
    assert no_bytes.allocations["bytes"].to_pylist() == [None]
    assert no_bytes.copies["bytes"].to_pylist() == [None]
    no_grid = loaded(full(), without=[f"{KERNEL}.grid{axis}" for axis in "XYZ"])
    assert no_grid.kernels["grid"].to_pylist() == [None]
    assert nvtx_gpu_proj_trace(no_grid).rows == nvtx_gpu_proj_trace(loaded(full())).rows
    assert loaded(full(), without=[f"{RUNTIME}.eventClass"]).api_calls["layer"].to_pylist() == [None, None]


def test_ranges_without_a_name_are_counted() -> None:
    (row,) = nvtx_sum(loaded(full(), without=[f"{NVTX}.text"])).rows
    assert (row[1], row[2], row[-1]) == (70, 1, "")


@pytest.mark.parametrize("length", [0, 5])
def test_fills_of_a_process_that_is_not_told_give_a_report(length: int) -> None:
    """They are a rank without any call, and the first one, which is replayed."""
    export = full()
    export.add(SET, start=0, end=length, deviceId=0, contextId=1, streamId=9, correlationId=99, globalPid=None,
               bytes=8, memKind=2)  # fmt: skip
    for at in range(3):
        export.launch(300, 40_000 * at + 1_000, 40_000 * at + 2_000, 10 + at)
        export.kernel(300, 40_000 * at + 3_000, 40_000 * at + 4_000, 10 + at, graphId=None, graphNodeId=None)
    document = json.loads(render(analyze(loaded(export)), "json"))
    assert {f["code"] for f in document["findings"]} & {"IDLE001", "KERN001"}
