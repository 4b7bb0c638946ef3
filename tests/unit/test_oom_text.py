"""Every wording of an out-of-memory error that is around, alone and inside logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.ingest.oom_text import OomText, messages
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import load

if TYPE_CHECKING:
    from pathlib import Path

MIB, GIB = 1 << 20, 1 << 30
V10 = (
    "RuntimeError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.80 GiB total capacity; 6.10 GiB already "
    "allocated; 12.31 MiB free; 40.20 MiB cached)"
)
V14 = (
    "RuntimeError: CUDA out of memory. Tried to allocate 1.50 GiB (GPU 3; 23.70 GiB total capacity; 6.10 GiB already "
    "allocated; 12.31 MiB free; 23.00 GiB allowed; 6.30 GiB reserved in total by PyTorch) If reserved memory is >> "
    "allocated memory try setting max_split_size_mb to avoid fragmentation."
)
V21 = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 640.00 MiB. GPU 1 has a total {} of 23.60 GiB of "
    "which 500.00 MiB is free. Process 12 has 1.20 GiB memory in use. Process 13 has 512.00 MiB memory in use. "
    "Including non-PyTorch memory, this process has 21.00 GiB memory in use. 12.00 GiB allowed; Of the allocated "
    "memory 20.10 GiB is allocated by PyTorch, with 80.00 MiB allocated in private pools (e.g., CUDA Graphs), and "
    "700.00 MiB is reserved by PyTorch but unallocated. If reserved but unallocated memory is large try setting "
    "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)


def one(text: str) -> dict[str, Any]:
    (row,) = messages(text)
    return {k: v for k, v in row.items() if v is not None and k not in ("text", "line", "rank")}


def near(row: dict[str, Any], **expected: float) -> None:
    for name, value in expected.items():
        assert row[name] == pytest.approx(value, abs=0.006 * GIB if value > GIB else 0.006 * MIB), name


def test_the_first_form() -> None:
    row = one(V10)
    near(row, requested=20 * MIB, capacity=7.8 * GIB, allocated=6.1 * GIB, free=12.31 * MIB, device=0)
    assert row["kind"] == "cuda"
    assert row["unallocated"] == 0, "cached less than allocated: rounding"


IN_A_CONTAINER = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 3 has a total capacity of 79.15 GiB "
    "of which 1.31 GiB is free. {}Process 46243 has 77.83 GiB memory in use. Of the allocated memory 70.11 GiB is "
    "allocated by PyTorch, and 6.20 GiB is reserved by PyTorch but unallocated."
)


def test_in_a_container_a_process_is_not_taken_for_another_one() -> None:
    row = one(IN_A_CONTAINER.format(""))
    near(row, process=77.83 * GIB, non_pytorch=1.52 * GIB)
    assert "other_processes" not in row, "70 of 79 GiB cannot be held twice"


def test_beside_this_process_the_others_are_still_told() -> None:
    row = one(
        IN_A_CONTAINER.replace("1.31 GiB is free", "300.00 MiB is free").format(
            "Process 7 has 1.00 GiB memory in use. "
        )
    )
    near(row, process=77.83 * GIB, other_processes=GIB)


def test_another_process_that_holds_what_is_missing_stays_another_one() -> None:
    text = IN_A_CONTAINER.replace("77.83", "60.00").replace("70.11", "10.00").format("")
    near(one(text), other_processes=60 * GIB)


def test_the_form_with_reserved_and_a_limit() -> None:
    near(
        one(V14), requested=1.5 * GIB, device=3, allowed=23 * GIB, allocated=6.1 * GIB, unallocated=0.2 * GIB
    )


@pytest.mark.parametrize("capacity", ["capacity", "capacty"])
def test_the_form_since_2_1(capacity: str) -> None:
    row = one(V21.format(capacity))
    near(
        row, requested=640 * MIB, capacity=23.6 * GIB, free=500 * MIB, other_processes=1.7 * GIB, process=21 * GIB,
        allowed=12 * GIB, allocated=20.1 * GIB, private_pools=80 * MIB, unallocated=700 * MIB, device=1,
    )  # fmt: skip
    assert row["non_pytorch"] == row["process"] - row["allocated"] - row["unallocated"]


@pytest.mark.parametrize(
    ("text", "kind", "numbers"),
    [
        ("HIP out of memory. Tried to allocate 2.00 GiB. "
         "GPU 0 has a total capacity of 64.00 GiB of which 1.00 GiB is free.",
         "hip", {"requested": 2 * GIB, "capacity": 64 * GIB, "free": GIB, "device": 0}),
        ("RuntimeError: NPU out of memory. Tried to allocate 50.00 MiB (NPU 0; 32.00 GiB total capacity; 30.00 GiB "
         "already allocated; 30.00 GiB current active; 12.00 MiB free; 31.00 GiB reserved in total by PyTorch)",
         "npu", {"requested": 50 * MIB, "free": 12 * MIB, "unallocated": GIB, "device": 0}),
        ("MLU out of memory. Tried to allocate 2.00 GiB. "
         "MLU 0 has a total capacity of 24.00 GiB of which 100.00 MiBis free.",
         "mlu", {"requested": 2 * GIB, "free": 100 * MIB}),
        ("RuntimeError: MPS backend out of memory (MPS allocated: 5.00 GB, other allocations: 512.00 MB, max allowed: "
         "9.07 GB). Tried to allocate 4.00 GB on private pool. Use PYTORCH_MPS_HIGH_WATERMARK_RATIO=0.0",
         "mps", {"requested": 4 * GIB, "allocated": 5 * GIB, "allowed": 9.07 * GIB, "non_pytorch": 512 * MIB}),
        ("RuntimeError: [enforce fail at alloc_cpu.cpp:75] err == 0. DefaultCPUAllocator: can't allocate memory: you "
         "tried to allocate 4000000000 bytes. Error code 12", "cpu", {"requested": 4_000_000_000}),
        ("RuntimeError: CUDA error: out of memory", "driver", {}),
        ("ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`", "vllm", {}),
        ("jaxlib.XlaRuntimeError: RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8589934592 bytes.",
         "jax", {"requested": 8 * GIB}),
        ("OOM when allocating tensor with shape[32,1024,1024] and type float on /job:localhost/device:GPU:0",
         "tensorflow", {"requested": 32 * MIB * 4}),
    ],
)  # fmt: skip
def test_other_allocators(text: str, kind: str, numbers: dict[str, float]) -> None:
    row = one(text)
    assert row["kind"] == kind
    near(row, **numbers)
    assert set(row) - {"kind"} <= {*numbers, "capacity", "allocated", "device"}, "nothing is made up"


def test_a_log_of_several_ranks_wrapped_and_printed_twice() -> None:
    wrapped = (
        V21.format("capacity")
        .replace(" of which ", " of\n[rank2]: which ")
        .replace("Process 13", "\nProcess 13")
    )
    log = f"step 1\n[rank2]: {wrapped}\n[rank2]: Traceback (most recent\n[rank0]: {V10}\nagain\n[rank0]: {V10}\n"
    rows = messages(log)
    assert [(r["rank"], r["line"]) for r in rows] == [(2, 2), (0, 6)]
    near(rows[0], free=500 * MIB, other_processes=1.7 * GIB)


def test_a_log_is_known_by_its_end_and_other_texts_are_not(tmp_path: Path) -> None:
    log, other = tmp_path / "train.log", tmp_path / "notes.txt"
    log.write_text("step\n" * 30_000 + V10)
    other.write_text("out of milk\n")
    sniff = OomText().sniff
    assert sniff(log.read_bytes()[:65536], log)
    assert not sniff(other.read_bytes(), other)
    assert not sniff(b'{"traceEvents": [{"name": "CUDA out of memory."}]}', tmp_path / "trace.json")
    assert not sniff(b'[{"name": "CUDA out of memory."}]', tmp_path / "trace.json")


@pytest.mark.parametrize("number", ["9" * 400, "1e5", "0.00", "١٢"])
def test_odd_numbers_do_no_harm(number: str) -> None:
    messages(f"CUDA out of memory. Tried to allocate {number} GiB. GPU {number} has")
    messages(f"OOM when allocating tensor with shape[{number},{number}] and type float")


def test_numbers_become_causes_and_next_steps(tmp_path: Path) -> None:
    log = tmp_path / "oom.log"
    log.write_text(V21.format("capacity"))
    trace = load(log, options=LoadOptions(use_cache=False))
    (row,) = run_analyzers(trace)[0]["oom"].rows
    assert [c.name for c in row.causes] == ["fragmentation", "other_process", "allocated"]
    assert row.changes[0].frees_bytes == 700 * MIB
    assert row.segment_bytes == row.requested_bytes, "such texts print what the driver was asked for"
    assert row.capacity_bytes == pytest.approx(23.6 * GIB, rel=1e-3)
    assert "_record_memory_history" in row.changes[-1].what
    assert "empty_cache" not in str(row.changes)
