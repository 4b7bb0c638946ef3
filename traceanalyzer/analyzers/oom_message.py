"""OOM messages without a snapshot: the numbers that the text gives, the causes they allow, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.snapshot_results import Cause, Change, Oom
from traceanalyzer.model.sizes import size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceanalyzer.model.trace import Trace

_RECORD = Change(
    "torch.cuda.memory._record_memory_history(); after the error torch.cuda.memory._dump_snapshot('oom.pickle')",
    None,
    "to see who holds the memory: trace-analyze oom oom.pickle",
)


def message_ooms(trace: Trace) -> Iterator[Oom]:
    """One row per message, in the order of the text."""
    for row in trace.oom_messages.to_pylist():
        found = tuple(_causes(row))
        asked = row["requested"]
        what = f"Out of memory ({row['kind']})" + (f" asking for {size(asked)}" if asked is not None else "")
        yield Oom(
            source="message",
            rank=row["rank"],
            device=row["device"],
            entry=None,
            at_ns=None,
            line=row["line"],
            kind=row["kind"],
            requested_bytes=asked,
            segment_bytes=None,
            device_free_bytes=row["free"],
            python=None,
            function=None,
            annotation=None,
            headline=f"{what}: {found[0].evidence}" if found else what,
            free=None,
            causes=found,
            changes=tuple(_changes(row, found)),
            moment=None,
        )


def _causes(row: dict[str, Any]) -> Iterator[Cause]:
    asked, capacity, allocated = row["requested"], row["capacity"], row["allocated"]
    unused, others, outside = row["unallocated"], row["other_processes"], row["non_pytorch"]
    if row["allowed"] is not None and row["free"] is not None and asked is not None and row["free"] >= asked:
        evidence = f"{size(row['free'])} are free, but this process is allowed {size(row['allowed'])}"
        yield Cause("memory_limit", row["allowed"], evidence, "high")
    if asked is not None and capacity is not None and asked > capacity:
        yield Cause("too_large", asked, f"the request is larger than the device's {size(capacity)}", "high")
    if unused is not None and asked is not None and unused >= asked:
        evidence = f"{size(unused)} are reserved but not allocated, in no free block that is large enough"
        yield Cause("fragmentation", unused, evidence, "medium")
    if others is not None and others > 0:
        sure: Literal["high", "low"] = "high" if asked is not None and others >= asked else "low"
        yield Cause("other_process", others, f"other processes hold {size(others)} of the device", sure)
    if row["private_pools"] is not None and asked is not None and row["private_pools"] >= asked:
        evidence = f"{size(row['private_pools'])} are in private pools, such as those of CUDA graphs"
        yield Cause("private_pool", row["private_pools"], evidence, "medium")
    if outside is not None and asked is not None and outside >= asked:
        evidence = f"{size(outside)} of this process are outside PyTorch: context, NCCL, libraries"
        yield Cause("non_pytorch", outside, evidence, "low")
    if asked is not None and allocated is not None and asked >= thresholds.SPIKE_SHARE * max(1, allocated):
        yield Cause(
            "spike", asked, f"the request alone is {size(asked)}, with {size(allocated)} allocated", "medium"
        )
    if allocated is not None:
        of = f" of {size(capacity)}" if capacity is not None else ""
        yield Cause(
            "allocated", allocated, f"tensors take {size(allocated)}{of}; the text does not say which", "low"
        )


def _changes(row: dict[str, Any], causes: tuple[Cause, ...]) -> Iterator[Change]:
    names = {c.name: c for c in causes}
    if "memory_limit" in names:
        yield Change(
            "raise the memory fraction (or gpu_memory_utilization)", None, "nobody else needs the memory"
        )
    if "fragmentation" in names:
        yield Change(
            "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True",
            names["fragmentation"].bytes,
            "test it, some libraries do not support it",
        )
    if "other_process" in names:
        yield Change("end the other processes on this device", names["other_process"].bytes, "they are yours")
    if "private_pool" in names:
        yield Change("capture fewer CUDA graphs, or share their pool", names["private_pool"].bytes, "")
    if "spike" in names:
        yield Change(
            "do this in chunks (chunked loss, fused attention)", row["requested"], "the result allows it"
        )
    if row["kind"] == "vllm":
        yield Change("raise gpu_memory_utilization or lower max_model_len", None, "")
    if row["kind"] in {"cuda", "hip"}:
        yield _RECORD
