"""OOM messages without a snapshot: the numbers that the text gives, the causes they allow, what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.snapshot.results import Cause, Change, Oom
from traceanalyzer.model.sizes import size
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from traceanalyzer.text import Text

_RECORD = Change(
    say(
        "torch.cuda.memory._record_memory_history(); after the error torch.cuda.memory._dump_snapshot('oom.pickle')"
    ),
    None,
    say("to see who holds the memory: trace-analyze oom oom.pickle"),
)


def message_ooms(rows: Iterable[dict[str, Any]]) -> Iterator[Oom]:
    """One per row of `oom_messages`, in the order of the text."""
    for row in rows:
        found = tuple(_causes(row))
        asked = row["requested"]
        kind = row["kind"]
        what = (
            say("Out of memory ({kind})", kind=kind)
            if asked is None
            else say("Out of memory ({kind}) asking for {requested}", kind=kind, requested=size(asked))
        )
        yield Oom(
            source="message",
            rank=row["rank"],
            device=row["device"],
            entry=None,
            at_ns=None,
            line=row["line"],
            kind=row["kind"],
            requested_bytes=asked,
            segment_bytes=asked
            if kind in {"cuda", "hip"}
            else None,  # they print what the driver was asked for
            device_free_bytes=row["free"],
            python=None,
            function=None,
            annotation=None,
            headline=say("{what}: {why}", what=what, why=found[0].evidence) if found else what,
            free=None,
            causes=found,
            changes=tuple(_changes(row, found)),
            moment=None,
            capacity_bytes=row["capacity"],
            non_pytorch_bytes=row["non_pytorch"],
        )


def _causes(row: dict[str, Any]) -> Iterator[Cause]:
    asked, capacity, allocated = row["requested"], row["capacity"], row["allocated"]
    unused, others, outside = row["unallocated"], row["other_processes"], row["non_pytorch"]
    # with room on the device it does not matter who else is there
    room = row["free"] is not None and asked is not None and row["free"] >= asked
    limited = room and row["allowed"] is not None
    if limited:
        evidence = say(
            "{free} are free, but this process is allowed {allowed}",
            free=size(row["free"]),
            allowed=size(row["allowed"]),
        )
        yield Cause("memory_limit", row["allowed"], evidence, "high")
    if asked is not None and capacity is not None and asked > capacity:
        evidence = say("the request is larger than the device's {capacity}", capacity=size(capacity))
        yield Cause("too_large", asked, evidence, "high")
    if unused is not None and asked is not None and unused >= asked:
        evidence = say(
            "{unused} are reserved but not allocated, in no free block that is large enough",
            unused=size(unused),
        )
        yield Cause("fragmentation", unused, evidence, "medium")
    if others is not None and others > 0 and not room:
        sure: Literal["high", "low"] = "high" if asked is not None and others >= asked else "low"
        evidence = say("other processes hold {held} of the device", held=size(others))
        yield Cause("other_process", others, evidence, sure)
    if row["private_pools"] is not None and asked is not None and row["private_pools"] >= asked:
        evidence = say(
            "{held} are in private pools, such as those of CUDA graphs", held=size(row["private_pools"])
        )
        yield Cause("private_pool", row["private_pools"], evidence, "medium")
    if outside is not None and asked is not None and outside >= asked and not room:
        evidence = say(
            "{held} of this process are outside PyTorch: context, NCCL, libraries", held=size(outside)
        )
        yield Cause("non_pytorch", outside, evidence, "low")
    if asked is not None and allocated is not None and asked >= thresholds.SPIKE_SHARE * max(1, allocated):
        evidence = say(
            "the request alone is {requested}, with {allocated} allocated",
            requested=size(asked),
            allocated=size(allocated),
        )
        yield Cause("spike", asked, evidence, "medium")
    if allocated is not None:
        yield Cause("allocated", allocated, _taken(row, limited=limited), "low")


def _taken(row: dict[str, Any], *, limited: bool) -> Text:
    """What tensors take, of what the process is allowed or the device has where that is known."""
    allocated = size(row["allocated"])
    if limited:
        return say(
            "tensors take {allocated} of the {allowed} allowed; the text does not say which",
            allocated=allocated,
            allowed=size(row["allowed"]),
        )
    if row["capacity"] is None:
        return say("tensors take {allocated}; the text does not say which", allocated=allocated)
    return say(
        "tensors take {allocated} of {capacity}; the text does not say which",
        allocated=allocated,
        capacity=size(row["capacity"]),
    )


def _changes(row: dict[str, Any], causes: tuple[Cause, ...]) -> Iterator[Change]:
    names = {c.name: c for c in causes}
    if "memory_limit" in names:
        yield Change(
            say("raise the memory fraction (or gpu_memory_utilization)"),
            None,
            say("nobody else needs the memory"),
        )
    if "fragmentation" in names:
        yield Change(
            say("PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"),
            names["fragmentation"].bytes,
            say("test it, some libraries do not support it"),
        )
    if "other_process" in names:
        yield Change(
            say("end the other processes on this device"), names["other_process"].bytes, say("they are yours")
        )
    if "private_pool" in names:
        yield Change(say("capture fewer CUDA graphs, or share their pool"), names["private_pool"].bytes, "")
    if "spike" in names:
        yield Change(
            say("do this in chunks (chunked loss, fused attention)"),
            row["requested"],
            say("the result allows it"),
        )
    if row["kind"] == "vllm":
        yield Change(say("raise gpu_memory_utilization or lower max_model_len"), None, "")
    if row["kind"] in {"cuda", "hip"}:
        yield _RECORD
