"""An Nsight Systems export becomes the same tables as any other trace, whatever it lacks."""

from __future__ import annotations

import gzip
import os
import random
import sqlite3
import stat
from typing import TYPE_CHECKING, Any

import pytest
from nsys_files import Export, global_id

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.inputs import expand, read_inputs
from traceanalyzer.ingest.nsys.host import plain_name
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.model.link import link
from traceanalyzer.pipeline import analyze

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.model.trace import Trace

NO_CACHE = LoadOptions(use_cache=False)


def load(path: Path) -> Trace:
    return link(read_inputs([path], NO_CACHE))


def column(trace: Trace, table: str, name: str) -> list[Any]:
    values: list[Any] = trace.tables[table].column(name).to_pylist()
    return values


def two_processes() -> Export:
    """Both count correlations from 1; the one with the larger pid uses device 0."""
    export = Export()
    for pid, device, name in ((300, 1, "second"), (400, 0, "first")):
        export.launch(pid, 1000 + pid, 1010 + pid, 1).kernel(pid, 2000 + pid, 2500 + pid, 1, name, device)
    return export


def test_equal_correlations_of_two_processes_do_not_mix(tmp_path: Path) -> None:
    trace = load(two_processes().write(tmp_path / "run.sqlite"))
    calls = trace.api_calls.to_pylist()
    launched_by = {
        k["name"]: (k["rank"], k["device"], calls[k["api_call"]]["pid"]) for k in trace.kernels.to_pylist()
    }
    assert launched_by == {"first": (0, 0, 400), "second": (1, 1, 300)}


def test_the_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    export = two_processes().range(400, 900, 3000, "outer").range(400, 950, 2000, "inner")
    one, other = (load(export.write(tmp_path / f"{r}.sqlite", reverse=r)) for r in (False, True))
    for name in ("kernels", "api_calls"):
        assert one.tables[name].equals(other.tables[name])
    assert column(one, "annotations", "name") == column(other, "annotations", "name") == ["outer", "inner"]


def test_time_starts_at_the_first_row_and_the_wall_clock_is_kept(tmp_path: Path) -> None:
    export = two_processes().add("TARGET_INFO_SESSION_START_TIME", utcEpochNs=1_700_000_000_000_000_000)
    trace = load(export.write(tmp_path / "run.sqlite"))
    assert min(column(trace, "api_calls", "ts")) == 0
    assert trace.sources[0].epoch_ns == 1_700_000_000_000_001_300
    assert trace.sources[0].metadata["capture_offset_ns"] == 1300


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("cudaLaunchKernel_v7000", "cudaLaunchKernel"),
        ("cudaMemcpyAsync_ptsz_v7000", "cudaMemcpyAsync"),
        ("cudaStreamIsCapturing_v10000", "cudaStreamIsCapturing"),
        ("cudaStreamGetCaptureInfo_v2_v11030", "cudaStreamGetCaptureInfo_v2"),
        ("cuMemAlloc_v2", "cuMemAlloc_v2"),
    ],
)
def test_api_names_lose_the_version_of_their_symbol_only(symbol: str, name: str) -> None:
    assert plain_name(symbol) == name


def test_a_call_recorded_again_for_its_backtrace_counts_once(tmp_path: Path) -> None:
    export = two_processes().launch(400, 1399, 1411, 1, "cudaLaunchKernel", event_class=67)
    trace = load(export.write(tmp_path / "run.sqlite"))
    assert trace.api_calls.num_rows == 2


def test_emit_nvtx_ranges_are_ops_with_their_forward(tmp_path: Path) -> None:
    export = (
        two_processes()
        .range(400, 1300, 1500, "aten::mul, seq = 7, op_id = 1, sizes = [[2, 3], []]")
        .range(400, 1600, 1900, "MulBackward0, seq = 7, op_id = 2", tid=401)
        .range(400, 1200, 1950, "my block")
    )
    trace = load(export.write(tmp_path / "run.sqlite"))
    forward, backward = trace.ops.to_pylist()
    assert (forward["name"], forward["seq"], forward["input_dims"]) == ("aten::mul", 7, "[[2,3],[]]")
    assert (backward["name"], backward["forward"]) == ("MulBackward0", forward["id"])
    assert column(trace, "annotations", "name") == ["my block"]
    assert [k["op"] for k in trace.kernels.to_pylist() if k["rank"] == 0] == [forward["id"]]


def test_domains_styles_and_ranges_without_an_end(tmp_path: Path) -> None:
    export = (
        two_processes()
        .add("NVTX_EVENTS", start=-5, end=None, eventType=75, text="NCCL", textId=None, domainId=3,
             globalTid=global_id(400, 400))
        .range(400, 1300, 1400, "ncclAllReduce", domain=3)
        .range(400, 1310, None, "still open", event_type=60)
        .range(400, 1320, None, "here", event_type=34)
    )  # fmt: skip
    rows = load(export.write(tmp_path / "run.sqlite")).annotations.to_pylist()
    assert [(r["name"], r["domain"], r["style"], r["dur"]) for r in rows] == [
        ("ncclAllReduce", "NCCL", "push_pop", 100),
        ("still open", None, "start_end", None),
        ("here", None, "mark", None),
    ]


def test_copies_have_directions_and_memory_kinds_without_enum_tables(tmp_path: Path) -> None:
    lane = {"deviceId": 0, "contextId": 1, "streamId": 7, "globalPid": global_id(400)}
    export = two_processes()
    for start, kind, source, target in ((3000, 1, 0, 2), (3100, 2, 2, 1), (3200, 12, 4, 4)):
        export.add("CUPTI_ACTIVITY_KIND_MEMCPY", **lane, start=start, end=start + 9, correlationId=start,
                   bytes=64, copyKind=kind, srcKind=source, dstKind=target)  # fmt: skip
    export.add(
        "CUPTI_ACTIVITY_KIND_MEMSET", **lane, start=3300, end=3304, correlationId=9, bytes=8, memKind=2
    )
    trace = load(export.write(tmp_path / "run.sqlite"))
    names = ["Memcpy HtoD (Pageable -> Device)", "Memcpy DtoH (Device -> Pinned)",
             "Memcpy DtoH (Unified memory)", "Memset (Device)"]  # fmt: skip
    assert column(trace, "copies", "name") == names
    assert column(trace, "copies", "direction") == ["HtoD", "DtoH", "DtoH", None]
    assert column(trace, "copies", "bytes") == [64, 64, 64, 8]


def test_kinds_of_synchronisation_are_told_by_the_ids_that_are_set(tmp_path: Path) -> None:
    none = (1 << 32) - 1
    export = two_processes()
    for start, stream, event in ((10, none, none), (20, 7, none), (30, none, 5), (40, 7, 5)):
        export.add("CUPTI_ACTIVITY_KIND_SYNCHRONIZATION", start=start, end=start + 1, deviceId=0, contextId=1,
                   streamId=stream, correlationId=start, globalPid=global_id(400), syncType=2,
                   eventId=event)  # fmt: skip
    kinds = column(load(export.write(tmp_path / "run.sqlite")), "syncs", "kind")
    assert kinds == ["Context Sync", "Stream Sync", "Event Sync", "Stream Wait Event"]


def test_a_graph_traced_as_a_whole_is_device_work(tmp_path: Path) -> None:
    export = Export().launch(1, 10, 20, 1, "cudaGraphLaunch_v10000")
    export.add("CUPTI_ACTIVITY_KIND_GRAPH_TRACE", start=30, end=90, deviceId=0, contextId=1, streamId=7,
               correlationId=1, globalPid=global_id(1), graphId=4)  # fmt: skip
    (row,) = load(export.write(tmp_path / "run.sqlite")).kernels.to_pylist()
    assert (row["name"], row["graph"], row["dur"], row["api_call"], row["link"]) == (
        "CUDA graph 4", 4, 60, 0, "graph")  # fmt: skip


def test_memory_events_metrics_and_devices(tmp_path: Path) -> None:
    memory = {"globalPid": global_id(400), "deviceId": 0, "address": 4096, "bytes": 64, "memKind": 2}
    export = (
        two_processes()
        .add("CUDA_GPU_MEMORY_USAGE_EVENTS", start=10, **memory, memoryOperationType=0)
        .add("CUDA_GPU_MEMORY_USAGE_EVENTS", start=20, **memory, memoryOperationType=1)
        .add("GPU_METRICS", timestamp=30, typeId=256, metricId=2, value=55)
        .add("TARGET_INFO_GPU_METRICS", typeId=256, metricId=2, metricName="SM Active")
        .add("TARGET_INFO_GPU", id=0, cuDevice=0, name="Tesla T4", smCount=40, memoryBandwidth=320_064_000_000,
             clockRate=1_590_000_000, maxWarpsPerSm=32, threadsPerWarp=32)
        .add("TARGET_INFO_GPU", id=1, cuDevice=0, name="Intel", smCount=0, memoryBandwidth=0, clockRate=0,
             maxWarpsPerSm=0, threadsPerWarp=0)
    )  # fmt: skip
    trace = load(export.write(tmp_path / "run.sqlite"))
    assert list(zip(column(trace, "allocations", "action"), column(trace, "allocations", "bytes"), strict=True)) == [
        ("alloc", 64), ("free", -64)]  # fmt: skip
    assert (column(trace, "counters", "metric"), column(trace, "counters", "value")) == (
        ["SM Active"],
        [55.0],
    )
    assert column(trace, "devices", "name") == ["Tesla T4"] * 2  # one per rank
    assert column(trace, "devices", "memory_bandwidth")[0] == 320_064_000_000
    assert column(trace, "devices", "max_threads_per_sm")[0] == 1024


@pytest.mark.parametrize(
    "without",
    [
        ("CUPTI_ACTIVITY_KIND_RUNTIME",),
        ("CUPTI_ACTIVITY_KIND_KERNEL",),
        ("NVTX_EVENTS",),
        ("StringIds",),
        ("CUPTI_ACTIVITY_KIND_KERNEL.gridX", "CUPTI_ACTIVITY_KIND_KERNEL.dynamicSharedMemory"),
        ("CUPTI_ACTIVITY_KIND_KERNEL.demangledName",),
        ("CUPTI_ACTIVITY_KIND_RUNTIME.eventClass", "NVTX_EVENTS.textId"),
    ],
)
def test_what_is_missing_is_missing_and_the_rest_is_read(tmp_path: Path, without: tuple[str, ...]) -> None:
    whole = two_processes().range(400, 900, 3000, "outer")
    trace = load(whole.write(tmp_path / "run.sqlite", without=without))
    for table, source in (
        ("kernels", "CUPTI_ACTIVITY_KIND_KERNEL"),
        ("api_calls", "CUPTI_ACTIVITY_KIND_RUNTIME"),
    ):
        assert trace.tables[table].num_rows == (0 if source in without else 2)
    assert analyze(trace).verdict.headline


def test_rows_without_a_start_or_that_end_too_early_are_told(tmp_path: Path) -> None:
    export = two_processes().kernel(400, None, 9, 5).kernel(400, 5000, 4000, 6, "backwards")
    trace = load(export.write(tmp_path / "run.sqlite"))
    assert column(trace, "kernels", "dur")[column(trace, "kernels", "name").index("backwards")] == 0
    said = [n.message for n in trace.sources[0].notes if n.kind in {"partial", "repaired"}]
    assert said == [
        "1 row without a start was left out",
        "1 row ends before it starts and counts as 0 long",
    ]


def test_the_environment_never_leaves_the_ingester(tmp_path: Path) -> None:
    secret = "hunter2"
    export = (
        two_processes()
        .add("META_DATA_CAPTURE", name="ENVIRONMENT:TOKEN", value=secret)
        .add("META_DATA_EXPORT", name="EXPORT_PRODUCT_VERSION", value="2026.2.1")
        .add("META_DATA_EXPORT", name="EXPORT_HOST", value=secret)
        .add(
            "TARGET_INFO_SYSTEM_ENV", globalVid=1, devStateName="env", name="TOKEN", nameEnum=1, value=secret
        )
        .add(
            "PROCESSES", globalPid=global_id(400), pid=400, name=f"/usr/bin/python train.py --token {secret}"
        )
    )
    export.name(secret)
    trace = load(export.write(tmp_path / "run.sqlite"))
    text = repr(trace.sources) + "".join(repr(t.to_pylist()) for t in trace.tables.values())
    dictionaries = "".join(
        repr(c.chunk(0).dictionary.to_pylist())
        for t in trace.tables.values()
        for c in t.columns
        if c.num_chunks and hasattr(c.chunk(0), "dictionary")
    )
    assert secret not in text + dictionaries
    assert trace.sources[0].metadata["export_product_version"] == "2026.2.1"


def test_views_virtual_tables_and_generated_columns_are_not_read(tmp_path: Path) -> None:
    path = two_processes().write(tmp_path / "run.sqlite")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE VIEW NVTX_EVENTS AS SELECT 1 AS start, 2 AS 'end', 59 AS eventType")
        connection.execute("CREATE VIRTUAL TABLE OSRT_API USING fts5(start)")
        connection.execute("CREATE TABLE PROFILER_OVERHEAD (start, 'end' AS (start + 1))")
        connection.execute("INSERT INTO PROFILER_OVERHEAD (start) VALUES (5)")
    connection.close()
    trace = load(path)
    assert trace.annotations.num_rows == 0
    assert [(r["category"], r["dur"]) for r in trace.others.to_pylist()] == [("overhead", None)]


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    path = two_processes().write(tmp_path / "run.sqlite")
    content = bytearray(path.read_bytes())
    content[4096 : 3 * 4096] = b"\xff" * (2 * 4096)
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged SQLite file"):
        load(path)
    path.write_bytes(bytes(content[:50]))
    with pytest.raises(InputError, match="damaged SQLite file"):
        load(path)


def test_a_compressed_export_is_read_and_a_cut_one_is_one_line(tmp_path: Path) -> None:
    plain = two_processes().write(tmp_path / "run.sqlite")
    packed = tmp_path / "run.sqlite.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    loaded = load(packed)
    assert loaded.kernels == load(plain).kernels
    assert loaded.sources[0].path == str(packed)
    assert loaded.sources[0].bytes == packed.stat().st_size
    packed.write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"run\.sqlite\.gz: broken compression"):
        load(packed)


def test_changed_bytes_give_a_trace_or_one_line(tmp_path: Path) -> None:
    path = (
        two_processes().range(400, 1300, 1500, "aten::mul, seq = 7, op_id = 1").write(tmp_path / "run.sqlite")
    )
    whole = path.read_bytes()
    used = [at for at, byte in enumerate(whole) if byte]
    chance = random.Random(6)
    outcomes = set()
    for _ in range(80):
        content = bytearray(whole)
        for at in chance.sample(used, chance.choice((1, 2, 8))):
            content[at] = chance.randrange(256)
        path.write_bytes(content)
        try:
            load(path)
            outcomes.add("trace")
        except InputError as error:
            outcomes.add(f"an error of {len(str(error).splitlines())} line")
    assert outcomes == {"trace", "an error of 1 line"}


def test_a_column_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    path = two_processes().kernel(400, "noon", 9, 5).write(tmp_path / "run.sqlite")
    with pytest.raises(InputError, match="column start of table CUPTI_ACTIVITY_KIND_KERNEL"):
        load(path)


def test_other_databases_are_not_ours_and_a_folder_stands_for_its_exports(tmp_path: Path) -> None:
    run = two_processes().write(tmp_path / "run.sqlite")
    with sqlite3.connect(tmp_path / "other.sqlite") as connection:
        connection.execute("CREATE TABLE users (name)")
    connection.close()
    assert list(expand([tmp_path])) == [run]


def test_a_report_needs_nsys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = tmp_path / "run.nsys-rep"
    report.write_bytes(b"opaque")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"Run where it is: nsys export --type sqlite -o \S+sqlite \S+rep"):
        load(report)


@pytest.mark.skipif(os.name == "nt", reason="uses a shell script in place of nsys")
def test_a_report_is_exported_with_the_nsys_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, export = tmp_path / "run.nsys-rep", two_processes().write(tmp_path / "ready.sqlite")
    report.write_bytes(b"opaque")
    fake = tmp_path / "nsys"
    fake.write_text(f'#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\ncp {export} "$2"\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    trace = load(report)
    assert trace.kernels.num_rows == 2
    assert (trace.sources[0].path, trace.sources[0].format) == (str(report), "nsys-rep")
    fake.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(InputError, match="cannot be exported by this nsys"):
        load(report)
