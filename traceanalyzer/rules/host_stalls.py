"""Rules about what holds the host up where no device work was recorded: a program that runs on the CPU, for one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.host import ORDINARY, STALLS
from traceanalyzer.rules.findings import Finding, severity
from traceanalyzer.rules.host_communication import late_rank, waited
from traceanalyzer.rules.idle import Compilation, GarbageCollection, ran
from traceanalyzer.rules.loading import DataloaderStall
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceanalyzer.analyzers.host_time import HostTimeRow
    from traceanalyzer.analyzers.ranges import Ranges
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts

SHOWN = 3


class HostStall:
    """One kind of stall: what these rules share."""

    code: ClassVar[str]
    title: ClassVar[Text]
    requires: ClassVar[frozenset[Capability]] = frozenset()
    kind: ClassVar[str]  # of `host.STALLS` or `host.ORDINARY`
    most: ClassVar[float] = 1.0  # of its time that the cure saves
    says: ClassVar[Text]
    fix: ClassVar[Text]

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when it takes enough of the steps."""
        return self.found(facts)

    def found(self, facts: Facts, **told: float) -> Iterable[Finding]:
        """The finding, with what its claim says beside the share."""
        spent: HostTimeRow = facts.results["host_time"].of(self.kind)
        share = spent.share
        if share < thresholds.HOST_STALL_SHARE:
            return
        ranges: Ranges = facts.results["ranges"]
        pattern = {**STALLS, **ORDINARY}[self.kind]
        rows = [*ranges.annotated(pattern), *ranges.called(pattern)]
        time = share * facts.steps.median_ns
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=self.says.filled(share=facts.of_step(share), **told),
            evidence=tuple(ran(row) for row in sorted(rows, key=lambda row: -row.total_ns)[:SHOWN]),
            fix=self.fix,
            confidence=facts.confidence,
            saving_ns=(int(time * thresholds.SAVING_LOW), int(time * self.most)),
        )


class WaitsForBatch(HostStall):
    """The program waits for the next batch.

    The workers of the `DataLoader` (or the main process, with `num_workers=0`) prepare batches more slowly than the
    program uses them. Counted is the time of the steps in `DataLoader.__next__`.
    """

    code = "HOST001"
    title = say("The program waits for the next batch")
    kind = "dataloader"
    says = say("The next batch is waited for during {share}.")
    fix = DataloaderStall.fix


class CollectsGarbage(HostStall):
    """Python's garbage collector stops the program within its steps.

    A collection of the oldest generation walks over every object of the process, for tens of milliseconds in a large
    one.
    """

    code = "HOST002"
    title = say("Python's garbage collector stops the program")
    kind = "gc"
    says = say("Python collects garbage during {share}.")
    fix = GarbageCollection.fix


class Compiles(HostStall):
    """Code is compiled within the steps.

    Expected in the first steps. In later ones it means recompilation, for shapes or Python values that change.
    """

    code = "HOST003"
    title = say("Code is compiled within the step of the program")
    kind = "compile"
    says = say("Code is compiled or loaded during {share}.")
    fix = Compilation.fix


class WaitsForOthers(HostStall):
    """The program waits for other ranks in communication on the host.

    Without a device, ranks talk over Gloo or MPI on the host. Counted is the time of the steps in which such a
    collective runs and the threads that compute do nothing: what is behind operators costs nothing.
    """

    code = "HOST005"
    title = say("The program waits for other ranks")
    kind = "host_communication"
    says = say("Communication runs, and no operator beside it, during {share}.")
    late = say(
        "Communication runs, and no operator beside it, during {share}. In {last} of {joined} collectives the others "
        "wait for rank {rank}."
    )
    fix = say(
        "Give every rank as much work as the others. Then talk less often (`no_sync()` while gradients are "
        "accumulated, no `barrier()` in the step), and begin early what is waited for late (`async_op=True`, smaller "
        "buckets)."
    )

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when it takes enough of the steps, with the rank that the others wait for."""
        late, spent = late_rank(facts), facts.results["host_time"].of(self.kind)
        for finding in self.found(facts):
            found = replace(finding, evidence=tuple(waited(facts)))
            if late is not None and finding.saving_ns is not None:
                share = facts.of_step(spent.share)
                says = self.late.filled(share=share, last=late.last, joined=late.joined, rank=late.rank)
                most = int(_most_of_a_rank(facts, spent.step_ns) * facts.steps.median_ns)
                found = replace(found, claim=says, saving_ns=(finding.saving_ns[0], most))
            yield found


class LoopingOptimizer(HostStall):
    """The optimizer updates parameters one by one.

    For every parameter it runs a dozen ops, each of which passes over the parameter or its state. Fused, it passes over
    all of them once, in one op.
    """

    code = "HOST004"
    title = say("The optimizer runs many ops on the host")
    kind = "optimizer"
    most = thresholds.FUSED_ON_HOST_MOST
    says = say("The optimizer takes {share}, with {ops:,.0f} {ops:op|ops} for each of its steps.")
    fix = say(
        "Update all parameters in one op.\n"
        "```\n"
        "torch.optim.AdamW(model.parameters(), fused=True)  # PyTorch 2.4 and newer\n"
        "```"
    )

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when it takes enough of the steps, and many ops."""
        ops = facts.results["host_time"].optimizer_ops
        if ops is not None and ops >= thresholds.OPTIMIZER_OPS_PER_STEP:
            yield from self.found(facts, ops=ops)


def _most_of_a_rank(facts: Facts, spent_ns: Sequence[int]) -> float:
    """The largest part of its steps that a rank spends on what takes so long in each step.

    When the late rank is on time, the one that waits for it longest is faster by that, and with it all others.
    """
    spent, whole = Counter[int](), Counter[int]()
    for step, ns in zip(facts.steps.steps, spent_ns, strict=True):
        spent[step.rank] += ns
        whole[step.rank] += step.duration_ns
    return max(spent[rank] / whole[rank] for rank in whole if whole[rank])


RULES = (WaitsForBatch(), CollectsGarbage(), Compiles(), LoopingOptimizer(), WaitsForOthers())
