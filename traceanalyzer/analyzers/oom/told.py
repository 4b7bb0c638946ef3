"""What the text of an error adds to the snapshot of the same error: the device, its other users, the limit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_UNITS = (1 << 40, 1 << 30, 1 << 20, 1 << 10, 1)


@dataclass(frozen=True, slots=True)
class Told:
    """Bytes as a text has them, with two decimals; None where it does not say."""

    line: int | None = None
    capacity: int | None = None
    allowed: int | None = None
    other_processes: int | None = None
    non_pytorch: int | None = None


NOTHING = Told()


def told(row: Mapping[str, Any]) -> Told:
    """A row of `oom_messages`."""
    names = ("line", "capacity", "allowed", "other_processes", "non_pytorch")
    return Told(**{name: row[name] for name in names})


def same_error(row: Mapping[str, Any], rank: int, device: int, segment: int, device_free: int | None) -> bool:
    """Whether a text tells of the error that a snapshot recorded: the same request while as much was free.

    The text has what the driver was asked for, and all sizes with two decimals of their unit.
    """
    if row["kind"] not in {"cuda", "hip"} or row["rank"] != rank or row["device"] not in {None, device}:
        return False
    if row["requested"] is None or not _printed_alike(row["requested"], segment):
        return False
    return None in (row["free"], device_free) or _printed_alike(row["free"], device_free or 0)


def _printed_alike(printed: int, exact: int) -> bool:
    unit = next((u for u in _UNITS if exact >= u), 1)
    return abs(printed - exact) <= 0.0051 * unit
