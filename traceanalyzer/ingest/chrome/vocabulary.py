"""What Kineto calls things, in every spelling since 2021, and which table and column of the model each becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["int", "float", "text", "json", "triple"]


@dataclass(frozen=True, slots=True)
class Target:
    """Where events go: a table, the columns of their args, and columns that are the same for all of them."""

    table: str
    args: dict[str, tuple[str, Kind]] = field(default_factory=dict)
    constants: dict[str, str | bool] = field(default_factory=dict)
    lane: Literal["host", "device"] = "host"


_IDS: dict[str, tuple[str, Kind]] = {
    "External id": ("external_id", "int"),
    "external id": ("external_id", "int"),
}
_INDEX: dict[str, tuple[str, Kind]] = {
    "Ev Idx": ("ev_idx", "int"),
    "Profiler Event Index": ("ev_idx", "int"),
    "Record function id": ("record_function_id", "int"),
}
_DEVICE: dict[str, tuple[str, Kind]] = {
    **_IDS,
    "device": ("device", "int"),
    "stream": ("stream", "int"),
    "correlation": ("correlation", "int"),
    "context": ("context", "int"),
}

OPS = Target(
    "ops",
    {
        **_IDS,
        **_INDEX,
        "Sequence number": ("seq", "int"),
        "Fwd thread id": ("fwd_tid", "int"),
        "Input Dims": ("input_dims", "json"),
        "Input dims": ("input_dims", "json"),
        "Input type": ("input_types", "json"),
        "Input Strides": ("input_strides", "json"),
        "Concrete Inputs": ("concrete_inputs", "json"),
        "Call stack": ("call_stack", "text"),
        "Module Hierarchy": ("module_hierarchy", "text"),
        "kernel_backend": ("kernel_backend", "text"),
        "kernel_file": ("kernel_file", "text"),
        "kernel_kwargs": ("kernel_kwargs", "text"),
    },
)
_ANNOTATION_ARGS = {**_IDS, **_INDEX}
HOST_ANNOTATIONS = Target("annotations", _ANNOTATION_ARGS, {"on_gpu": False, "domain": "user_annotation"})
GPU_ANNOTATIONS = Target(
    "annotations",
    {**_ANNOTATION_ARGS, "device": ("device", "int"), "stream": ("stream", "int")},
    {"on_gpu": True, "domain": "user_annotation"},
    "device",
)
PYTHON_CALLS = Target(
    "python_calls",
    {
        "Ev Idx": ("ev_idx", "int"),
        "Python id": ("python_id", "int"),
        "Python parent id": ("parent_id", "int"),
        "Python module id": ("module_id", "int"),
    },
)
_API_ARGS: dict[str, tuple[str, Kind]] = {
    **_IDS,
    "correlation": ("correlation", "int"),
    "cbid": ("cbid", "int"),
    "cid": ("cbid", "int"),
    "return value": ("return_value", "int"),
}
KERNELS = Target(
    "kernels",
    {
        **_DEVICE,
        "grid": ("grid", "triple"),
        "block": ("block", "triple"),
        "registers per thread": ("registers", "int"),
        "shared memory": ("shared_memory", "int"),
        "blocks per SM": ("blocks_per_sm", "float"),
        "warps per SM": ("warps_per_sm", "float"),
        "est. achieved occupancy %": ("occupancy", "float"),
        "priority": ("priority", "int"),
        "queued": ("queued", "int"),
        "graph id": ("graph", "int"),
        "graph node id": ("graph_node", "int"),
    },
    lane="device",
)
_COPY_ARGS: dict[str, tuple[str, Kind]] = {
    **_DEVICE,
    "bytes": ("bytes", "int"),
    "memory bandwidth (GB/s)": ("bandwidth", "float"),
}
SYNCS = Target(
    "syncs",
    {
        **{k: v for k, v in _DEVICE.items() if k != "context"},
        "cuda_sync_kind": ("kind", "text"),
        "wait_on_stream": ("waits_on_stream", "int"),
        "wait_on_cuda_event_id": ("waits_on_event", "int"),
        "wait_on_cuda_event_record_corr_id": ("waits_on_correlation", "int"),
    },
    lane="device",
)
COLLECTIVE_ARGS: dict[str, tuple[str, Kind]] = {
    "Collective name": ("collective", "text"),
    "dtype": ("dtype", "text"),
    "In msg nelems": ("in_elements", "int"),
    "Out msg nelems": ("out_elements", "int"),
    "In split size": ("in_split", "text"),
    "Out split size": ("out_split", "text"),
    "Group size": ("group_size", "int"),
    "Process Group Name": ("group", "text"),
    "Process Group Description": ("group_description", "text"),
    "Process Group Ranks": ("group_ranks", "text"),
    "Seq": ("seq", "int"),
    "Src Rank": ("src_rank", "int"),
    "Dst Rank": ("dst_rank", "int"),
}
ALLOCATIONS = Target(
    "allocations",
    {
        "Addr": ("address", "int"),
        "Bytes": ("bytes", "int"),
        "Total Allocated": ("allocated", "int"),
        "Total Reserved": ("reserved", "int"),
        "Device Id": ("device", "int"),
        "Device Type": ("device_type_number", "int"),
        "Ev Idx": ("ev_idx", "int"),
    },
)
DEVICE_TYPES = {0: "cpu", 1: "cuda", 6: "hip", 9: "xla", 12: "xpu", 13: "mps", 15: "hpu", 19: "mtia"}
"""c10::DeviceType."""

_COMPLETE: dict[str, Target] = {
    "cpu_op": OPS,
    "operator": OPS,
    "user_annotation": HOST_ANNOTATIONS,
    "gpu_user_annotation": GPU_ANNOTATIONS,
    "python_function": PYTHON_CALLS,
    "kernel": KERNELS,
    "mtia_ccp_events": KERNELS,
    "hpu_op": KERNELS,
    "gpu_memcpy": Target("copies", _COPY_ARGS, {"kind": "memcpy"}, "device"),
    "memcpy": Target("copies", _COPY_ARGS, {"kind": "memcpy"}, "device"),
    "gpu_memset": Target("copies", _COPY_ARGS, {"kind": "memset"}, "device"),
    "memset": Target("copies", _COPY_ARGS, {"kind": "memset"}, "device"),
    "cuda_sync": SYNCS,
}


def target_of(phase: str, category: str, name: str) -> Target:
    """The table for events of one phase and category; `name` decides only for instants."""
    if phase == "X":
        known = _COMPLETE.get(category.lower())
        if known is not None:
            return known
        if category.lower().endswith("runtime"):
            return Target("api_calls", _API_ARGS, {"layer": "runtime"})
        if category.lower().endswith("driver"):
            return Target("api_calls", _API_ARGS, {"layer": "driver"})
    elif phase in {"i", "I"} and name == "[memory]":
        return ALLOCATIONS
    elif phase in {"i", "I"} and name == "[OutOfMemory]":
        return Target("allocations", ALLOCATIONS.args, {"action": "oom"})
    elif phase in {"s", "t", "f"}:
        return Target("flows", {}, {"kind": category, "end": phase})
    elif phase == "C":
        return Target("counters")
    elif phase == "M":
        return Target("processes")
    return Target("others", {}, {"category": category, "phase": phase})


HEADER_KEYS = frozenset(
    {
        "schemaVersion", "deviceProperties", "distributedInfo", "record_shapes", "with_stack", "with_modules",
        "with_flops", "profile_memory", "cupti_version", "cuda_runtime_version", "cuda_driver_version",
        "roctracer_version", "hip_runtime_version", "hip_driver_version", "trace_id", "displayTimeUnit",
        "baseTimeNanoseconds", "simulated",
    }
)  # fmt: skip
"""Header keys that are kept. An allow-list: real headers carry whole environments, user and host names."""

_DISTRIBUTED_KEYS = frozenset({"backend", "rank", "world_size", "pg_count", "pg_config", "nccl_version"})
_GROUP_KEYS = frozenset({"pg_name", "pg_desc", "backend_config", "pg_size", "ranks"})


def clean_header(key: str, value: Any) -> Any:
    """A header value without anything that is not known to be harmless; None when nothing is left."""
    if key == "deviceProperties":
        return value
    if key != "distributedInfo":
        return value if isinstance(value, (int, float, str)) else None
    if not isinstance(value, dict):
        return None
    kept = {k: v for k, v in value.items() if k in _DISTRIBUTED_KEYS}
    groups = kept.get("pg_config")
    if isinstance(groups, list):
        kept["pg_config"] = [
            {k: v for k, v in g.items() if k in _GROUP_KEYS} for g in groups if isinstance(g, dict)
        ]
    return kept
