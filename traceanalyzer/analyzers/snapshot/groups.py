"""Who holds memory, added up by one thing that is known of it: its line, module, stack, category and so on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceanalyzer.text import join, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.snapshot.results import StackHolder

WAYS = ("line", "module", "stack", "category", "annotation", "compile", "pool", "stream", "op")
"""What holders can be grouped by."""


@dataclass(frozen=True, slots=True)
class HeldBy:
    """Memory of one group; `beside` is the category of its largest holder, or how a category was told."""

    key: str
    beside: str
    bytes: int
    requested_bytes: int
    count: int


def grouped(holders: Iterable[StackHolder], by: str) -> tuple[HeldBy, ...]:
    """The holders by one of WAYS, the largest group first."""
    groups: dict[str, list[StackHolder]] = {}
    for holder in holders:
        groups.setdefault(key_of(holder, by), []).append(holder)
    rows = [_row(key, members, by) for key, members in groups.items()]
    return tuple(sorted(rows, key=lambda row: (-row.bytes, row.key)))


def _row(key: str, members: list[StackHolder], by: str) -> HeldBy:
    largest = max(members, key=lambda holder: holder.bytes)
    return HeldBy(
        key,
        largest.inferred_from if by == "category" else largest.category,
        sum(holder.bytes for holder in members),
        sum(holder.requested_bytes for holder in members),
        sum(holder.count for holder in members),
    )


def key_of(holder: StackHolder, by: str) -> str:
    """What a holder is added up under."""
    match by:
        case "module":
            return holder.module or say("no forward method on the stack")
        case "stack":
            return join(" ← ", holder.path) if holder.path else line_of(holder)
        case "category":
            return holder.category
        case "annotation":
            return holder.annotation or say("no annotation around it, or before the window")
        case "compile":
            return holder.compile_context or say("not compiled")
        case "pool":
            return holder.pool or say("pool not recorded")
        case "op":
            return holder.op or say("no profile of the run tells")
        case "stream":
            return say("stream not recorded") if holder.stream is None else str(holder.stream)
        case _:
            return line_of(holder)


def line_of(holder: StackHolder) -> str:
    """The user's line that allocated, or why it is not known."""
    if holder.python:
        return f"{holder.python} {holder.function}"
    if holder.stack is None:
        return say("no stack: before the window, or not recorded")
    return say("no Python on the stack")
