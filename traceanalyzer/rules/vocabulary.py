"""The product's own terms, which results hold as keys, in words: they are translated where they are shown."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMITS = {
    "compute": say("compute"),
    "memory": say("memory"),
    "memory_bandwidth": say("memory bandwidth"),
    "balanced": say("balanced"),
    "latency": say("latency"),
    "communication": say("communication"),
    "overhead": say("overhead"),
    "copy": say("copy"),
    "mixed": say("mixed"),
    "unknown": say("unknown"),
    "host": say("host"),
    "device": say("device"),
    "idle": say("idle"),
    "api": say("runtime call"),
    "range": say("annotation"),
    "python": say("Python function"),
}
_DEGREES = {"high": say("high"), "medium": say("medium"), "low": say("low"), "info": say("info")}
_CAUSES_OF_IDLE = {
    "host_sync": say("host sync"),
    "dataloader": say("data loader"),
    "host_copy": say("host copy"),
    "allocator": say("allocator"),
    "host_communication": say("waiting for other ranks"),
    "gc": say("garbage collection"),
    "compile": say("compilation"),
    "autograd": say("autograd"),
    "optimizer": say("optimizer"),
    "dispatch": say("dispatch"),
    "launch_latency": say("launch latency"),
    "dependency": say("dependency"),
    "no_more_work": say("no more work"),
}
_HOST_TIME = {"ops": say("operators"), "outside_ops": say("Python and waiting, outside of operators")}
_PHASES = {
    "forward": say("forward"),
    "backward": say("backward"),
    "recompute": say("recompute"),
    "prefill": say("prefill"),
    "decode": say("decode"),
    "earlier": say("launched before the recording"),
    "other": say("other"),
}
_USES_OF_MEMORY = {
    "parameters": say("parameters"),
    "gradients": say("gradients"),
    "optimizer_state": say("optimizer state"),
    "activations": say("activations"),
    "kv_cache": say("KV cache"),
    "temporaries": say("temporaries"),
    "inputs": say("inputs"),
    "logits": say("logits"),
    "casts": say("autocast copies"),
    "workspace": say("workspace"),
    "allocated": say("allocated"),
    "reserved": say("reserved"),
}
_CAUSES_OF_OOM = {
    "memory_limit": say("memory limit"),
    "allowed": say("allowed"),
    "fragmentation": say("fragmentation"),
    "non_pytorch": say("non pytorch"),
    "other_process": say("other process"),
    "other_stream": say("other stream"),
    "private_pool": say("private pool"),
    "private_pools": say("private pools"),
    "kv_cache_growth": say("kv cache growth"),
    "leak": say("leak"),
    "growth": say("growth"),
    "graph_pool": say("private pools"),
    "device_full": say("full device"),
    "larger_step": say("larger step"),
    "spike": say("spike"),
    "too_large": say("too large"),
}
_MEMORY = {"active": say("active"), "requested": say("requested")}
_MOMENTS = {"oom": say("error"), "error": say("error"), "peak": say("peak"), "end": say("end")}
_NOTES = {"partial": say("partial"), "repaired": say("repaired")}
_CAPABILITIES = {
    "memory": say("memory events"),
    "oom": say("out-of-memory errors"),
    "device_work": say("device work"),
    "launches": say("launches"),
    "steps": say("steps"),
    "shapes": say("shapes"),
    "stacks": say("stacks"),
    "modules": say("modules"),
    "memory_snapshot": say("memory snapshot"),
    "sync_events": say("sync events"),
    "collective_arguments": say("collective arguments"),
    "device_properties": say("device properties"),
}
_FORMATS = {"memory snapshot": say("memory snapshot"), "oom text": say("oom text")}
_CHANGES = {"new": say("new"), "gone": say("gone"), "stays": say("stays")}
_FUSED = {
    "norm_quant": say("norm and quant"),
    "activation_quant": say("activation and quant"),
    "rope_cache": say("rope and cache"),
    "add_norm": say("add and norm"),
    "activation_mul": say("activation and mul"),
    "pointwise": say("pointwise"),
}
_LABELS_OF_NCU = {
    "compute saturated": say("compute saturated"),
    "memory saturated": say("memory saturated"),
    "small grid": say("small grid"),
}
_MATCHES = {
    "matched": say("matched"),
    "ambiguous": say("ambiguous"),
    "unmatched": say("unmatched"),
    "same_stream": say("same stream"),
    "late": say("late"),
    "event": say("event"),
    "none": say("none"),
    "order": say("order"),
    "grid": say("grid"),
    "name": say("name"),
}
WORDS: Mapping[str, Text] = MappingProxyType(
    _LIMITS
    | _DEGREES
    | _CAUSES_OF_IDLE
    | _HOST_TIME
    | _PHASES
    | _USES_OF_MEMORY
    | _CAUSES_OF_OOM
    | _MEMORY
    | _MOMENTS
    | _NOTES
    | _FORMATS
    | _CHANGES
    | _FUSED
    | _LABELS_OF_NCU
    | _MATCHES
)


def capability(key: str) -> str:
    """What a trace can show, in words."""
    return _CAPABILITIES.get(key) or word(key)


def word(key: str) -> str:
    """The words of a key; a name that is none of them without its underscores."""
    return WORDS.get(key) or key.replace("_", " ")
