"""A real profile's own memory events, given as a snapshot: each gets the op, module and step of its original."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.model.columns import present
from traceanalyzer.pipeline import load

from .corpus import CORPUS, NO_CACHE, needs_corpus

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.model.trace import Trace

FREES = ("free_requested", "free_completed")


def on_gpu(trace: Trace) -> list[dict[str, Any]]:
    return [row for row in trace.allocations.to_pylist() if row["device_type"] == "cuda"]


def as_snapshot(trace: Trace) -> dict[str, Any]:
    """What torch.cuda.memory._snapshot() would have said of the same allocations: no stacks, a segment per block."""
    epoch_ns, entries, live = trace.sources[0].epoch_ns, [], {}
    assert epoch_ns is not None
    for row in on_gpu(trace):
        at = (epoch_ns + row["ts"]) // 1000
        entry = {"addr": row["address"], "size": abs(row["bytes"]), "stream": 0, "time_us": at}
        if row["bytes"] > 0:
            live[row["address"]] = row["bytes"]
            entries.append({"action": "alloc", **entry, "frames": []})
        else:
            live.pop(row["address"], None)
            entries += [{"action": action, **entry, "frames": []} for action in FREES]
    segments = [
        {
            "device": 0, "address": address, "total_size": size, "allocated_size": size, "active_size": size,
            "requested_size": size, "stream": 0, "segment_type": "large", "frames": [],
            "blocks": [{"address": address, "size": size, "requested_size": size, "state": "active_allocated"}],
        }
        for address, size in live.items()
    ]  # fmt: skip
    return {"segments": segments, "device_traces": [entries]}


@needs_corpus
@pytest.mark.parametrize("name", ["h100_qwen", "h100_timesformer"])
def test_entries_find_what_the_profiler_knew_of_the_same_allocations(tmp_path: Path, name: str) -> None:
    profile = CORPUS / f"traces/{name}.json.gz"
    alone = load(profile, options=NO_CACHE)
    path = tmp_path / "memory.pickle"
    path.write_bytes(pickle.dumps(as_snapshot(alone), 4))
    both = load(profile, path, options=NO_CACHE)
    rows = both.allocations
    entries = [row for row, own in zip(rows.to_pylist(), present(rows, "requested"), strict=True) if own]
    found = [row for row in entries if row["action"] == "alloc"]
    known = [row for row in on_gpu(alone) if row["bytes"] > 0]
    assert len(known) > 300
    for column in ("op", "module", "step"):
        assert [row[column] for row in found] == [row[column] for row in known], column
    assert found[0]["ts"] == pytest.approx(known[0]["ts"], abs=1000), "on the profile's axis, in whole µs"
    (device,) = run_analyzers(both)[0]["snapshot"].devices
    assert {h.op for h in device.end.holders if h.bytes} - {None} <= set(both.ops["name"].to_pylist())
