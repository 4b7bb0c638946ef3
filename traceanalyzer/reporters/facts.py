"""What every reporter says about an analysis before any table: whose trace, how good, where the time went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from traceanalyzer.model.trace import Capability, how_to_capture
from traceanalyzer.reporters import names, units
from traceanalyzer.reporters.quality import lacks_of_groups, quality_of
from traceanalyzer.reporters.quality_ranks import lacks_of_ranks
from traceanalyzer.reporters.quality_threads import lacks_of_threads
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.rules.wording import ranks
from traceanalyzer.text import Text, join, said, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.analyzers.host_communication import HostCommunication
    from traceanalyzer.analyzers.host_stacks import HostStacks
    from traceanalyzer.analyzers.host_time import HostTime
    from traceanalyzer.analyzers.kernel_metrics import ProfiledLaunch
    from traceanalyzer.analyzers.results import (
        Breakdown,
        Collectives,
        Copies,
        DeviceBreakdown,
        Kernels,
        Launches,
        Memory,
        Modules,
        Ops,
        Partition,
        PythonStacks,
        Steps,
    )
    from traceanalyzer.analyzers.roofline_results import Roofline
    from traceanalyzer.reporters.quality import Quality
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Finding
    from traceanalyzer.rules.savings import Combined

SMALL_SHARE = 0.01  # of the wall time: less goes without saying
PARTS: Mapping[str, Text] = {
    "compute": say("Compute"),
    "communication": say("Exposed communication"),
    "copy": say("Exposed copies"),
    "idle": say("Idle"),
}
"""The parts of a partition in the order in which bars stack them."""


@dataclass(frozen=True)
class ReportFacts:
    """What a report says of an analysis; results that an analyzer could not deliver are None."""

    analysis: Analysis
    steps: Steps | None
    breakdown: Breakdown | None
    kernels: Kernels | None
    ops: Ops | None
    modules: Modules | None
    copies: Copies | None
    collectives: Collectives | None
    launches: Launches | None
    memory: Memory | None
    roofline: Roofline | None
    python_stacks: PythonStacks | None
    host_stacks: HostStacks | None
    host_time: HostTime | None
    host_communication: HostCommunication | None

    @classmethod
    def of(cls, analysis: Analysis) -> ReportFacts:
        """The view of an analysis: its results by their names."""
        analyzers = [f.name for f in fields(cls) if f.name != "analysis"]
        return cls(analysis, **{name: analysis.results.get(name) for name in analyzers})

    @property
    def of_nsys(self) -> bool:
        """Whether Nsight Systems recorded all of it."""
        return all(source.of_nsys for source in self.analysis.trace.sources)

    @cached_property
    def measured(self) -> Sequence[ProfiledLaunch]:
        """The launches that Nsight Compute measured, the longest first."""
        metrics = self.analysis.results.get("kernel_metrics")
        return sorted(metrics.launches, key=lambda row: -(row.duration_ns or 0)) if metrics else []

    @property
    def measured_only(self) -> bool:
        """Whether only kernels were measured, and no trace of the program was given."""
        sources = self.analysis.trace.sources
        return bool(sources and self.measured) and all(source.of_ncu for source in sources)

    def how(self, capability: str) -> str:
        """What to do to see a capability, in the words of the profiler that was used."""
        return how_to_capture(self.analysis.trace.sources)[Capability(capability)]

    @property
    def simulated(self) -> bool:
        """Whether any source was written by a simulator."""
        return self.analysis.trace.simulated

    @cached_property
    def title(self) -> str:
        """The file name, or how many files there are."""
        sources = self.analysis.trace.sources
        if not sources:
            return say("trace")
        name = PurePath(sources[0].path).name
        return (
            name if len(sources) == 1 else say("{name} and {count} more", name=name, count=len(sources) - 1)
        )

    @cached_property
    def devices(self) -> tuple[DeviceBreakdown, ...]:
        """The devices on which work was recorded; empty for a run on the CPU alone."""
        return self.breakdown.devices if self.breakdown else ()

    @cached_property
    def memory_only(self) -> bool:
        """Whether no profiler's trace was given, but memory snapshots or the texts of errors."""
        return {s.format for s in self.analysis.trace.sources} <= {"memory snapshot", "oom text"}

    @cached_property
    def device_text(self) -> str:
        """The accelerators in words, such as "2 × NVIDIA H100"."""
        if not self.devices:
            if self.memory_only:
                return join(
                    " and ", [said(word(f)) for f in sorted({s.format for s in self.analysis.trace.sources})]
                )
            trace = self.analysis.trace
            seen = trace.ops.num_rows or trace.annotations.num_rows or trace.python_calls.num_rows
            if self.breakdown is not None and seen and Capability.DEVICE_WORK not in trace.capabilities:
                return say("CPU only")
            return units.UNKNOWN
        tally: dict[str | None, int] = {}
        for device in self.devices:
            tally[device.name] = tally.get(device.name, 0) + 1
        named = [(said(name) if name else say("unknown accelerator"), n) for name, n in tally.items()]
        return join(
            ", ", [name if n == 1 else say("{count} × {name}", count=n, name=name) for name, n in named]
        )

    @cached_property
    def versions(self) -> tuple[tuple[str, str], ...]:
        """(what, version) pairs that the sources state."""
        found: dict[str, str] = {}
        for source in self.analysis.trace.sources:
            for what, version in _versions(source.metadata):
                found.setdefault(what, version)
        return tuple(found.items())

    @cached_property
    def busy_share(self) -> float | None:
        """The share of wall time in which the devices did something, over all of them."""
        wall = sum(d.whole.wall_ns for d in self.devices)
        return 1 - sum(d.whole.idle_ns for d in self.devices) / wall if wall else None

    @cached_property
    def step_ns(self) -> int | None:
        """The median step, or the whole window when no steps are marked."""
        return self.steps.median_ns if self.steps and self.steps.steps else None

    @property
    def has_steps(self) -> bool:
        """Whether the program marked its steps."""
        return bool(self.steps and self.steps.kind != "window" and self.steps.steps)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What to do first comes first, as `rules.judge` has put them in order."""
        return self.analysis.findings

    @cached_property
    def told_once(self) -> tuple[tuple[Finding, tuple[Finding, ...]], ...]:
        """Each finding that stands for itself, with those behind it that count mostly the same time."""
        told: list[tuple[Finding, tuple[Finding, ...]]] = []
        for finding in self.findings:
            if finding.part_of is not None and told and told[-1][0].code == finding.part_of:
                told[-1] = told[-1][0], (*told[-1][1], finding)
            else:
                told.append((finding, ()))
        return tuple(told)

    @cached_property
    def quality(self) -> tuple[Quality, ...]:
        """Everything that a reader must know before trusting the figures, the worst first."""
        return quality_of(self)

    @cached_property
    def of_groups(self) -> tuple[Quality, ...]:
        """What is not known of communication kernels because their process groups were not recorded."""
        return lacks_of_groups(self)

    @cached_property
    def of_ranks(self) -> tuple[Quality, ...]:
        """What is not known of some ranks, or of ranks that were not given."""
        return tuple(lacks_of_ranks(self))

    @cached_property
    def of_threads(self) -> tuple[Quality, ...]:
        """What is not known of device work because the operators that launched it were not recorded."""
        return tuple(lacks_of_threads(self))

    @property
    def unknown_columns(self) -> frozenset[str]:
        """Fields of op and module results that nothing measured: they are not 0 but unknown."""
        if Capability.DEVICE_WORK in self.analysis.trace.capabilities:
            return frozenset()
        return frozenset({"device_ns", "self_device_ns", "kernels", "unattributed_device_ns"})

    @cached_property
    def combined(self) -> str:
        """What all cures together save, in a sentence; empty when no cure could be replayed."""
        found = self.analysis.combined
        if found is None:
            return ""
        if found.saving_ns is None:
            return say("No saving is given in time: {reason}.", reason=found.distrust)
        which, codes, error = (
            self._replayed(found),
            ", ".join(found.codes),
            units.share(abs(found.error_share)),
        )
        if not found.saving_ns[1]:
            return say(
                "A replay of {which} gets no shorter by {codes}; without a change it comes out within {error}.",
                codes=codes,
                which=which,
                error=error,
            )
        if found.findings == 1:
            return say(
                "The saving of {codes} comes from a replay of {which}, which gives the recorded time within {error}.",
                codes=codes,
                which=which,
                error=error,
            )
        return say(
            "All {fixes} fixes that can be replayed ({codes}) save {saving} together, up to {share} of "
            "{step}; replayed on {which}, which gives the recorded time within {error}.",
            fixes=found.findings,
            codes=codes,
            saving=units.saving(found.saving_ns),
            share=units.share(found.saving_ns[1] / found.measured_ns),
            step=units.duration(found.measured_ns),
            which=which,
            error=error,
        )

    def _replayed(self, found: Combined) -> Text:
        """Which steps were replayed, of which ranks; the trace where no steps are marked."""
        of = ranks(found.ranks)
        if not self.has_steps:
            return say("the trace of {ranks}", ranks=of)
        if found.steps == 1:
            return say("step {first} of {ranks}", first=found.first_step, ranks=of)
        last = found.first_step + found.steps - 1
        return say("steps {first} to {last} of {ranks}", first=found.first_step, last=last, ranks=of)

    def worth(self, finding: Finding) -> Text | str:
        """What a finding saves, in time or in memory; empty where that is not told."""
        if finding.saving_ns is None:
            saved = finding.saving_bytes
            return "" if saved is None else say("saves {saving}", saving=units.size(saved))
        saving, share = units.saving(finding.saving_ns), self.saving_share(finding)
        whole = say("the step") if self.has_steps else say("the trace")
        saves = (
            say("saves {saving}", saving=saving)
            if share is None
            else say(
                "saves {saving}, up to {share} of {what}", saving=saving, share=units.share(share), what=whole
            )
        )
        return join("; ", [saves, same_time(finding)]) if finding.part_of else saves

    def saving_share(self, finding: Finding) -> float | None:
        """The upper end of a saving as a share of the step."""
        if finding.saving_ns is None or not self.step_ns:
            return None
        return finding.saving_ns[1] / self.step_ns


def same_time(finding: Finding) -> Text:
    """That another finding counts most of its time."""
    return say("mostly the same time as {code}, saved once", code=names.cut(finding.part_of or ""))


def behind(finding: Finding) -> Text:
    """A finding in a line below the one that it is part of."""
    return say(
        "Mostly the same time, saved once: {title} ({code})",
        title=names.cut(finding.title),
        code=names.cut(finding.code),
    )


def before_steps(device: DeviceBreakdown) -> Text | None:
    """What the wall time holds beside the steps; None where that is next to nothing."""
    before = device.before_steps_ns
    if before < SMALL_SHARE * device.whole.wall_ns:
        return None
    return say(
        "The first {time} went into work that was launched before the first step.",
        time=units.duration(before),
    )


def parts_of(partition: Partition) -> tuple[tuple[str, int], ...]:
    """(key of PARTS, ns) in stacking order; the values sum to `wall_ns`."""
    return (
        ("compute", partition.compute_ns),
        ("communication", partition.exposed_communication_ns),
        ("copy", partition.exposed_copy_ns),
        ("idle", partition.idle_ns),
    )


def cause_text(cause: str) -> str:
    """A cause of idle time in words."""
    from traceanalyzer.analyzers.idle import CAUSES

    return CAUSES.get(cause) or names.cut(cause.replace("_", " "))


_VERSION_KEYS = (
    ("PyTorch", ("torch_version", "pytorch_version")),
    ("CUDA", ("cuda_runtime_version", "cuda_version")),
    (say("driver"), ("cuda_driver_version",)),
    ("ROCm", ("hip_runtime_version", "rocm_version")),
    ("NCCL", ("nccl_version",)),
)


def _versions(metadata: Mapping[str, Any]) -> list[tuple[str, str]]:
    found = []
    distributed = metadata.get("distributedInfo")
    for what, keys in _VERSION_KEYS:
        for key in keys:
            raw = metadata.get(key)
            if raw is None and isinstance(distributed, Mapping):
                raw = distributed.get(key)
            if raw is not None:
                found.append((what, _dotted(raw)))
                break
    return found


def _dotted(version: Any) -> str:
    """CUDA counts 12040 for 12.4, HIP 60443483 for 6.4.43483; everything else is text already."""
    if isinstance(version, int) and version >= 10_000_000:
        return f"{version // 10_000_000}.{version % 10_000_000 // 100_000}.{version % 100_000}"
    if isinstance(version, int) and version >= 1000:
        return f"{version // 1000}.{version % 1000 // 10}"
    return str(version)[:40]
