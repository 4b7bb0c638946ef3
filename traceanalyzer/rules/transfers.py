"""Rules about copies that are small, or need not leave the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import DEVICE_WORK
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.wording import duration, size
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.results import CopyRow
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts


class SmallTransfers:
    """Many small tensors are made on the host and moved to the device.

    `torch.tensor(…).to(device)`, masks and position ids built on the CPU: each copy costs the host a launch and, from
    pageable memory, a wait, whatever its size. Tensors made on the device need neither.
    """

    code: ClassVar[str] = "COPY003"
    title: ClassVar[Text] = say("Small tensors are made on the host and moved")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when a step has many small copies to the device."""
        rows = [
            r
            for r in facts.copies.rows
            if r.kind == "memcpy" and r.direction == "HtoD" and _mean_bytes(r) is not None
        ]
        small = [r for r in rows if (_mean_bytes(r) or 0) < thresholds.SMALL_COPY_BYTES]
        number = sum(r.count for r in small)
        if number / facts.device_steps < thresholds.SMALL_COPIES_PER_STEP:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity="medium" if facts.share(facts.idle_ns("host_copy")) >= thresholds.COPY_SHARE else "low",
            claim=say(
                "{number} {number:copy|copies} per step {number:brings|bring} less than {limit} each to the device.",
                number=f"{number / facts.device_steps:.0f}",
                limit=size(thresholds.SMALL_COPY_BYTES),
            ),
            evidence=tuple(_described(r) for r in small),
            fix=say(
                "Make them where they are used, or move them together.\n"
                "```\n"
                "positions = torch.arange(n, device=x.device)   # instead of torch.arange(n).to(x.device)\n"
                "```"
            ),
            confidence=facts.confidence,
            saving_reason=say("what the device waits for them is in COPY001 and IDLE001"),
        )


class CopiesOnDevice:
    """Whole tensors are copied within the device.

    `clone()`, `cat` into a larger tensor, a KV cache that is grown by copying, and buckets that gradients are gathered
    in: the copy reads and writes memory and computes nothing.
    """

    code: ClassVar[str] = "COPY004"
    title: ClassVar[Text] = say("Tensors are copied within the device")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when copies within the device run alone for enough of the step."""
        rows = [r for r in facts.copies.rows if r.kind == "memcpy" and r.direction in ("DtoD", "PtoP")]
        exposed = min(sum(r.exposed_ns for r in rows), facts.sum("exposed_copy_ns"))
        share = facts.share(exposed)
        if not rows or share < thresholds.COPY_SHARE:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say("Copies within the device take {share}.", share=facts.of_step(share)),
            evidence=tuple(_described(r) for r in rows),
            fix=say(
                "Write results where they are needed (out=, preallocated caches and buffers), use views in "
                "place of clones, gradient_as_bucket_view=True in DDP."
            ),
            confidence=facts.confidence,
            saving_ns=facts.saving(exposed),
            counts=counted.exposed_copies(facts, exposed, within_device=True),
        )


def _mean_bytes(row: CopyRow) -> float | None:
    return None if row.bytes is None else row.bytes / row.count


def _described(row: CopyRow) -> Evidence:
    return Evidence(
        say(
            "{number} {direction} of {each} on average, {time} in total, mostly from {op}",
            number=f"{row.count:,}",
            direction=row.direction or "",
            each=say("unknown size") if row.bytes is None else size(row.bytes / row.count),
            time=duration(row.total_ns),
            op=row.op or say("an unknown operator"),
        ),
        table="copies",
        row=row.longest,
    )


RULES = (SmallTransfers(), CopiesOnDevice())
