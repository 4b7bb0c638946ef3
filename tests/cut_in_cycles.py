"""What a profiler writes that records some steps of a run, then others: one trace cut into several files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

ON_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset", "cuda_sync", "ac2g"}


def in_cycles(trace: dict[str, Any], folder: Path, worker: str, *cycles: tuple[int, int]) -> list[Path]:
    """Write a file with the first to the last step of each cycle, named as `tensorboard_trace_handler` does."""
    events = trace["traceEvents"]
    named = [
        e
        for e in events
        if str(e.get("name")).startswith("ProfilerStep") and e.get("cat") == "user_annotation"
    ]
    steps = sorted(named, key=lambda e: e["ts"])
    files = []
    for number, (first, last) in enumerate(cycles):
        begin, end = steps[first]["ts"], steps[last]["ts"] + steps[last]["dur"]
        host = [
            e
            for e in events
            if e["ph"] != "M" and e.get("cat") not in ON_DEVICE and begin <= e["ts"] <= end - e.get("dur", 0)
        ]
        launched = {e.get("args", {}).get("correlation") for e in host} - {None, 0}
        device = [e for e in events if e.get("cat") in ON_DEVICE and _correlation(e) in launched]
        path = folder / f"{worker}.{1_700_000_000 + number}.pt.trace.json"
        described = [e for e in events if e["ph"] == "M"]
        path.write_text(json.dumps({**trace, "traceEvents": [*described, *host, *device]}))
        files.append(path)
    return files


def _correlation(event: dict[str, Any]) -> int | None:
    found: int | None = event["id"] if event["cat"] == "ac2g" else event.get("args", {}).get("correlation")
    return found
