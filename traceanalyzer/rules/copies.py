"""Rules about copies between host and device."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules.findings import Evidence, Finding
from traceanalyzer.rules.idle import places, severity
from traceanalyzer.rules.wording import count, duration, percent, size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.results import CopyRow
    from traceanalyzer.rules.base import Facts

DEVICE_WORK = frozenset({Capability.DEVICE_WORK})


class PageableCopies:
    """Data crosses between host and device from memory that is not pinned.

    The driver cannot read pageable memory directly: the host first copies it, piece by piece, into a pinned
    buffer. The call blocks meanwhile, `non_blocking=True` has no effect, and the copy runs at a fraction of
    the link's speed. From pinned memory the copy runs at full speed beside the kernels.

    Counted is the time in which pageable copies run and no kernel does, and the idle time in which the host
    is inside such a copy.
    """

    code: ClassVar[str] = "COPY001"
    title: ClassVar[str] = "Copies go through pageable memory"
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
            claim=(
                f"Copies from or to pageable memory cost {percent(facts.share(cost))} of the step "
                f"({duration(high)}): "
                f"{duration(facts.per_step(exposed))} of copying, "
                f"{duration(facts.per_step(waiting))} of waiting."
            ),
            evidence=(*map(_described, rows), *places(facts.largest_gaps("host_copy"))),
            fix=(
                "Pin the host memory, then copy without waiting.\n"
                "```\n"
                "loader = DataLoader(dataset, pin_memory=True)\n"
                "batch = batch.to(device, non_blocking=True)\n"
                "```"
            ),
            confidence=facts.confidence,
            saving_ns=(low, high),
        )


class ExposedCopies:
    """Copies run while no kernel does.

    A copy from pinned memory can run on a stream of its own while kernels work on the previous batch. When
    it runs on the same stream, or is issued just before it is needed, the kernels wait for it.

    Counted is the time in which a copy between host and device runs and nothing else, without the pageable
    ones, which COPY001 looks at.
    """

    code: ClassVar[str] = "COPY002"
    title: ClassVar[str] = "Copies do not overlap with kernels"
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
            claim=f"For {percent(facts.share(exposed))} of the step ({duration(high)}) only copies run.",
            evidence=tuple(map(_described, rows)),
            fix=(
                "Copy the next batch on a side stream while this one computes, or keep the data on the "
                "device.\n"
                "```\n"
                "with torch.cuda.stream(copy_stream):\n"
                "    upcoming = batch.to(device, non_blocking=True)\n"
                "…\n"
                "torch.cuda.current_stream().wait_stream(copy_stream)\n"
                "```"
            ),
            confidence=facts.confidence,
            saving_ns=facts.saving(exposed),
        )


def _pageable(row: CopyRow) -> bool:
    return "pageable" in (row.src_kind, row.dst_kind)


def _crosses(row: CopyRow) -> bool:
    return row.direction in ("HtoD", "DtoH")


def _described(row: CopyRow) -> Evidence:
    moved = "" if row.bytes is None else f", {size(row.bytes)}"
    caller = f", mostly from {row.op}" if row.op else ""
    return Evidence(
        f"{count(row.count, 'copy').replace('copys', 'copies')} {row.direction} "
        f"({row.src_kind or 'unknown'} to "
        f"{row.dst_kind or 'unknown'} memory){moved}, {duration(row.total_ns)}, "
        f"of which {duration(row.exposed_ns)} exposed{caller}",
        table="copies",
    )


RULES = (PageableCopies(), ExposedCopies())
