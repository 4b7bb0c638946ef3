"""Why a request did not fit, ranked, and what to change, with the bytes that it frees on this run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.snapshot.results import Cause, Change
from traceanalyzer.analyzers.snapshot.rounds import asked_now_and_before
from traceanalyzer.model.sizes import size
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from traceanalyzer.analyzers.oom.told import Told
    from traceanalyzer.analyzers.snapshot.device import DeviceState
    from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot, FreeMemory, GrowthRow, Moment

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


@dataclass(frozen=True, slots=True)
class Request:
    """What did not fit, in bytes; `device_free` and the text of the error where they are known."""

    requested: int
    segment: int
    device_free: int | None
    text: Told

    @property
    def had_room(self) -> bool:
        """Whether the device itself had room."""
        return self.device_free is not None and self.device_free >= self.segment


_FORWARD = say("{held} were held, activations take {part} of it")


def causes(
    state: DeviceState, device: DeviceSnapshot, moment: Moment, free: FreeMemory, request: Request
) -> tuple[Cause, ...]:
    """The reasons for an OOM, the one that explains it best first.

    A limit, fragmentation, growth, other users of the device and a pool that holds what it was given explain an OOM
    by themselves when the memory they cost is at least what was asked for. They come before the categories; both in
    the order of their size. What is of unknown use comes last.
    """
    requested = request.requested
    enough = [
        *_fragmentation(moment, free, requested),
        *_elsewhere(free, requested),
        *_growth(device, requested),
        *_larger(state, moment, requested),
        *_graph_pools(state, moment, requested),
        *_others(request),
    ]
    enough.sort(key=lambda cause: -(cause.bytes or 0))
    found = [*_limit(moment, request), *enough, *_spike(moment, requested)]
    held = moment.requested_bytes
    for category, amount in moment.by_category.items():
        told = category == "unknown" or any(c.name == f"{category}_growth" for c in enough)
        if amount * 20 >= held and not told:
            forward = category == "activations" and not device.backward_seen
            evidence = _held(moment, category, amount, _FORWARD if forward else _SAYS[category])
            found.append(Cause(category, amount, evidence, "medium"))
    found += _full(moment, request)
    unknown = moment.by_category.get("unknown", 0)
    if unknown * 20 >= held and unknown:
        found.append(Cause("unknown", unknown, _held(moment, "unknown", unknown, _SAYS["unknown"]), "low"))
    return tuple(found)


def _held(moment: Moment, category: str, amount: int, says: Text) -> Text:
    """How much memory is of one use, and whose most of it is."""
    evidence = says.filled(held=size(moment.requested_bytes), part=size(amount))
    lines: Counter[str | None] = Counter()
    for holder in moment.holders:
        if holder.category == category:
            lines[holder.python] += holder.requested_bytes
    line, most = lines.most_common(1)[0] if lines else (None, 0)
    return (
        evidence
        if line is None
        else say("{what}, {most} by {line}", what=evidence, most=size(most), line=line)
    )


def _limit(moment: Moment, request: Request) -> list[Cause]:
    if not request.had_room:
        return []
    free, reserved = size(request.device_free or 0), size(moment.reserved_bytes)
    if request.text.allowed is not None:
        evidence = say(
            "this process is allowed {allowed} and has {reserved} reserved, though {free} are free on the device",
            allowed=size(request.text.allowed),
            reserved=reserved,
            free=free,
        )
        return [Cause("memory_limit", request.segment, evidence, "high")]
    evidence = say(
        "the device had {free} free, enough for the {segment} segment: with {reserved} reserved, a memory fraction "
        "limit (set_per_process_memory_fraction) or the driver refused it",
        free=free,
        segment=size(request.segment),
        reserved=reserved,
    )
    return [Cause("memory_limit", request.segment, evidence, "medium")]


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


_GROWS = {
    ("leak", True): say("{line} leaves {per_step} behind in every step, {total} so far"),
    ("leak", False): say("{line} leaves {per_step} behind in every round of its loop, {total} so far"),
    ("growth", False): say("{line} keeps {per_step} of every round of its loop, {total} so far"),
    ("kv_cache_growth", True): say("the KV cache grows by {per_step} in every step, to {total} so far, at {line}"),
    ("kv_cache_growth", False): say(
        "{line} holds {per_step} more after every round of its loop, {total} so far: a cache that grows, such as that "
        "of keys and values"
    ),
}  # fmt: skip


def _growth(device: DeviceSnapshot, requested: int) -> list[Cause]:
    """What stays from step to step, all lines of a kind together: named is the line that they are called from."""
    rows: dict[str, list[GrowthRow]] = {}
    for row in device.growth:
        name = "leak" if row.marked or row.category != "unknown" else "growth"
        rows.setdefault("kv_cache_growth" if row.category == "kv_cache" else name, []).append(row)
    found = []
    for name, together in rows.items():
        total = sum(row.total_bytes for row in together)
        if total < requested:
            continue
        first = together[0]
        evidence = _GROWS[name, first.marked].filled(
            line=(first.python if name == "kv_cache_growth" else device.growth_python)
            or say("an unknown line"),
            per_step=size(sum(row.bytes_per_step for row in together)),
            total=size(total),
        )
        found.append(Cause(name, total, evidence, "high" if first.steps > 5 else "medium"))
    return found


_LARGER = {
    True: say(
        "the same lines asked for {times} times as much as in the step before, {now} instead of {before}: a larger "
        "batch or longer sequences"
    ),
    False: say(
        "the same lines asked for {times} times as much as in the round of their loop before, {now} instead of "
        "{before}: a larger batch or longer sequences"
    ),
}


def _larger(state: DeviceState, moment: Moment, requested: int) -> list[Cause]:
    """A step or round that asks for more than the one before, as with a larger batch or longer sequences."""
    asked = asked_now_and_before(state, moment.entry or 0)
    if asked is None or asked[0] < thresholds.LARGER_ROUND * asked[1] or asked[0] - asked[1] < requested:
        return []
    now, before = asked
    marked = bool((state.step >= 0).any())
    evidence = _LARGER[marked].filled(times=f"{now / before:.1f}", now=size(now), before=size(before))
    return [Cause("larger_step", now - before, evidence, "high")]


def _graph_pools(state: DeviceState, moment: Moment, requested: int) -> list[Cause]:
    """Private pools, such as those of CUDA graphs, that hold more than was asked for."""
    pool, names = state.block_pool
    live = state.live_after(moment.entry)
    private = np.array([*(name != "0,0" for name in names), False], np.bool_)[pool[live]]
    held = int(state.block_bytes[live][private].sum())
    if held < requested or 2 * held < moment.active_bytes:
        return []
    evidence = say(
        "{held} of {active} are in private pools, such as those of CUDA graphs: what is alive there when a graph is "
        "captured stays as long as the graph",
        held=size(held),
        active=size(moment.active_bytes),
    )
    return [Cause("graph_pool", held, evidence, "medium")]


def _others(request: Request) -> list[Cause]:
    """Other users of a full device, as the text of the error tells."""
    held = request.text.other_processes
    if request.had_room or held is None or held < request.requested:
        return []
    evidence = say("other processes hold {held} of the device", held=size(held))
    return [Cause("other_process", held, evidence, "high")]


def _full(moment: Moment, request: Request) -> list[Cause]:
    """A full device of which nobody tells who else is on it."""
    if request.device_free is None or request.had_room or request.text.capacity is not None:
        return []
    evidence = say(
        "the device had only {free} free beside the {reserved} that this process has reserved; the text of the error "
        "tells who holds the rest of it",
        free=size(request.device_free),
        reserved=size(moment.reserved_bytes),
    )
    return [Cause("device_full", None, evidence, "low")]


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
# What to change, the share of the cause's bytes that this frees at most (None: none of them), and when it applies.
_CHANGES: dict[str, tuple[tuple[Text, float | None, Text], ...]] = {
    "memory_limit": (
        (say("raise torch.cuda.set_per_process_memory_fraction"), None, say("nobody else needs the memory")),
    ),
    "device_full": (
        (
            say("give the text of the error beside the snapshot, or see nvidia-smi"),
            None,
            say("to see whether other processes hold the device"),
        ),
    ),
    "other_process": ((say("end the other processes on this device"), 1.0, say("they are yours")),),
    "graph_pool": (
        (
            say("let tensors die within the captured region, or write into existing ones (out=, in place)"),
            1.0,
            say("they are not needed once the graph is captured"),
        ),
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
    "growth": (
        (say("keep less from round to round, or move it to the host"), 1.0, say("it is not needed there")),
    ),
    "larger_step": (
        (
            say("bound the batch and the length of sequences (buckets, a limit of tokens)"),
            1.0,
            say("the work allows it"),
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
            # a cache that grows while other activations go: gradients are off already
            table = () if any(row.category == "kv_cache" for row in device.growth) else _NO_GRAD
        rows += [
            Change(what, None if share is None else int(share * amount), condition)
            for what, share, condition in table
        ]
    return tuple(dict.fromkeys(rows))
