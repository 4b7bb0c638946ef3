"""Rules about memory: out of memory, fragmentation, and memory that is held for nothing."""

from __future__ import annotations

from statistics import median_low
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.sizes import size
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules.findings import Evidence, Finding
from traceanalyzer.rules.memory_growth import KvCacheGrowth, Leak
from traceanalyzer.rules.snapshot_rule import NO_TIME, SHOWN, SnapshotRule, at_moment, held_by, of_line
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.rules.wording import count, percent
from traceanalyzer.text import join, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot, Oom
    from traceanalyzer.rules.base import Facts
    from traceanalyzer.rules.snapshot_rule import Found
    from traceanalyzer.text import Text


class OutOfMemory:
    """The run ended, or was interrupted, because a request for memory did not fit.

    The causes are ranked: what explains the error by itself comes first (a limit, fragmentation, a leak), then
    who holds the most. Each change says what it frees at most on this run.
    """

    code: ClassVar[str] = "MEM001"
    title: ClassVar[Text] = say("Out of memory")
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.OOM})

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding per error."""
        for number, oom in enumerate(facts.ooms):
            yield Finding(
                code=self.code,
                title=self.title,
                severity="high",
                claim=say("{headline}.", headline=oom.headline),
                evidence=tuple(self._evidence(number, oom)),
                fix=join("; ", [c.what for c in oom.changes[:3]])
                if oom.changes
                else say("Record a memory snapshot of the run."),
                confidence="high" if oom.source == "snapshot" else "medium",
                saving_bytes=next((c.frees_bytes for c in oom.changes if c.frees_bytes), None),
                saving_reason=NO_TIME,
            )

    def _evidence(self, number: int, oom: Oom) -> Iterator[Evidence]:
        for cause in oom.causes[:SHOWN]:
            yield Evidence(
                say("{cause}: {evidence}", cause=word(cause.name), evidence=cause.evidence),
                row=number,
                start_ns=oom.at_ns,
                rank=oom.rank,
                device=oom.device,
                sheet="ooms",
            )


class PinnedSegments(SnapshotRule):
    """Nearly empty segments cannot be given back, because a few blocks stay in them.

    Long-lived tensors that are allocated between short-lived ones land in segments made for those. What is free
    in such a segment serves only requests that fit into the gaps.
    """

    code, title = "MEM004", say("Few small blocks keep large segments")
    fix = say(
        "Allocate what stays before what comes and goes, or set "
        "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True."
    )

    def look(self, device: DeviceSnapshot) -> Found | None:
        """Segments that are used little."""
        wasted = sum(s.bytes - s.active_bytes for s in device.pinned)
        if not wasted or wasted < thresholds.FRAGMENTED_SHARE * device.end.reserved_bytes:
            return None
        claim = say(
            "{wasted} in {segments} cannot be given back",
            wasted=size(wasted),
            segments=count(len(device.pinned), "segment"),
        )
        evidence = [
            of_line(
                device,
                say(
                    "{line} holds {active} of a segment of {bytes}",
                    line=s.python or say("an unknown line"),
                    active=size(s.active_bytes),
                    bytes=size(s.bytes),
                ),
                s.python,
                s.function,
            )
            for s in device.pinned
        ]
        return claim, wasted, evidence


class FragmentationGrowth(SnapshotRule):
    """Reserved memory that no moment of a step uses grows from step to step.

    Sizes that change from step to step leave holes that nothing later fits into, so the allocator asks for more. The
    first third of the steps after the first is held against the last third.
    """

    code, title = "MEM010", say("Fragmentation grows from step to step")
    fix = say("PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True, or make sizes repeat (pad, bucket).")
    fix_of_expandable = say("Make sizes repeat (pad, bucket).")

    def look(self, device: DeviceSnapshot) -> Found | None:
        """Medians of unused memory early and late."""
        later = device.step_unused[1:]
        if len(later) < thresholds.GROWTH_STEPS:
            return None
        third = len(later) // 3
        early, late = median_low(later[:third]), median_low(later[-third:])
        if late <= early or late - early < thresholds.FRAGMENTED_SHARE * device.peak_reserved_bytes:
            return None
        claim = say(
            "{late} of what is reserved are in use at no moment of the last steps, {early} early on",
            late=size(late),
            early=size(early),
        )
        steps = say("{steps} after the first", steps=count(len(later), "step"))
        return claim, late - early, [at_moment(device, steps, next(iter(device.step_starts_ns[-1:]), None))]


class AllocatorThrash(SnapshotRule):
    """The allocator keeps asking the driver for memory, or gives back what it needs again.

    A warm caching allocator makes no cudaMalloc. Retries after the driver refused memory, and calls of empty_cache(),
    make the device wait for the host. empty_cache() does not help this process: the allocator gives its cache back by
    itself before it fails.
    """

    code, title = "MEM005", say("The allocator thrashes")
    fix = say(
        "Take empty_cache() out of the loop; make sizes repeat (pad, bucket); lower the peak, or set "
        "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True."
    )
    fix_of_expandable = say(
        "Take empty_cache() out of the loop; make sizes repeat (pad, bucket); lower the peak."
    )

    def look(self, device: DeviceSnapshot) -> Found | None:
        """Driver calls after the first step, retries and empty_cache."""
        churn, steps = device.churn, len(device.step_peaks) - 1
        late = churn.late_segment_allocs or 0
        many = steps > 0 and late >= thresholds.THRASH_PER_STEP * steps and not device.growth
        often = churn.empty_cache_runs >= 2
        # the retry before an error is part of the error
        if not (many or often or churn.retries > churn.errors):
            return None
        allocs, frees = churn.segment_allocs - churn.mappings, churn.segment_frees - churn.unmappings
        told = [say("{retries} after the driver refused memory", retries=count(churn.retries, "retry"))]
        if allocs or frees or not churn.mappings:
            told += [
                say("{count} cudaMalloc calls", count=allocs)
                if churn.late_segment_allocs is None
                else say("{late} of {all} cudaMalloc calls came after the first step", late=late, all=allocs),
                say("{count} cudaFree calls", count=frees),
            ]
        if churn.mappings:
            told.append(
                say(
                    "expandable segments grew {mappings} and shrank {unmappings}",
                    mappings=count(churn.mappings, "time"),
                    unmappings=count(churn.unmappings, "time"),
                )
            )
        told += [
            say("empty_cache() {times} by {line}", times=count(calls, "time"), line=line)
            for line, calls in churn.empty_cache_lines
        ]
        if churn.empty_cache_runs and not churn.empty_cache_lines:
            told.append(
                say("empty_cache() {times} by an unknown line", times=count(churn.empty_cache_runs, "time"))
            )
        evidence = [at_moment(device, text, churn.at_ns) for text in told]
        return say("the allocator goes to the driver within the run"), None, evidence


class UnusedReserved(SnapshotRule):
    """Much more is reserved than was ever used at once.

    The cache keeps segments whose sizes fit no later request. Other processes cannot have that memory.
    """

    code, title, severity = "MEM006", say("Reserved memory is never used"), "low"
    fix = say("PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True, or make sizes repeat (pad, bucket).")
    fix_of_expandable = say("Make sizes repeat (pad, bucket).")

    def look(self, device: DeviceSnapshot) -> Found | None:
        """Peak of reserved against peak of active."""
        unused = device.peak_reserved_bytes - device.peak.active_bytes
        of_peak = thresholds.UNUSED_RESERVED_SHARE * device.peak_reserved_bytes
        least = max(of_peak, thresholds.UNUSED_RESERVED_BYTES)
        if not device.entries or not device.peak_reserved_bytes or unused < least:
            return None
        share = percent(unused / device.peak_reserved_bytes)
        claim = say(
            "{unused} ({share}) of what was reserved was never in use at once",
            unused=size(unused),
            share=share,
        )
        peak = say(
            "at most {active} in use, at most {reserved} reserved",
            active=size(device.peak.active_bytes),
            reserved=size(device.peak_reserved_bytes),
        )
        return claim, unused, [at_moment(device, peak, device.peak.at_ns)]


class FirstStepPeak(SnapshotRule):
    """Only the first step needs the peak.

    Lazy initialisation, autotuning and workspaces come on top of a full step. What fits afterwards may fail at
    the start.
    """

    code, title, severity = "MEM007", say("Only the first step has the peak"), "low"
    fix = say(
        "Warm up with a small batch first, and create optimizer state and workspaces before the "
        "first full step."
    )

    def look(self, device: DeviceSnapshot) -> Found | None:
        """The first step's peak against the largest of the others; a window that begins later tells nothing."""
        peaks = device.step_peaks
        if not device.complete or len(peaks) < 2:
            return None
        others = max(peaks[1:])
        if peaks[0] - others < thresholds.FIRST_STEP_PEAK_SHARE * peaks[0]:
            return None
        claim = say(
            "the first step needs {first}, the others at most {others}",
            first=size(peaks[0]),
            others=size(others),
        )
        steps = say("{steps} in the window", steps=count(len(peaks), "step"))
        return claim, peaks[0] - others, [at_moment(device, steps, device.peak.at_ns)]


class GradAtInference(SnapshotRule):
    """Activations are kept, but no backward pass ever uses them.

    Without `torch.inference_mode()` (or `no_grad`) every forward pass keeps what a backward pass would need for
    as long as its result lives.
    """

    code, title = "MEM008", say("Activations are kept without a backward pass")
    fix = say("Run the forward pass under torch.inference_mode().")

    def look(self, device: DeviceSnapshot) -> Found | None:
        """Activations at the end of a window without backward."""
        kept = device.end.by_category.get("activations", 0)
        trains = device.backward_seen or device.end.by_category.get("optimizer_state")
        # a cache that grows while other activations go: gradients are off already
        trains = trains or any(row.category == "kv_cache" for row in device.growth)
        if trains or kept < thresholds.FRAGMENTED_SHARE * device.end.requested_bytes or not kept:
            return None
        claim = say("{kept} of activations are held and no backward pass was seen", kept=size(kept))
        return claim, kept, held_by(device, device.end, "activations")


class RankImbalance:
    """The ranks do not need the same memory.

    The fullest rank decides what batch fits. Uneven pipeline stages, an embedding or a loss on one rank only and
    uneven inputs are the usual reasons.
    """

    code: ClassVar[str] = "MEM009"
    title: ClassVar[Text] = say("Memory differs between ranks")
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.MEMORY_SNAPSHOT})

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding for all ranks."""
        fullest: dict[int, DeviceSnapshot] = {}
        for device in sorted(facts.snapshot.devices, key=lambda d: d.peak.active_bytes):
            fullest[device.rank] = device
        peaks = {rank: device.peak.active_bytes for rank, device in fullest.items()}
        if len(peaks) < 2:
            return
        high, low = max(peaks.values()), min(peaks.values())
        if high - low < thresholds.UNUSED_RESERVED_SHARE * high:
            return
        full = max(sorted(peaks), key=lambda rank: peaks[rank])
        yield Finding(
            code=self.code,
            title=self.title,
            severity="medium",
            claim=say(
                "Rank {full} peaks at {high}, the emptiest rank at {low}.",
                full=full,
                high=size(high),
                low=size(low),
            ),
            evidence=tuple(
                at_moment(
                    fullest[rank],
                    say("rank {rank}: {peak}", rank=rank, peak=size(peaks[rank])),
                    fullest[rank].peak.at_ns,
                )
                for rank in sorted(peaks)
            ),
            fix=say("Balance the stages or shards, and look at who holds memory on the fullest rank."),
            confidence="high",
            saving_bytes=(high - low) // 2,
            saving_reason=NO_TIME,
        )


RULES = (
    OutOfMemory(), Leak(), KvCacheGrowth(), PinnedSegments(), AllocatorThrash(), UnusedReserved(), FirstStepPeak(),
    GradAtInference(), RankImbalance(), FragmentationGrowth(),
)  # fmt: skip
