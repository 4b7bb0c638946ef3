"""Two memory snapshots side by side: what grew and what shrank, by everything that holders are grouped by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from traceanalyzer.analyzers.snapshot.groups import WAYS, HeldBy, grouped
from traceanalyzer.analyzers.snapshot.state import device_states

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.analyzers.snapshot.device import DeviceState
    from traceanalyzer.model.trace import Trace

At = Literal["peak", "end"]


@dataclass(frozen=True, slots=True)
class ChangedRow:
    """What one group held before and after; 0 blocks where it held nothing."""

    key: str
    beside: str
    before_bytes: int
    after_bytes: int
    change_bytes: int
    before_count: int
    after_count: int


@dataclass(frozen=True, slots=True)
class DeviceDiff:
    """One rank and device that both snapshots show; totals in bytes by name, rows by one of WAYS."""

    rank: int
    device: int
    before: dict[str, int]
    after: dict[str, int]
    rows: dict[str, tuple[ChangedRow, ...]]


@dataclass(frozen=True, slots=True)
class SnapshotDiff:
    """All devices that both show, and the (rank, device) pairs that only one does."""

    at: At
    devices: tuple[DeviceDiff, ...]
    only_before: tuple[tuple[int, int], ...]
    only_after: tuple[tuple[int, int], ...]


def compare(before: Trace, after: Trace, at: At) -> SnapshotDiff:
    """What is held at the same moment of two snapshots: at the end of each, or at its peak.

    Stacks are the same when they have the same frames of the user's own code, lines included.
    """
    old = {(state.rank, state.device): state for state in device_states(before)}
    new = {(state.rank, state.device): state for state in device_states(after)}
    return SnapshotDiff(
        at,
        tuple(_device(old[place], new[place], at) for place in sorted(old.keys() & new.keys())),
        tuple(sorted(old.keys() - new.keys())),
        tuple(sorted(new.keys() - old.keys())),
    )


def _device(old: DeviceState, new: DeviceState, at: At) -> DeviceDiff:
    entries = [state.peak_entry if at == "peak" else None for state in (old, new)]
    held = [state.holders_at(entry) for state, entry in zip((old, new), entries, strict=True)]
    return DeviceDiff(
        old.rank,
        old.device,
        old.totals_at(entries[0]),
        new.totals_at(entries[1]),
        {by: changed(*({row.key: row for row in grouped(h, by)} for h in held)) for by in WAYS},
    )


def changed(before: Mapping[str, HeldBy], after: Mapping[str, HeldBy]) -> tuple[ChangedRow, ...]:
    """The groups of both, what grew most first."""
    nothing = HeldBy("", "", 0, 0, 0)
    rows = []
    for key in before.keys() | after.keys():
        old, new = before.get(key, nothing), after.get(key, nothing)
        beside = new.beside or old.beside
        rows.append(
            ChangedRow(key, beside, old.bytes, new.bytes, new.bytes - old.bytes, old.count, new.count)
        )
    return tuple(sorted(rows, key=lambda row: (-row.change_bytes, -row.after_bytes, row.key)))
