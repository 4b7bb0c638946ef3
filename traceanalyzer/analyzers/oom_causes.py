"""Why a request did not fit, ranked, and what to change, with the bytes that it frees on this run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.snapshot_results import Cause, Change
from traceanalyzer.model.sizes import size
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from traceanalyzer.analyzers.snapshot_results import DeviceSnapshot, FreeMemory, Moment

_SAYS = {
    "parameters": say("{held} were held, parameters take {part} of it"),
    "gradients": say("{held} were held, gradients take {part} of it"),
    "optimizer_state": say("{held} were held, optimizer state takes {part} of it"),
    "activations": say("{held} were held, activations kept for backward take {part} of it"),
    "kv_cache": say("{held} were held, the KV cache takes {part} of it"),
    "temporaries": say("{held} were held, temporaries take {part} of it"),
    "inputs": say("{held} were held, inputs take {part} of it"),
    "logits": say("{held} were held, logits and loss take {part} of it"),
    "casts": say("{held} were held, copies of weights by autocast take {part} of it"),
    "workspace": say("{held} were held, library workspaces take {part} of it"),
    "unknown": say("{held} were held, {part} of it is of unknown use"),
}


def causes(
    device: DeviceSnapshot,
    moment: Moment,
    free: FreeMemory,
    requested: int,
    segment: int,
    device_free: int | None,
) -> tuple[Cause, ...]:
    """The reasons for an OOM, the one that explains it best first.

    A limit, fragmentation and a leak explain an OOM by themselves when the memory they cost is at least what was
    asked for. They come before the categories; both in the order of their size.
    """
    enough = [
        *_fragmentation(moment, free, requested),
        *_elsewhere(free, requested),
        *_growth(device, requested),
    ]
    enough.sort(key=lambda cause: -(cause.bytes or 0))
    found = [*_limit(segment, device_free), *enough, *_spike(moment, requested)]
    held = moment.requested_bytes
    for category, amount in moment.by_category.items():
        if amount * 20 >= held:
            evidence = _SAYS[category].filled(held=size(held), part=size(amount))
            found.append(Cause(category, amount, evidence, "low" if category == "unknown" else "medium"))
    return tuple(found)


def _limit(segment: int, device_free: int | None) -> list[Cause]:
    if device_free is None or device_free < segment:
        return []
    evidence = say(
        "the device had {free} free, enough for the {segment} segment: a memory fraction limit "
        "(set_per_process_memory_fraction) or the driver refused it",
        free=size(device_free),
        segment=size(segment),
    )
    return [Cause("memory_limit", segment, evidence, "medium")]


def _fragmentation(moment: Moment, free: FreeMemory, requested: int) -> list[Cause]:
    if free.total_bytes < requested or free.total_bytes < thresholds.FRAGMENTED_SHARE * moment.reserved_bytes:
        return []
    elsewhere = (free.other_streams_largest_bytes or 0, free.other_pools_largest_bytes or 0)
    if free.largest_bytes is None or max(free.largest_bytes, *elsewhere) >= requested:
        return []
    evidence = say(
        "{free} of the reserved {reserved} lay free, but the largest free block had {largest}: fragmentation",
        free=size(free.total_bytes),
        reserved=size(moment.reserved_bytes),
        largest=size(free.largest_bytes),
    )
    return [Cause("fragmentation", free.total_bytes, evidence, "high")]


def _elsewhere(free: FreeMemory, requested: int) -> list[Cause]:
    found = []
    for name, largest, evidence in (
        (
            "other_stream",
            free.other_streams_largest_bytes,
            say("a free block of {largest} was of another stream, and blocks do not change streams"),
        ),
        (
            "private_pool",
            free.other_pools_largest_bytes,
            say("a free block of {largest} was in another pool, such as that of a CUDA graph"),
        ),
    ):
        if largest is not None and largest >= requested:
            found.append(Cause(name, largest, evidence.filled(largest=size(largest)), "high"))
    return found


def _growth(device: DeviceSnapshot, requested: int) -> list[Cause]:
    found = []
    for row in device.growth:
        if row.total_bytes < requested:
            continue
        name = "kv_cache_growth" if row.category == "kv_cache" else "leak"
        evidence = say(
            "{line} leaves {per_step} behind in every step, {total} so far",
            line=row.python,
            per_step=size(row.bytes_per_step),
            total=size(row.total_bytes),
        )
        found.append(Cause(name, row.total_bytes, evidence, "high" if row.steps > 5 else "medium"))
    return found


def _spike(moment: Moment, requested: int) -> list[Cause]:
    if requested < thresholds.SPIKE_SHARE * max(1, moment.allocated_bytes):
        return []
    evidence = say(
        "the request alone is {requested}, with {allocated} allocated before",
        requested=size(requested),
        allocated=size(moment.allocated_bytes),
    )
    return [Cause("spike", requested, evidence, "medium")]


_IN_CHUNKS = (
    (say("do this in chunks (chunked loss, fused attention)"), 1.0, say("the result allows chunks")),
)
_KV_CACHE = (
    (say("keep the KV cache in 8 bits"), 0.5, say("it is in 16 bits now and the quality allows it")),
    (say("limit the tokens or the sequences that are kept at once"), 0.5, say("half of them would do")),
)
# What to change, the share of the cause's bytes that this frees at most, and when it applies.
_CHANGES: dict[str, tuple[tuple[Text, float, Text], ...]] = {
    "memory_limit": (
        (say("raise torch.cuda.set_per_process_memory_fraction"), 1.0, say("nobody else needs the memory")),
    ),
    "fragmentation": (
        (
            say("PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True"),
            1.0,
            say("not with memory shared between processes; test it, some libraries do not support it"),
        ),
    ),
    "other_stream": (
        (say("allocate and use these tensors on one stream"), 1.0, say("the overlap is not needed")),
    ),
    "private_pool": (
        (say("share one pool between CUDA graphs, or capture fewer"), 1.0, say("graphs do not run at once")),
    ),
    "leak": (
        (
            say("keep no reference from step to step: append loss.item() or loss.detach().cpu(), not loss"),
            1.0,
            say("the tensors are not needed later"),
        ),
    ),
    "kv_cache": _KV_CACHE,
    "kv_cache_growth": _KV_CACHE,
    "spike": _IN_CHUNKS,
    "logits": _IN_CHUNKS,
    "activations": (
        (
            say("activation checkpointing on the repeated blocks"),
            0.5,
            say("training; costs one more forward"),
        ),
        (say("half the batch with gradient accumulation"), 0.5, say("training")),
    ),
    "optimizer_state": (
        (say("an 8-bit optimizer"), 0.75, say("the state is in 32 bits now")),
        (
            say("shard the optimizer state (ZeRO 1, FSDP) over two ranks; more with more"),
            0.5,
            say("data-parallel training"),
        ),
    ),
    "gradients": (
        (
            say("shard the gradients (ZeRO 2, FSDP) over two ranks; more with more"),
            0.5,
            say("data-parallel training"),
        ),
    ),
    "parameters": (
        (
            say("weights in half as many bits (bf16 for fp32; 8 bits at inference)"),
            0.5,
            say("the quality allows it"),
        ),
        (
            say("shard the weights (FSDP, tensor parallel) over two ranks; more with more"),
            0.5,
            say("several GPUs"),
        ),
    ),
}
_NO_GRAD = ((say("run under torch.inference_mode()"), 1.0, say("no gradients are wanted")),)


def changes(device: DeviceSnapshot, moment: Moment, found: tuple[Cause, ...]) -> tuple[Change, ...]:
    """What to change for the causes found, in their order; each with an upper bound of what it frees."""
    rows: list[Change] = []
    for cause in found:
        amount = moment.by_category.get(cause.name, cause.bytes or 0)
        table = _CHANGES.get(cause.name, ())
        if cause.name == "activations" and not device.backward_seen:
            table = _NO_GRAD
        rows += [Change(what, int(share * amount), condition) for what, share, condition in table]
    return tuple(dict.fromkeys(rows))
