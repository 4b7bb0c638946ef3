"""Every kind of event finds its table: all accelerators, old spellings, pairs, counters, and what nobody knows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from traceanalyzer.ingest.inputs import read_inputs
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import analyze, load
from traceanalyzer.reporters.facts import ReportFacts

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.model.trace import Trace


def read(folder: Path, *events: dict[str, Any], **header: Any) -> Trace:
    path = folder / "run.json"
    path.write_text(json.dumps({**header, "traceEvents": events}))
    return read_inputs([path], LoadOptions(use_cache=False))


def event(category: str, name: str = "e", phase: str = "X", **more: Any) -> dict[str, Any]:
    return {"ph": phase, "cat": category, "name": name, "pid": 0, "tid": 7, "ts": 10, "dur": 5, **more}


@pytest.mark.parametrize(
    ("category", "table"),
    [
        ("kernel", "kernels"), ("Kernel", "kernels"), ("mtia_ccp_events", "kernels"), ("hpu_op", "kernels"),
        ("gpu_memcpy", "copies"), ("Memcpy", "copies"), ("gpu_memset", "copies"), ("Memset", "copies"),
        ("cuda_runtime", "api_calls"), ("Runtime", "api_calls"), ("cuda_driver", "api_calls"),
        ("xpu_runtime", "api_calls"), ("mtia_runtime", "api_calls"), ("privateuse1_runtime", "api_calls"),
        ("cpu_op", "ops"), ("Operator", "ops"), ("user_annotation", "annotations"),
        ("gpu_user_annotation", "annotations"), ("python_function", "python_calls"), ("cuda_sync", "syncs"),
        ("overhead", "others"), ("Trace", "others"), ("cuda_profiler_range", "others"),
        ("privateuse1_dma", "others"), ("something new", "others"),
    ],
)  # fmt: skip
def test_each_category_has_its_table(tmp_path: Path, category: str, table: str) -> None:
    trace = read(tmp_path, event(category))
    assert {name: t.num_rows for name, t in trace.tables.items() if t.num_rows} == {table: 1}
    if table == "others":
        assert trace.others["category"].to_pylist() == [category]


def test_old_and_new_spellings_of_args_share_columns(tmp_path: Path) -> None:
    old = event("Kernel", args={"external id": 3, "stream": 7, "device": 0, "correlation": 9, "queued": 0})
    new = event(
        "kernel", args={"External id": 3, "stream": 7, "device": 0, "correlation": 9, "queued": 0}, ts=20
    )
    first, second = read(tmp_path, old, new).kernels.to_pylist()
    assert {k: v for k, v in first.items() if k not in {"id", "ts"}} == {
        k: v for k, v in second.items() if k not in {"id", "ts"}
    }


def test_device_rows_take_device_and_stream_from_the_lane_when_args_have_none(tmp_path: Path) -> None:
    row = read(tmp_path, event("gpu_user_annotation", pid=3, tid=20)).annotations.to_pylist()[0]
    assert (row["device"], row["stream"], row["on_gpu"]) == (3, 20, True)


@pytest.mark.parametrize(
    ("name", "direction", "source", "target"),
    [
        ("Memcpy HtoD (Pageable -> Device)", "HtoD", "pageable", "device"),
        ("Memcpy DtoH (Device -> Pinned)", "DtoH", "device", "pinned"),
        ("Memcpy DtoD (Device -> Device)", "DtoD", "device", "device"),
        ("CopyHostToDevice", "HtoD", None, None),
        ("Memcpy", None, None, None),
    ],
)
def test_a_copys_name_says_where_from_and_to(
    tmp_path: Path, name: str, direction: str | None, source: str | None, target: str | None
) -> None:
    row = read(tmp_path, event("gpu_memcpy", name, args={"bytes": "512"})).copies.to_pylist()[0]
    assert (row["kind"], row["direction"], row["src_kind"], row["dst_kind"], row["bytes"]) == (
        "memcpy", direction, source, target, 512,
    )  # fmt: skip


def test_begin_and_end_make_one_row_and_nest(tmp_path: Path) -> None:
    lane = {"dur": None}
    trace = read(
        tmp_path,
        event("cpu_op", "outer", "B", ts=0, args={"custom": 1}, **lane),
        event("cpu_op", "inner", "B", ts=5, **lane),
        event("", "", "E", ts=8, **lane),
        event("", "", "E", ts=20, **lane),
        event("cpu_op", "never ended", "B", ts=30, **lane),
    )
    assert [(r["name"], r["ts"], r["dur"]) for r in trace.ops.to_pylist()] == [
        ("outer", 0, 20_000),
        ("inner", 5000, 3000),
    ]
    assert trace.others["name"].to_pylist() == ["never ended"]
    assert "1 begin or end event has no partner; it has no duration" in trace.sources[0].notes[0].message


def test_a_begin_and_its_end_are_one_event_with_the_args_of_both(tmp_path: Path) -> None:
    lane = {"dur": None}
    trace = read(
        tmp_path,
        event("zork", "known to nobody", ts=1, args={"q": 1}),
        event(
            "cpu_op", "outer", "B", ts=2, args={"External id": "5", "Input Dims": [[2, 3]], "x": 1}, **lane
        ),
        event("cuda_runtime", "cudaLaunchKernel", "B", ts=3.125, args={"correlation": 9}, **lane),
        event("", "", "E", ts=4, args={"return value": 0}, **lane),
        event("", "", "E", ts=8, args={"y": 2}, **lane),
        event("zork", "alone", "B", ts=9, args={"z": 3}, **lane),
    )
    (op,), (call,) = trace.ops.to_pylist(), trace.api_calls.to_pylist()
    assert (op["ts"], op["dur"], op["external_id"], op["input_dims"]) == (1000, 6000, 5, "[[2,3]]")
    assert (call["ts"], call["dur"], call["layer"]) == (2125, 875, "runtime")
    assert (call["correlation"], call["return_value"]) == (9, 0)
    assert trace.others["name"].to_pylist() == ["known to nobody", "alone"]
    extras = sorted((r["table"], r["row"], r["json"]) for r in trace.extras.to_pylist())
    assert extras == [("ops", 0, '{"x":1,"y":2}'), ("others", 0, '{"q":1}'), ("others", 1, '{"z":3}')]


def test_a_counter_is_a_sample_of_each_of_its_series(tmp_path: Path) -> None:
    counter = {
        "ph": "C",
        "cat": "c",
        "name": "power",
        "pid": 1,
        "tid": 0,
        "ts": 1,
        "args": {"gpu": 300.5, "cpu": 80},
    }
    rows = read(tmp_path, counter).counters.to_pylist()
    assert sorted((r["name"], r["metric"], r["value"]) for r in rows) == [
        ("power", "cpu", 80.0),
        ("power", "gpu", 300.5),
    ]


def test_memory_events_and_out_of_memory(tmp_path: Path) -> None:
    args = {"Addr": 2**63 + 1, "Bytes": 512, "Total Allocated": 1024, "Total Reserved": 4096, "Device Id": 1}
    trace = read(
        tmp_path,
        event("cpu_instant_event", "[memory]", "i", args={**args, "Device Type": 1}),
        event("cpu_instant_event", "[memory]", "i", ts=11, args={**args, "Bytes": -512, "Device Type": 0}),
        event("cpu_instant_event", "[OutOfMemory]", "i", ts=12, args={**args, "Device Type": 1}),
        event("cpu_instant_event", "remark", "i", ts=13),
    )
    rows = trace.allocations.to_pylist()
    assert [(r["action"], r["device_type"], r["bytes"]) for r in rows] == [
        ("alloc", "cuda", 512), ("free", "cpu", -512), ("oom", "cuda", 512),
    ]  # fmt: skip
    assert rows[0]["address"] == 1 - 2**63  # two's complement of an address above 2^63
    assert trace.others["name"].to_pylist() == ["remark"]


def test_args_without_a_column_are_kept_by_row(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        event("cpu_op", "late", ts=20, args={"External id": 1, "future arg": [1, {"a": None}], "name": "x"}),
        event("cpu_op", "early", ts=10, args={"External id": 2}),
    )
    assert trace.extras.to_pylist() == [
        {"id": 0, "table": "ops", "row": 1, "json": '{"future arg":[1,{"a":null}],"name":"x"}'}
    ]


def test_text_pids_get_numbers_and_keep_their_names(tmp_path: Path) -> None:
    trace = read(tmp_path, event("Trace", pid="Spans", tid="PyTorch Profiler"))
    pid, tid = trace.others["pid"][0].as_py(), trace.others["tid"][0].as_py()
    assert pid < 0
    assert tid < 0
    assert pid != tid
    assert {"Spans", "PyTorch Profiler"} <= set(trace.processes["name"].to_pylist())


def test_the_epoch_is_base_plus_the_first_event(tmp_path: Path) -> None:
    base = 1_700_000_000_000_000_000
    trace = read(tmp_path, event("cpu_op", ts=1000.5), baseTimeNanoseconds=base)
    assert trace.sources[0].epoch_ns == base + 1_000_500
    assert trace.ops["ts"].to_pylist() == [0]
    assert read(tmp_path, event("cpu_op", ts=1000.5)).sources[0].epoch_ns is None  # since boot: no wall clock


def test_of_a_trace_of_another_program_nothing_is_claimed(tmp_path: Path) -> None:
    """JAX and TensorFlow write no categories."""
    trace = read(tmp_path, *({**event("", f"fusion_{i}"), "args": {"hlo_op": "fusion"}} for i in range(3)))
    (note,) = trace.sources[0].notes
    assert note.message == "no event in it is of a kind that torch.profiler writes"
    found = analyze(load(tmp_path / "run.json", options=LoadOptions(use_cache=False)))
    assert found.verdict.headline == "The trace shows nothing that can be analysed"
    assert "CPU only" not in ReportFacts.of(found).device_text
