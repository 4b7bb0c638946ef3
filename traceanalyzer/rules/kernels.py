"""Rules about the kernels and how they are launched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import DEVICE_WORK, LAUNCHED
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.idle import called, ran
from traceanalyzer.rules.wording import count, duration, percent
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.ranges import Ranges
    from traceanalyzer.analyzers.results import KernelRow
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts

_STEP = re.compile(r"^Optimizer\.step#")
SHOWN = 5


class TinyKernels:
    """Most kernels are so short that launching them costs as much as running them.

    Pointwise operators on small tensors are the usual cause. Each reads and writes memory once for a single
    operation; fused into one kernel they would read and write once for all of them.
    """

    code: ClassVar[str] = "KERN001"
    title: ClassVar[Text] = say("Many tiny kernels")
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when most kernels are tiny and the device idles between them."""
        kernels = sum(d.kernels for d in facts.launches.devices)
        tiny = sum((d.tiny_share or 0.0) * d.kernels for d in facts.launches.devices)
        graph = facts.kernels.graph_share or 0.0
        idle = facts.share(facts.sum("idle_ns"))
        per_step = kernels / facts.device_steps
        if (
            not kernels
            or tiny / kernels < thresholds.TINY_SHARE
            or per_step < thresholds.MANY_KERNELS_PER_STEP
            or idle < thresholds.IDLE_SHARE
            or graph >= thresholds.GRAPH_SHARE
        ):
            return
        short = [r for r in facts.kernels.rows if r.mean_ns < thresholds.TINY_KERNEL_NS]
        frequent = sorted(short, key=lambda r: -r.count)[:SHOWN]
        yield Finding(
            code=self.code,
            title=self.title,
            severity="medium",
            claim=say(
                "{tiny} of {kernels} ({per_step:.0f} per step) run for less than {limit} while the "
                "GPU idles {idle} of the time.",
                tiny=percent(tiny / kernels),
                kernels=count(kernels, "kernel"),
                per_step=per_step,
                limit=duration(thresholds.TINY_KERNEL_NS),
                idle=percent(idle),
            ),
            evidence=tuple(map(_short, frequent)),
            fix=say(
                "Fuse them: torch.compile, fused layers (F.scaled_dot_product_attention, fused norms), "
                "larger batches."
            ),
            confidence=facts.confidence,
            saving_reason=say("the time is the idle time that IDLE001 counts; it is not saved twice"),
        )


def _short(row: KernelRow) -> Evidence:
    return Evidence(
        say(
            "{count:,} of {mean} each: {name}{caller}",
            count=row.count,
            mean=duration(row.mean_ns),
            name=row.name[:80],
            caller=say(" from {op}", op=row.op) if row.op else "",
        ),
        table="kernels",
        name=row.name,
    )


class UnfusedOptimizer:
    """The optimizer launches kernels for every parameter on its own.

    `foreach=True` works on lists of parameters, `fused=True` does the whole update in a few kernels.
    """

    code: ClassVar[str] = "OPT001"
    title: ClassVar[Text] = say("The optimizer is not fused")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when an optimizer step launches many kernels."""
        launched = facts.kernels.optimizer_kernels
        if launched is None or launched < thresholds.OPTIMIZER_KERNELS_PER_STEP:
            return
        ranges: Ranges = facts.results["ranges"]
        idle = facts.idle_ns("optimizer")
        costs = facts.share(idle) >= thresholds.HOST_STALL_SHARE
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(facts.share(idle)),
            claim=say(
                "One optimizer step launches {launched:,.0f} {launched:kernel|kernels}.", launched=launched
            ),
            evidence=(
                Evidence(say("{share} is idle within the optimizer", share=facts.of_step(facts.share(idle)))),
                *map(ran, ranges.annotated(_STEP)),
            ),
            fix=say(
                "Update all parameters in a few kernels.\n"
                "```\n"
                "torch.optim.AdamW(model.parameters(), fused=True)  # else foreach=True\n"
                "```"
            ),
            confidence=facts.confidence,
            saving_ns=facts.saving(idle) if costs else None,
            counts=counted.idle(facts, "optimizer") if costs else (),
            saving_reason="" if costs else say("the device is hardly idle within the optimizer"),
        )


class GraphLaunches:
    """Most kernels are launched as CUDA graphs.

    Good for launch overhead. For the analysis it means that kernels have no operator, shape or Python line
    of their own: they carry the one launch of the whole graph. Record a second trace with graphs off to see
    them.
    """

    code: ClassVar[str] = "GRAPH001"
    title: ClassVar[Text] = say("Kernels run inside CUDA graphs")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding, for information, when graphs hold most of the kernel time."""
        share = facts.kernels.graph_share
        if share is None or share < thresholds.GRAPH_SHARE:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity="info",
            claim=say(
                "{share} of kernel time is inside CUDA graphs, where operators are not known per kernel.",
                share=percent(share),
            ),
            evidence=tuple(called(r) for r in facts.launches.api if "GraphLaunch" in r.name),
            fix=say(
                "To see operators, record the same program once more with graphs off (enforce_eager=True in "
                "vLLM), and give it beside this one with --mapping."
            ),
            confidence="high",
            saving_reason=say("nothing is lost; this says why operators are missing"),
        )


RULES = (TinyKernels(), UnfusedOptimizer(), GraphLaunches())
