"""Rules about the recording: whether the steps are alike, and what would make the answer better."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.trace import Capability, remedies
from traceanalyzer.rules.base import LAUNCHED
from traceanalyzer.rules.findings import Evidence, Finding
from traceanalyzer.rules.idle_places import places
from traceanalyzer.rules.wording import count, duration, percent
from traceanalyzer.text import Text, join, said, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.results import Step
    from traceanalyzer.rules.base import Facts

NO_SAVING = say("a better recording saves nothing by itself")
SHOWN = 5


class OutlierSteps:
    """Some steps take much longer or shorter than the median step.

    The first recorded step often holds warm-up (compilation, autotuning, allocation). Later ones point to
    something that does not happen in every step: validation, logging, garbage collection, a slow batch.
    """

    code: ClassVar[str] = "STEP001"
    title: ClassVar[Text] = say("Steps are not alike")
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.STEPS})

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding that names the outliers."""
        steps = facts.steps
        if not steps.outliers:
            return
        far = sorted(steps.outliers, key=lambda i: -abs(steps.steps[i].duration_ns - steps.median_ns))
        yield Finding(
            code=self.code,
            title=self.title,
            severity="low",
            claim=say(
                "Far from the median of {median}: {steps} of {all}.",
                steps=count(len(far), "step"),
                all=len(steps.steps),
                median=duration(steps.median_ns),
            ),
            evidence=tuple(described_step(steps.steps[i]) for i in far[:SHOWN]),
            fix=say(
                "Skip the first steps with schedule(wait=…, warmup=…), and look at the timeline of the "
                "others."
            ),
            confidence="high",
            saving_reason=say("what makes a step an outlier shows in the other findings"),
        )


def described_step(step: Step) -> Evidence:
    """One step as evidence: whose it is and how long it takes."""
    return Evidence(
        say(
            "{name} on rank {rank}: {duration}",
            name=step.name,
            rank=step.rank,
            duration=duration(step.duration_ns),
        ),
        start_ns=step.start_ns,
        duration_ns=step.duration_ns,
        name=step.name,
        rank=step.rank,
        sheet="steps",
    )


class MissingCapture:
    """The recording lacks something that would make the analysis more exact.

    Each capture option that was off is named with what it would add. None of them changes the program, but
    stacks and shapes make the host slower while recording.
    """

    code: ClassVar[str] = "CAPT001"
    title: ClassVar[Text] = say("The recording could show more")
    requires: ClassVar[frozenset[Capability]] = frozenset()
    wanted: ClassVar[tuple[tuple[Capability, Text, Text], ...]] = (
        (Capability.DEVICE_WORK, say("device work"), say("where the device's time went cannot be said")),
        (Capability.LAUNCHES, say("launches"), say("idle time has no cause")),
        (Capability.STEPS, say("steps"), say("the whole trace counts as one step, its edges included")),
        (Capability.SHAPES, say("shapes"), say("operators cannot be told apart by size")),
        (Capability.STACKS, say("Python stacks"), say("findings cannot name the line")),
    )
    # What may stand in the part of a file that was cut off: nobody knows whether it was recorded.
    lost: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.DEVICE_WORK, Capability.LAUNCHES, Capability.STEPS}
    )

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding that lists what is missing."""
        if facts.memory_only:
            return
        if facts.measured_only:
            yield self._without_program()
            return
        partial = any(note.kind == "partial" for source in facts.sources for note in source.notes)
        known = facts.capabilities | (self.lost if partial else set())
        if Capability.DEVICE_WORK not in known:
            known = known | {Capability.LAUNCHES}  # of no work there are none
        missing = [lack for lack in self.wanted if lack[0] not in known]
        if not missing:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity="info",
            claim=say("Recorded without {missing}.", missing=join(", ", [what for _, what, _ in missing])),
            evidence=tuple(
                Evidence(say("without {what}: {so}", what=what, so=so)) for _, what, so in missing
            ),
            fix=join("; ", list(remedies([capability for capability, *_ in missing], facts.sources))),
            confidence="high",
            saving_reason=NO_SAVING,
        )

    def _without_program(self) -> Finding:
        return Finding(
            code=self.code,
            title=self.title,
            severity="info",
            claim=say("Kernels were measured, but when they run and what launches them is in no trace."),
            evidence=(),
            fix=say(
                "Give the trace of the same program as well.\n```\ntrace-analyze report run.json kernels.ncu-rep\n```"
            ),
            confidence="high",
            saving_reason=NO_SAVING,
        )


class UnlinkedWork:
    """A part of the device's work has no recorded launch.

    It was launched before the recording began, or by something that the profiler does not see. Idle time
    before such work has no cause, and the work has no operator.
    """

    code: ClassVar[str] = "QUAL001"
    title: ClassVar[Text] = say("Work without a recorded launch")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when too much is not linked."""
        kernels = sum(d.kernels for d in facts.launches.devices)
        unlinked = kernels - sum(d.linked for d in facts.launches.devices)
        if not kernels or unlinked / kernels < thresholds.UNLINKED_SHARE:
            return
        most = max(facts.launches.devices, key=lambda d: d.kernels - d.linked)
        idle = facts.idle_ns("unknown")
        says = say("{idle} of idle time has no known cause for it", idle=duration(idle))
        if not idle:
            says = count(most.kernels - most.linked, "kernel")
        yield Finding(
            code=self.code,
            title=self.title,
            severity="info",
            claim=say(
                "{unlinked} of {kernels} have no recorded launch.",
                unlinked=percent(unlinked / kernels),
                kernels=count(kernels, "kernel"),
            ),
            evidence=(
                Evidence(says, rank=most.rank, device=most.device, sheet="launches"),
                *places(facts.largest_gaps("unknown")),
            ),
            fix=say(
                "Synchronise before the recording starts (torch.cuda.synchronize()), and record a few whole "
                "steps."
            ),
            confidence="high",
            saving_reason=NO_SAVING,
        )


class PartialInput:
    """A part of the input could not be read, so every figure may be too small.

    The file was cut off, or parts of it are damaged. The notes say where. What could be read is analysed as it
    is; record or copy the file again for figures that can be relied on.
    """

    code: ClassVar[str] = "QUAL002"
    title: ClassVar[Text] = say("The input is incomplete")
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding that repeats what the sources say."""
        notes = [(s, n) for s in facts.sources for n in s.notes if n.kind == "partial"]
        if not notes:
            return
        remedies = list(dict.fromkeys(said(n.remedy) for _, n in notes if n.remedy))
        yield Finding(
            code=self.code,
            title=self.title,
            severity="medium",
            claim=say("A part of the input could not be read: every figure may be too small."),
            evidence=tuple(
                Evidence(say("{path}: {message}", path=source.path, message=note.message))
                for source, note in notes
            ),
            fix=join(" ", remedies) if remedies else say("Record the trace again."),
            confidence="high",
            saving_reason=NO_SAVING,
        )


RULES = (OutlierSteps(), MissingCapture(), UnlinkedWork(), PartialInput())
