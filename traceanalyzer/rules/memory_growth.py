"""Rules about memory that grows from step to step: what is left behind, and caches that are meant to grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.model.sizes import size
from traceanalyzer.rules.snapshot_rule import SnapshotRule, of_line
from traceanalyzer.rules.wording import count
from traceanalyzer.text import say

if TYPE_CHECKING:
    from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot, GrowthRow
    from traceanalyzer.rules.findings import Evidence
    from traceanalyzer.rules.snapshot_rule import Found
    from traceanalyzer.text import Text

_LEAVES = say("{line} leaves {size} behind in every step")
_LEAVES_IN_ROUNDS = say("{line} leaves {size} behind in every round of its loop")
_GROWS = say("the KV cache grows by {per_step} per step")
_GROWS_IN_ROUNDS = say("a cache such as that of keys and values grows by {per_step} per round of its loop")
_STEPS = say("{line}: {size} per step, {total} in {steps}")
_ROUNDS = say("{line}: {size} per round, {total} in {steps}")


def leaves(device: DeviceSnapshot) -> tuple[Text, list[GrowthRow]] | None:
    """What all stacks that grow and are no KV cache leave behind together, and these; None without any."""
    rows = [g for g in device.growth if g.category != "kv_cache"]
    if not rows:
        return None
    says = _LEAVES if rows[0].marked else _LEAVES_IN_ROUNDS
    line = device.growth_python or say("an unknown line")
    return says.filled(line=line, size=size(sum(g.bytes_per_step for g in rows))), rows


def cache_grows(device: DeviceSnapshot) -> tuple[Text, list[GrowthRow]] | None:
    """By how much all KV caches grow together, and their stacks; None without any."""
    rows = [g for g in device.growth if g.category == "kv_cache"]
    if not rows:
        return None
    says = _GROWS if rows[0].marked else _GROWS_IN_ROUNDS
    return says.filled(per_step=size(sum(g.bytes_per_step for g in rows))), rows


class Leak(SnapshotRule):
    """Blocks of the same call stack stay from step to step.

    Something keeps references: a list of losses with their graphs, a cache without a limit, hooks. KV caches
    grow by design and are told apart by their names, or by what they do: they grow while the shorter one goes.
    Counted are blocks that nothing released before the end, in most of the steps after the first; where no steps
    were marked, in every round of a loop that calls the same lines again and again.
    """

    code, title, severity = "MEM002", say("Memory grows from step to step"), "high"
    fix = say("Keep no reference from step to step: append loss.item(), detach what is kept, bound caches.")

    def look(self, device: DeviceSnapshot) -> Found | None:
        """The stacks that grow and are no KV cache."""
        found = leaves(device)
        if found is None:
            return None
        claim, rows = found
        return claim, sum(g.total_bytes for g in rows), [_growth(device, g) for g in rows]


class KvCacheGrowth(SnapshotRule):
    """The KV cache grows with every step.

    It does by design, with the tokens and sequences that are kept. The finding says how fast, so that it can be
    told how long the memory lasts.
    """

    code, title, severity = "MEM003", say("The KV cache grows with every step"), "low"
    fix = say(
        "Limit the tokens or sequences kept at once, keep the cache in 8 bits, or allocate it once "
        "(paged, static)."
    )

    def look(self, device: DeviceSnapshot) -> Found | None:
        """The stacks that grow and are a KV cache."""
        found = cache_grows(device)
        if found is None:
            return None
        claim, rows = found
        return claim, sum(g.total_bytes for g in rows) // 2, [_growth(device, g) for g in rows]


def _growth(device: DeviceSnapshot, row: GrowthRow) -> Evidence:
    text = (_STEPS if row.marked else _ROUNDS).filled(
        line=f"{row.python} {row.function}" if row.python else say("an unknown line"),
        size=size(row.bytes_per_step),
        total=size(row.total_bytes),
        steps=count(row.steps, "step") if row.marked else count(row.steps, "round"),
    )
    return of_line(device, text, row.python, row.function)
