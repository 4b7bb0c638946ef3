"""What a rule is, and the facts that it judges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules.wording import percent
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from traceanalyzer.analyzers.results import (
        Breakdown,
        Collectives,
        Copies,
        IdleGap,
        Kernels,
        Launches,
        Steps,
    )
    from traceanalyzer.analyzers.snapshot.results import Oom, Snapshot
    from traceanalyzer.model.trace import Source
    from traceanalyzer.rules.findings import Confidence, Finding


DEVICE_WORK = frozenset({Capability.DEVICE_WORK})
LAUNCHED = DEVICE_WORK | {Capability.LAUNCHES}
WITH_SHAPES = DEVICE_WORK | {Capability.SHAPES}
"""What most rules require, beside what they name themselves."""
# Causes that are the normal course of a step: the host prepares the next launch.
ORDINARY = ("dispatch", "autograd", "optimizer")


class Rule(Protocol):
    """A check with a code. The docstring of the class is its page in `trace-analyze explain`."""

    @property
    def code(self) -> str:
        """Letters for the subject and three digits, such as SYNC001."""
        ...

    @property
    def title(self) -> Text:
        """What is wrong when the rule finds something, in a few words."""
        ...

    @property
    def requires(self) -> frozenset[Capability]:
        """What the trace must show for the rule to look at all."""
        ...

    def check(self, facts: Facts) -> Iterable[Finding]:
        """What it finds; nothing when all is well."""
        ...


@runtime_checkable
class Particular(Protocol):
    """A rule that needs more than `requires` can say, such as the traces of several ranks."""

    def lacks(self, facts: Facts) -> Text | str:
        """What to capture so that it can look; nothing when all is there."""
        ...


@dataclass(frozen=True)
class Facts:
    """The results of the analyzers by name, and what the sources could see.

    Sums run over all devices, so shares are the mean device's and "per step" is the median step of one device.
    """

    results: Mapping[str, Any]
    capabilities: frozenset[Capability]
    sources: tuple[Source, ...] = ()

    @property
    def steps(self) -> Steps:
        """The result of the steps analyzer."""
        result: Steps = self.results["steps"]
        return result

    @property
    def breakdown(self) -> Breakdown:
        """The result of the breakdown analyzer."""
        result: Breakdown = self.results["breakdown"]
        return result

    @property
    def kernels(self) -> Kernels:
        """The result of the kernels analyzer."""
        result: Kernels = self.results["kernels"]
        return result

    @property
    def copies(self) -> Copies:
        """The result of the copies analyzer."""
        result: Copies = self.results["copies"]
        return result

    @property
    def collectives(self) -> Collectives:
        """The result of the collectives analyzer."""
        result: Collectives = self.results["collectives"]
        return result

    @property
    def launches(self) -> Launches:
        """The result of the launches analyzer."""
        result: Launches = self.results["launches"]
        return result

    @property
    def snapshot(self) -> Snapshot:
        """The result of the snapshot analyzer."""
        result: Snapshot = self.results["snapshot"]
        return result

    @property
    def ooms(self) -> tuple[Oom, ...]:
        """The out-of-memory errors."""
        rows: tuple[Oom, ...] = self.results["oom"].rows
        return rows

    @property
    def memory_only(self) -> bool:
        """Whether no profiler's trace was given, but snapshots or the texts of errors."""
        return bool(self.sources) and {s.format for s in self.sources} <= {"memory snapshot", "oom text"}

    @property
    def measured_only(self) -> bool:
        """Whether only kernels were measured, by Nsight Compute, and no trace of the program was given."""
        return bool(self.sources) and all(source.of_ncu for source in self.sources)

    @property
    def of_nsys(self) -> bool:
        """Whether a source is an export of Nsight Systems."""
        return any(source.of_nsys for source in self.sources)

    @property
    def wall_ns(self) -> int:
        """Wall time of all devices' windows."""
        return self.sum("wall_ns")

    @property
    def device_steps(self) -> float:
        """How many steps' time the windows of all devices hold; at least 1.

        More than there are steps where a device still worked on earlier ones when the host began the first.
        """
        steps = [partition.wall_ns for d in self.breakdown.devices for partition in d.steps]
        return max(1.0, len(steps) * self.wall_ns / sum(steps)) if sum(steps) else 1.0

    @property
    def lead_in(self) -> float:
        """The windows of all devices as a multiple of their steps: more than 1 where earlier work was still to do.

        Of that work no launch was recorded, so no operator is known: what is counted by operators is of the steps.
        """
        steps = sum(len(d.steps) for d in self.breakdown.devices)
        return max(1.0, self.device_steps / steps) if steps else 1.0

    def sum(self, part: str) -> int:
        """A part of the partition, a field of `Partition`, summed over devices."""
        return sum(getattr(d.whole, part) for d in self.breakdown.devices)

    def share(self, ns: int) -> float:
        """A sum over devices as a share of their wall time."""
        return ns / self.wall_ns if self.wall_ns else 0.0

    def of_step(self, share: float) -> Text:
        """A share of the wall time in words: of the step, or of the whole trace where no steps are marked."""
        if self.steps.kind == "window":
            return say("{share} of the trace", share=percent(share))
        return say("{share} of the step", share=percent(share))

    def per_step(self, ns: int) -> int:
        """A sum over devices as the same share of the step that is shown: of the median where steps differ."""
        return int(self.share(ns) * self.steps.median_ns)

    def idle_ns(self, *causes: str) -> int:
        """Idle time with one of these causes, summed over devices."""
        return sum(c.total_ns for d in self.breakdown.devices for c in d.idle_causes if c.cause in causes)

    def idle_gaps(self, *causes: str) -> int:
        """How many gaps have one of these causes."""
        return sum(c.gaps for d in self.breakdown.devices for c in d.idle_causes if c.cause in causes)

    def largest_gaps(self, *causes: str) -> list[IdleGap]:
        """The largest gaps with one of these causes, longest first."""
        return [g for g in self.breakdown.largest_gaps if g.cause in causes]

    def pauses(self) -> list[IdleGap]:
        """Gaps so long that the host cannot have spent them on launching, longest first."""
        late = self.largest_gaps(*ORDINARY)
        return [g for g in late if g.duration_ns >= thresholds.LONG_PAUSE_NS]

    @property
    def pause_ns(self) -> int:
        """Idle time in long pauses of ordinary host work, as far as the largest gaps tell."""
        return sum(g.duration_ns for g in self.pauses())

    def saving(self, ns: int) -> tuple[int, int]:
        """The bound per step for a fix that is aimed at this much time of all devices."""
        high = self.per_step(ns)
        return int(high * thresholds.SAVING_LOW), high

    @property
    def confidence(self) -> Confidence:
        """How far the breakdown can be trusted: less without steps, without launches, or with a cut input."""
        doubts = [
            self.steps.kind == "window",
            self.share(self.idle_ns("unknown")) > thresholds.CAUSE_SHARE,
            any(note.kind == "partial" for source in self.sources for note in source.notes),
        ]
        return ("high", "medium", "low", "low")[sum(doubts)]
