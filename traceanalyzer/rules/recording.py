"""Rules about how the recording itself changes what it shows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules.base import LAUNCHED, ORDINARY
from traceanalyzer.rules.capture import described_step
from traceanalyzer.rules.findings import Evidence, Finding
from traceanalyzer.rules.idle import ran
from traceanalyzer.rules.wording import count, duration
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.ranges import Ranges
    from traceanalyzer.rules.base import Facts

SHOWN = 3
_FLUSH = re.compile(
    r"^(Activity Buffer Request|Command Buffer Full|Buffer Flush|Resource|Lazy Function Loading)"
)


class ProfilerOverhead:
    """The profiler itself slows the host down.

    Recording a call of a Python function costs about a microsecond, and every operator has several. A step that the
    host decides then looks slower than it is: judge it by a recording without stacks. Device times are not affected.
    """

    code: ClassVar[str] = "PROF001"
    title: ClassVar[Text] = say("The recording slows the host down")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding, for information, when the host decides the step and stacks were recorded with it."""
        idle = facts.share(facts.idle_ns(*ORDINARY) - facts.pause_ns)
        if Capability.STACKS not in facts.capabilities or idle < thresholds.IDLE_SHARE:
            return
        ranges: Ranges = facts.results["ranges"]
        calls = sum(r.count for r in ranges.frames)
        most_called = sorted(ranges.frames, key=lambda r: (-r.count, r.name))
        if calls / facts.device_steps < thresholds.RECORDED_CALLS_PER_STEP:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity="info",
            claim=say(
                "The GPU waits for the host for {idle} while {calls} Python calls per step are recorded.",
                idle=facts.of_step(idle),
                calls=f"{calls / facts.device_steps:,.0f}",
            ),
            evidence=tuple(
                Evidence(
                    say(
                        "{name}: {runs}, {time}",
                        name=r.name,
                        runs=count(r.count, "time"),
                        time=duration(r.total_ns),
                    ),
                    table=r.table,
                    name=r.name,
                )
                for r in (*ranges.annotated(_FLUSH), *most_called[:SHOWN])
            ),
            fix=say(
                "Record once more with with_stack=False, profile_memory=False, and compare the length of the "
                "step."
            ),
            confidence="medium",
            saving_reason=say("nothing is saved by it; without recording the step is shorter already"),
        )


class FewSteps:
    """The window holds hardly a whole step.

    A single step is no sample: it may be the one that logs, collects garbage or meets a new shape. A few steps after a
    warm-up show what is typical, and how much steps differ.
    """

    code: ClassVar[str] = "QUAL003"
    title: ClassVar[Text] = say("Only one step was recorded")
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.DEVICE_WORK, Capability.STEPS})

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding, for information, when no rank has two steps."""
        ranks = [s.rank for s in facts.steps.steps]
        if len(ranks) > len(set(ranks)):
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity="info",
            claim=say("The recording holds one step of {length}.", length=duration(facts.steps.median_ns)),
            evidence=tuple(map(described_step, facts.steps.steps)),
            fix=say(
                "schedule(wait=1, warmup=2, active=5) and prof.step() in the loop record five steps after a "
                "warm-up."
            ),
            confidence="high",
            saving_reason=say("a better recording saves nothing by itself"),
        )


class SingleProcessLoader:
    """The DataLoader prepares batches in the process that launches.

    With `num_workers=0` every batch is read, decoded and collated between two steps, by the thread that launches.
    Workers do it beside the step.
    """

    code: ClassVar[str] = "INPUT002"
    title: ClassVar[Text] = say("Batches are prepared by the launching process")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when a single-process iterator runs for enough of the step."""
        ranges: Ranges = facts.results["ranges"]
        rows = ranges.annotated(re.compile(r"_SingleProcessDataLoaderIter\.__next__"))
        spent = facts.share(min(sum(r.total_ns for r in rows), facts.idle_ns("dataloader")))
        if not rows or spent < thresholds.INPUT_SHARE:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity="medium",
            claim=say(
                "num_workers is 0: the launching process prepares batches for {share}.",
                share=facts.of_step(spent),
            ),
            evidence=tuple(map(ran, rows)),
            fix=say(
                "Let workers prepare the batches.\n"
                "```python\nDataLoader(dataset, num_workers=8, persistent_workers=True, pin_memory=True)\n```"
            ),
            confidence="high",
            saving_reason=say("the time is that of INPUT001; it is not saved twice"),
        )


RULES = (ProfilerOverhead(), FewSteps(), SingleProcessLoader())
