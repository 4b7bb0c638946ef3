"""Rules about communication between ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import DEVICE_WORK
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.wording import count, duration, percent, size
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.results import CollectiveRow
    from traceanalyzer.rules.base import Facts

SHOWN = 5


class ExposedCommunication:
    """Communication runs while no compute kernel does.

    Gradient all-reduce can run while the backward pass is still computing, parameter all-gather while the
    layer before computes. What remains exposed adds to the step in full. A communication kernel also spins
    while it waits for slower ranks: the shortest execution of the same size is close to the pure transfer.
    """

    code: ClassVar[str] = "COMM001"
    title: ClassVar[Text] = say("Communication is not hidden behind compute")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when exposed communication costs enough."""
        exposed = facts.sum("exposed_communication_ns")
        share = facts.share(exposed)
        if share < thresholds.COMMUNICATION_SHARE:
            return
        rows = sorted(facts.collectives.rows, key=lambda r: -r.exposed_ns)[:SHOWN]
        overlap = facts.collectives.overlap_share
        hidden = (
            ""
            if overlap is None
            else say(" Compute hides {overlap} of all communication.", overlap=percent(overlap))
        )
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "Communication alone takes {share} ({exposed}).{hidden}",
                share=facts.of_step(share),
                exposed=duration(facts.per_step(exposed)),
                hidden=hidden,
            ),
            evidence=tuple(map(_described, rows)),
            fix=say(
                "Overlap it with compute, and send less: bf16 gradients, gradient accumulation under "
                "`no_sync()`, FSDP prefetching (`backward_prefetch`, `forward_prefetch`).\n"
                "```\n"
                "from torch.distributed.algorithms.ddp_comm_hooks import default_hooks\n"
                "model = DistributedDataParallel(model, gradient_as_bucket_view=True)\n"
                "model.register_comm_hook(None, default_hooks.bf16_compress_hook)\n"
                "```"
            ),
            confidence=facts.confidence,
            saving_ns=facts.saving(exposed),
            counts=counted.exposed_communication(facts, exposed),
        )


class SmallCollectives:
    """Many collectives move little data each.

    Below about 1 MiB a collective takes its latency, whatever it moves: some tens of microseconds over all
    ranks. Joining them into a few large ones pays the latency once.
    """

    code: ClassVar[str] = "COMM002"
    title: ClassVar[Text] = say("Many small collectives")
    requires: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.DEVICE_WORK, Capability.COLLECTIVE_ARGUMENTS}
    )

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when most collectives are small, numerous and not hidden."""
        sized = [r for r in facts.collectives.rows if r.in_bytes is not None]
        small = [r for r in sized if _mean_bytes(r) < thresholds.SMALL_COLLECTIVE_BYTES]
        number, total = sum(r.count for r in small), sum(r.count for r in sized)
        per_step = number / facts.device_steps
        exposed = min(sum(r.exposed_ns for r in small), facts.sum("exposed_communication_ns"))
        if (
            per_step < thresholds.SMALL_COLLECTIVES_PER_STEP
            or number < thresholds.SMALL_COLLECTIVE_SHARE * total
            or facts.share(exposed) < thresholds.HOST_STALL_SHARE
        ):
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(facts.share(exposed)),
            claim=say(
                "{number:,} of {total:,} {total:collective|collectives} ({per_step:.0f} per step) "
                "{number:moves|move} less than {limit}; exposed, they cost {share}.",
                number=number,
                total=total,
                per_step=per_step,
                limit=size(thresholds.SMALL_COLLECTIVE_BYTES),
                share=facts.of_step(facts.share(exposed)),
            ),
            evidence=tuple(_described(r) for r in sorted(small, key=lambda r: -r.exposed_ns)[:SHOWN]),
            fix=say(
                "Join them: a larger bucket_cap_mb in DDP, flattened parameters in FSDP, one collective over "
                "a list."
            ),
            confidence=facts.confidence,
            saving_ns=facts.saving(exposed),
            counts=counted.exposed_communication(facts, exposed),
        )


def _mean_bytes(row: CollectiveRow) -> float:
    return max(row.in_bytes or 0, row.out_bytes or 0) / row.count


def _described(row: CollectiveRow) -> Evidence:
    what = row.collective or row.name[:60]
    dtype = say(" of {dtype}", dtype=row.dtype) if row.dtype else ""
    group = say(" over {ranks} {ranks:rank|ranks}", ranks=row.group_size) if row.group_size else ""
    bandwidth = (
        say(", bus bandwidth {speed:.1f} GB/s at best", speed=row.bus_gb_per_s)
        if row.bus_gb_per_s is not None
        else ""
    )
    return Evidence(
        say(
            "{executions} of {what}{dtype}{group}: {total} in total, {exposed} exposed, shortest "
            "{least}{bandwidth}",
            executions=count(row.count, "execution"),
            what=what,
            dtype=dtype,
            group=group,
            total=duration(row.total_ns),
            exposed=duration(row.exposed_ns),
            least=duration(row.min_ns),
            bandwidth=bandwidth,
        ),
        table="kernels",
        row=row.longest,
        name=row.name,
        sheet="collectives",
    )


RULES = (ExposedCommunication(), SmallCollectives())
