"""Rules about memory: out of memory, growth, fragmentation, and memory that is held for nothing."""

from __future__ import annotations

from statistics import median_low
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.sizes import size
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules.findings import Evidence, Finding, Severity
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.rules.wording import count, percent
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from traceanalyzer.analyzers.snapshot_results import DeviceSnapshot, GrowthRow, Oom
    from traceanalyzer.rules.base import Facts

NO_TIME = say("it saves memory, not time")
SHOWN = 5


Found = tuple[Text, int | None, list[Evidence]]
"""The claim, the bytes it is about and the evidence."""


def of_line(device: DeviceSnapshot, text: Text, python: str | None, function: str | None) -> Evidence:
    """What a line of the program holds: a row of the tables of who holds memory."""
    return Evidence(
        text,
        name=f"{python} {function}" if python else None,
        rank=device.rank,
        device=device.device,
        sheet="held-by-line",
    )


def at_moment(device: DeviceSnapshot, text: Text, at_ns: int | None) -> Evidence:
    """What is so at a moment; where entries carry no time, the tables of who holds memory are all there is."""
    return Evidence(text, start_ns=at_ns, rank=device.rank, device=device.device, sheet="held-by-category")


def _where(device: DeviceSnapshot) -> Text:
    return say("rank {rank}, device {device}", rank=device.rank, device=device.device)


def _expandable(device: DeviceSnapshot) -> bool:
    """Whether the run has expandable segments: it was set so, or mapped memory, which only they do."""
    chosen = dict(device.settings).get("PYTORCH_CUDA_ALLOC_CONF", "")
    return "expandable_segments:True" in chosen or device.churn.mappings > 0


class SnapshotRule:
    """A rule that looks at each device of each snapshot; what it wastes is `saving_bytes` per device."""

    code: ClassVar[str]
    title: ClassVar[Text]
    severity: ClassVar[Severity] = "medium"
    fix: ClassVar[Text]
    fix_of_expandable: ClassVar[Text | None] = None
    """What is left of the fix where the run has expandable segments already."""
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.MEMORY_SNAPSHOT})

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding per device that has the problem."""
        for device in facts.snapshot.devices:
            found = self.look(device)
            if found is not None:
                claim, nbytes, evidence = found
                left = self.fix_of_expandable if _expandable(device) else None
                yield Finding(
                    code=self.code,
                    title=self.title,
                    severity=self.severity,
                    claim=say("On {device}, {claim}.", device=_where(device), claim=claim),
                    evidence=tuple(evidence[:SHOWN]),
                    fix=left or self.fix,
                    confidence="medium",
                    saving_bytes=nbytes,
                    saving_reason=NO_TIME,
                )

    def look(self, device: DeviceSnapshot) -> Found | None:
        """The claim, the bytes it is about and the evidence; None when all is well."""
        raise NotImplementedError


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


_LEAVES = say("{line} leaves {size} behind in every step")
_LEAVES_IN_ROUNDS = say("{line} leaves {size} behind in every round of its loop")
_GROWS = say("the KV cache grows by {per_step} per step")
_GROWS_IN_ROUNDS = say("a cache such as that of keys and values grows by {per_step} per round of its loop")
_STEPS = say("{line}: {size} per step, {total} in {steps}")
_ROUNDS = say("{line}: {size} per round, {total} in {steps}")


def leaves(device: DeviceSnapshot) -> tuple[Text, list[GrowthRow]] | None:
    """What all stacks that grow and are no KV cache leave behind together, and these; None without any."""
    rows = [g for g in device.growth if g.category != "kv_cache"]
    if not rows:
        return None
    says = _LEAVES if rows[0].marked else _LEAVES_IN_ROUNDS
    line = device.growth_python or say("an unknown line")
    return says.filled(line=line, size=size(sum(g.bytes_per_step for g in rows))), rows


def cache_grows(device: DeviceSnapshot) -> tuple[Text, list[GrowthRow]] | None:
    """By how much all KV caches grow together, and their stacks; None without any."""
    rows = [g for g in device.growth if g.category == "kv_cache"]
    if not rows:
        return None
    says = _GROWS if rows[0].marked else _GROWS_IN_ROUNDS
    return says.filled(per_step=size(sum(g.bytes_per_step for g in rows))), rows


class Leak(SnapshotRule):
    """Blocks of the same call stack stay from step to step.

    Something keeps references: a list of losses with their graphs, a cache without a limit, hooks. KV caches
    grow by design and are told apart by their names, or by what they do: they grow while the shorter one goes.
    Counted are blocks that nothing released before the end, in most of the steps after the first; where no steps
    were marked, in every round of a loop that calls the same lines again and again.
    """

    code, title, severity = "MEM002", say("Memory grows from step to step"), "high"
    fix = say("Keep no reference from step to step: append loss.item(), detach what is kept, bound caches.")

    def look(self, device: DeviceSnapshot) -> Found | None:
        """The stacks that grow and are no KV cache."""
        found = leaves(device)
        if found is None:
            return None
        claim, rows = found
        return claim, sum(g.total_bytes for g in rows), [_growth(device, g) for g in rows]


class KvCacheGrowth(SnapshotRule):
    """The KV cache grows with every step.

    It does by design, with the tokens and sequences that are kept. The finding says how fast, so that it can be
    told how long the memory lasts.
    """

    code, title, severity = "MEM003", say("The KV cache grows with every step"), "low"
    fix = say(
        "Limit the tokens or sequences kept at once, keep the cache in 8 bits, or allocate it once "
        "(paged, static)."
    )

    def look(self, device: DeviceSnapshot) -> Found | None:
        """The stacks that grow and are a KV cache."""
        found = cache_grows(device)
        if found is None:
            return None
        claim, rows = found
        return claim, sum(g.total_bytes for g in rows) // 2, [_growth(device, g) for g in rows]


def _growth(device: DeviceSnapshot, row: GrowthRow) -> Evidence:
    text = (_STEPS if row.marked else _ROUNDS).filled(
        line=f"{row.python} {row.function}" if row.python else say("an unknown line"),
        size=size(row.bytes_per_step),
        total=size(row.total_bytes),
        steps=count(row.steps, "step") if row.marked else count(row.steps, "round"),
    )
    return of_line(device, text, row.python, row.function)


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

    A warm caching allocator makes no cudaMalloc. Retries after a failed one, and calls of empty_cache(), make
    the device wait for the host. empty_cache() does not help this process: the allocator gives its cache back by
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
        told = [
            say("{retries} after a failed cudaMalloc", retries=count(churn.retries, "retry")),
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
        lines = [h for h in device.end.holders if h.category == "activations"]
        evidence = [
            of_line(
                device,
                say(
                    "{python} {function}: {requested}",
                    python=h.python,
                    function=h.function,
                    requested=size(h.requested_bytes),
                ),
                h.python,
                h.function,
            )
            for h in lines
        ]
        return (
            say("{kept} of activations are held and no backward pass was seen", kept=size(kept)),
            kept,
            evidence,
        )


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
