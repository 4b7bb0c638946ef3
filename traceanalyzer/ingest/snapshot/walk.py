"""Plain containers → columns, driven by the keys that are there: every era and fork of the format.

Columns of segments and blocks are lists of references to numbers that the snapshot holds anyway; entries become
Arrow columns batch by batch (`entries`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from traceanalyzer.ingest.snapshot.entries import Entries, pool_name
from traceanalyzer.ingest.snapshot.refused import Refused
from traceanalyzer.ingest.snapshot.stacks import Stacks

Columns = dict[str, list[Any]]
STATES = {"active_awaiting_free": "active_pending_free"}


@dataclass
class Walked:
    """A snapshot in columns; `entries` per device, in the file's order."""

    segments: Columns
    blocks: Columns
    entries: dict[int, Entries]
    annotations: Columns
    stacks: Stacks
    settings: dict[str, Any]
    problems: list[str] = field(default_factory=list)


def walk(snapshot: Any, max_rows: int, stacks: Stacks | None = None) -> Walked:
    """The columns of a snapshot.

    Args:
        snapshot: what the file held: a dict, or the bare list of segments of PyTorch 1.x and 2.0. Instead of a
            list of entries there may be `Entries`.
        max_rows: more entries, blocks or frames of stacks than this cannot come from a file of this size unless
            parts of it are repeated to exhaust the reader.
        stacks: those of the `Entries`.

    Raises:
        Refused: it is something else than a snapshot.
    """
    whole = {"segments": snapshot} if isinstance(snapshot, list) else snapshot
    if not isinstance(whole, dict) or not isinstance(whole.get("segments"), list):
        raise Refused("is no memory snapshot: it has no list of segments")
    traces = whole.get("device_traces") or []
    try:
        _limit(sum(t.rows if isinstance(t, Entries) else len(t) for t in traces), max_rows, "entries")
        _limit(sum(len(s.get("blocks") or ()) for s in whole["segments"]), max_rows, "blocks")
        stacks = stacks or Stacks(max_rows)
        entries = {
            device: trace if isinstance(trace, Entries) else Entries.of(trace, stacks, max_rows)
            for device, trace in enumerate(traces)
            if isinstance(trace, Entries) or trace
        }
        segments, blocks = _segments(whole["segments"], stacks)
        annotations = _annotations(whole.get("external_annotations") or [])
    except (AttributeError, TypeError, LookupError, ValueError, OverflowError, pa.ArrowException) as error:
        raise Refused(f"is no memory snapshot: {type(error).__name__}: {error}") from None
    return Walked(segments, blocks, entries, annotations, stacks, _settings(whole))


def _limit(count: int, most: int, what: str) -> None:
    if count > most:
        raise Refused(f"unfolds to {count} {what}, more than a file of this size can hold")


def _segments(found: list[dict[str, Any]], stacks: Stacks) -> tuple[Columns, Columns]:
    segments: Columns = {
        key: [s.get(key) for s in found]
        for key in ("address", "total_size", "allocated_size", "active_size", "requested_size", "stream")
    }
    segments["device"] = [s.get("device", 0) for s in found]
    segments["segment_type"] = [s.get("segment_type") for s in found]
    segments["is_expandable"] = [s.get("is_expandable") for s in found]
    segments["pool"] = [pool_name(s.get("segment_pool_id")) for s in found]
    segments["stack"] = [stacks.row(s.get("frames")) for s in found]
    names = ("device", "segment", "address", "size", "requested_size", "state", "stack")
    blocks: Columns = {name: [] for name in names}
    for row, segment in enumerate(found):
        address = segment.get("address", 0)
        for block in segment.get("blocks") or ():
            history = block.get("history") or ()  # until 2.0: what the block was used for, the newest first
            frames = block.get("frames") or (history[0].get("frames") if history else None)
            state = block["state"]
            requested = block.get("requested_size", history[0].get("real_size") if history else None)
            here = block.get("address", address)
            for name, value in zip(
                names,
                (segment.get("device", 0), row, here, block["size"],
                 None if state == "inactive" else requested, STATES.get(state, state),
                 None if state == "inactive" else stacks.row(frames)),
                strict=True,
            ):  # fmt: skip
                blocks[name].append(value)
            address = here + block["size"]
    return segments, blocks


def _annotations(found: list[dict[str, Any]]) -> Columns:
    """Pair START with END per name and device; what stays open has no duration."""
    columns: Columns = {"name": [], "ts": [], "dur": []}
    open_: dict[tuple[Any, Any], list[int]] = {}
    for event in found:
        key = (event.get("device"), event["name"])
        if event.get("stage") == "START":
            open_.setdefault(key, []).append(len(columns["name"]))
            for name, value in (("name", str(event["name"])), ("ts", event["time_us"] * 1000), ("dur", None)):
                columns[name].append(value)
        elif open_.get(key):
            row = open_[key].pop()
            columns["dur"][row] = max(0, event["time_us"] * 1000 - columns["ts"][row])
    return columns


def _settings(whole: dict[str, Any]) -> dict[str, Any]:
    """The allocator's settings, under whatever key a fork keeps them: numbers, flags and its own short texts."""
    key = next((k for k in whole if isinstance(k, str) and k.endswith("allocator_settings")), None)
    settings = whole.get(key) if key else None
    if not isinstance(settings, dict):
        return {}
    kept: dict[str, Any] = {str(k): v for k, v in settings.items() if isinstance(v, bool | int | float | str)}
    divisions = settings.get("roundup_power2_divisions")
    if isinstance(divisions, dict):
        kept["roundup_power2_divisions"] = {
            str(k): v for k, v in divisions.items() if isinstance(v, int) and v
        }
    return {k: v[:200] if isinstance(v, str) else v for k, v in kept.items()}
