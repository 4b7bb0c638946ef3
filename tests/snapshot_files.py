"""Small memory snapshots by hand, as torch.cuda.memory._snapshot() returns them."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from traceanalyzer.ingest.combine import combine
from traceanalyzer.model.capabilities import capabilities_of
from traceanalyzer.model.link import link
from traceanalyzer.model.schema import TABLES
from traceanalyzer.model.tables import empty
from traceanalyzer.model.trace import Source, Trace

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.ingest.snapshot.assemble import Read

MIB = 1 << 20
BASE = 0x7F00_0000_0000


def frame(file: str, line: int, name: str) -> dict[str, Any]:
    return {"filename": file, "line": line, "name": name}


def entry(action: str, addr: int, size: int, at: int, frames: Any = None, **rest: Any) -> dict[str, Any]:
    """The call stack comes last, as torch has it."""
    where = "device_free" if action == "oom" else "addr"
    return {
        "action": action,
        where: addr,
        "size": size,
        "stream": 0,
        "time_us": at,
        **rest,
        "frames": frames or [],
    }


def block(
    address: int, size: int, requested: int, state: str = "active_allocated", frames: Any = None
) -> dict[str, Any]:
    return {
        "address": address,
        "size": size,
        "requested_size": requested,
        "state": state,
        "frames": frames or [],
    }


def segment(address: int, blocks: list[dict[str, Any]], **rest: Any) -> dict[str, Any]:
    active = [b for b in blocks if b["state"] != "inactive"]
    total = sum(b["size"] for b in blocks)
    return {
        "device": 0,
        "address": address,
        "total_size": total,
        "allocated_size": sum(b["size"] for b in active if b["state"] == "active_allocated"),
        "active_size": sum(b["size"] for b in active),
        "requested_size": sum(b["requested_size"] for b in active),
        "stream": 0,
        "segment_type": "small" if total == 2 * MIB else "large",
        "segment_pool_id": (0, 0),
        "is_expandable": False,
        "frames": [],
        "blocks": blocks,
    } | rest


def snapshot(
    segments: list[dict[str, Any]], trace: list[dict[str, Any]], annotations: Any = (), **settings: Any
) -> dict[str, Any]:
    return {
        "segments": segments,
        "device_traces": [trace],
        "allocator_settings": {"PYTORCH_CUDA_ALLOC_CONF": "", "max_split_size": -1, **settings},
        "external_annotations": list(annotations),
    }


def write(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


USER = frame("/app/train.py", 57, "train_step")
LIBRARY = frame("/venv/lib/python3.12/site-packages/torch/nn/modules/module.py", 1511, "_call_impl")
KERNEL = frame("??", 0, "torch::unwind::unwind()")


def simple() -> dict[str, Any]:
    """A 20 MiB segment: 5 MB allocated and kept, 3 MB allocated and released, the first seen by an annotation."""
    kept, freed = 5 * MIB - 100, 3 * MIB
    stack = [KERNEL, LIBRARY, USER]
    return snapshot(
        [
            segment(
                BASE,
                [block(BASE, 5 * MIB, kept, frames=stack), block(BASE + 5 * MIB, 15 * MIB, 7, "inactive")],
            )
        ],
        [
            entry("segment_alloc", BASE, 20 * MIB, 1_700_000_000_000_000, stack),
            entry("alloc", BASE, kept, 1_700_000_000_000_001, stack),
            entry("alloc", BASE + 5 * MIB, freed, 1_700_000_000_000_002, [USER]),
            entry("free_requested", BASE + 5 * MIB, freed, 1_700_000_000_000_003),
            entry("free_completed", BASE + 5 * MIB, freed, 1_700_000_000_000_004),
        ],
    )


def trace_of(done: Read) -> Trace:
    """What reading a file with these tables gives."""
    tables = {table.name: done.tables.get(table.name, empty(table.name)) for table in TABLES}
    source = Source(
        "a", "memory snapshot", "", 1, done.events, 0, metadata={"allocator_settings": done.settings}
    )
    return link(combine([Trace((source,), tables, capabilities_of(tables))]))
