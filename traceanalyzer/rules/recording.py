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
    from traceanalyzer.analyzers.recorded import Recorded
    from traceanalyzer.rules.base import Facts

SHOWN = 3
_MANY = 0.25  # of what is recorded are Python calls, when those called most often are worth a line
_OPTIONS = {
    Capability.STACKS: "with_stack=False",
    Capability.SHAPES: "record_shapes=False",
    Capability.MEMORY: "profile_memory=False",
}
_FLUSH = re.compile(
    r"^(Activity Buffer Request|Command Buffer Full|Buffer Flush|Resource|Lazy Function Loading)"
)


class ProfilerOverhead:
    """The profiler itself slows the host down.

    Each operator, call of the driver, Python function and allocation that is recorded costs the host some time; on an
    H200 it was 0.6 to 2.8 microseconds. Where the host decides the step, the step of the trace is longer by it than the
    step of the program, up to three times as long. Device times are not affected. What a cure saves as a share of the
    step changes less than what it saves in milliseconds.
    """

    code: ClassVar[str] = "PROF001"
    title: ClassVar[Text] = say("The recording slows the host down")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED | {Capability.STEPS}

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding, for information, when the host decides the step and recording is a part of its work."""
        recorded: Recorded = facts.results["recorded"]
        idle = facts.idle_ns(*ORDINARY) - facts.pause_ns
        step_ns = facts.steps.median_ns
        least, most = recorded.cost_ns(int(step_ns * facts.share(facts.sum("idle_ns"))))
        if facts.share(idle) < thresholds.IDLE_SHARE or least < thresholds.RECORDING_SHARE * step_ns:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity="info",
            claim=say(
                "Of the step of {step} about {recording} is the recording of {events} {events:event|events} of the "
                "host: without the profiler it may take {rest}.",
                step=duration(step_ns),
                recording=_between(least, most),
                events=f"{recorded.events:,.0f}",
                rest=_between(step_ns - most, step_ns - least),
            ),
            evidence=tuple(_what_is_recorded(facts, recorded)),
            fix=_time_it(facts),
            confidence="low",
            saving_reason=say("nothing is saved by it; without recording the step is shorter already"),
        )


def _between(least_ns: int, most_ns: int) -> Text:
    return say("{low} to {high}", low=duration(least_ns), high=duration(most_ns))


def _what_is_recorded(facts: Facts, recorded: Recorded) -> Iterable[Evidence]:
    number = {table: round(per_step) for table, per_step in recorded.per_step.items()}
    for table, things in (
        ("ops", count(number["ops"], "operator")),
        ("python_calls", count(number["python_calls"], "Python call")),
        ("api_calls", count(number["api_calls"], "driver call")),
        ("allocations", count(number["allocations"], "memory event")),
    ):
        if number[table]:
            yield Evidence(say("{things} per step", things=things), table=table)
    ranges: Ranges = facts.results["ranges"]
    shown = sorted(ranges.frames, key=lambda r: (-r.count, r.name))[:SHOWN]
    often = recorded.per_step["python_calls"] > _MANY * recorded.events
    for r in (*ranges.annotated(_FLUSH), *(shown if often else ())):
        said = say(
            "{name}: {runs}, {time}", name=r.name, runs=count(r.count, "time"), time=duration(r.total_ns)
        )
        yield Evidence(said, table=r.table, name=r.name)


def _time_it(facts: Facts) -> Text:
    """How to know the step, and what of this recording can be left out."""
    timed = say(
        "Time some steps without the profiler: time.perf_counter() before and after 20 of them, each time behind "
        "torch.cuda.synchronize()."
    )
    less = ", ".join(option for capability, option in _OPTIONS.items() if capability in facts.capabilities)
    return say("{timed} Recording with {less} costs less.", timed=timed, less=less) if less else timed


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
