"""Rules about copies between host and device."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import DEVICE_WORK
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.idle_places import places
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.rules.wording import count, duration, size
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceanalyzer.analyzers.results import CopyRow
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts


class PageableCopies:
    """Data crosses between host and device from memory that is not pinned.

    The driver cannot read pageable memory directly: the host first copies it, piece by piece, into a pinned
    buffer. The call blocks meanwhile, `non_blocking=True` has no effect, and the copy runs at a fraction of
    the link's speed. From pinned memory the copy runs at full speed beside the kernels.

    Counted is the time in which pageable copies run and no kernel does, and the idle time in which the host
    is inside such a copy.
    """

    code: ClassVar[str] = "COPY001"
    title: ClassVar[Text] = say("Copies go through pageable memory")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when pageable copies and the waits for them cost enough."""
        rows = [r for r in facts.copies.rows if r.kind == "memcpy" and _pageable(r) and _crosses(r)]
        # The rows cover the whole trace; within the steps they expose no more than the partition says.
        exposed = min(sum(r.exposed_ns for r in rows), facts.sum("exposed_copy_ns"))
        waiting = facts.idle_ns("host_copy")
        cost = exposed + waiting
        if not rows or facts.share(cost) < thresholds.COPY_SHARE:
            return
        low, high = facts.saving(cost)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(facts.share(cost)),
            claim=say(
                "Copies from or to pageable memory cost {share} ({high}): {exposed} of copying, "
                "{waiting} of waiting.",
                share=facts.of_step(facts.share(cost)),
                high=duration(high),
                exposed=duration(facts.per_step(exposed)),
                waiting=duration(facts.per_step(waiting)),
            ),
            evidence=(*map(_described, rows), *places(facts.largest_gaps("host_copy"))),
            fix=say(
                "Pin the host memory, then copy without waiting.\n"
                "```\n"
                "loader = DataLoader(dataset, pin_memory=True)\n"
                "batch = batch.to(device, non_blocking=True)\n"
                "```"
            ),
            confidence=facts.confidence,
            saving_ns=(low, high),
            counts=(*counted.exposed_copies(facts, exposed), *counted.idle(facts, "host_copy")),
        )


class ExposedCopies:
    """Copies run while no kernel does.

    A copy from pinned memory can run on a stream of its own while kernels work on the previous batch. When
    it runs on the same stream, or is issued just before it is needed, the kernels wait for it.

    Counted is the time in which a copy between host and device runs and nothing else, without the pageable
    ones, which COPY001 looks at.
    """

    code: ClassVar[str] = "COPY002"
    title: ClassVar[Text] = say("Copies do not overlap with kernels")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when exposed copies cost enough."""
        rows = [r for r in facts.copies.rows if r.kind == "memcpy" and not _pageable(r) and _crosses(r)]
        exposed = min(sum(r.exposed_ns for r in rows), facts.sum("exposed_copy_ns"))
        if not rows or facts.share(exposed) < thresholds.COPY_SHARE:
            return
        high = facts.per_step(exposed)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(facts.share(exposed)),
            claim=say(
                "For {share} ({high}) only copies run.",
                share=facts.of_step(facts.share(exposed)),
                high=duration(high),
            ),
            evidence=tuple(map(_described, rows)),
            fix=_hidden(rows),
            confidence=facts.confidence,
            saving_ns=facts.saving(exposed),
            counts=counted.exposed_copies(facts, exposed),
        )


def _hidden(rows: Sequence[CopyRow]) -> Text:
    """How to hide the copies, by the direction that costs most."""
    if max(rows, key=lambda row: row.exposed_ns).direction == "DtoH":
        return say(
            "Read results later or less often: keep them on the device, or copy them to pinned memory while the next "
            "kernels run.\n"
            "```\n"
            "losses.append(loss.detach())          # instead of loss.item() in each step\n"
            "pinned.copy_(result, non_blocking=True)  # read it a step later\n"
            "```"
        )
    return say(
        "Copy the next batch on a side stream while this one computes, or keep the data on the "
        "device.\n"
        "```\n"
        "with torch.cuda.stream(copy_stream):\n"
        "    upcoming = batch.to(device, non_blocking=True)\n"
        "…\n"
        "torch.cuda.current_stream().wait_stream(copy_stream)\n"
        "```"
    )


def _pageable(row: CopyRow) -> bool:
    return "pageable" in (row.src_kind, row.dst_kind)


def _crosses(row: CopyRow) -> bool:
    return row.direction in ("HtoD", "DtoH")


def _described(row: CopyRow) -> Evidence:
    moved = "" if row.bytes is None else say(", {bytes}", bytes=size(row.bytes))
    caller = say(", mostly from {op}", op=row.op) if row.op else ""
    return Evidence(
        say(
            "{copies} {direction} ({source} to {target} memory){moved}, {total}, of which {exposed} "
            "exposed{caller}",
            copies=count(row.count, "copy"),
            direction=row.direction,
            source=word(row.src_kind or "unknown"),
            target=word(row.dst_kind or "unknown"),
            moved=moved,
            total=duration(row.total_ns),
            exposed=duration(row.exposed_ns),
            caller=caller,
        ),
        table="copies",
        row=row.longest,
    )


RULES = (PageableCopies(), ExposedCopies())
