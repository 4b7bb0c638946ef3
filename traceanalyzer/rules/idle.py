"""Rules about time in which the device has nothing to do because of the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.host import STALLS
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import LAUNCHED, ORDINARY
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.idle_places import lines, places
from traceanalyzer.rules.wording import count, duration
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.ranges import RangeRow
    from traceanalyzer.analyzers.results import ApiRow, IdleGap
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts
    from traceanalyzer.rules.findings import Counted


class IdleRule:
    """Finds idle time of certain causes: the common part of the rules below."""

    code: ClassVar[str]
    title: ClassVar[Text]
    requires: ClassVar[frozenset[Capability]] = LAUNCHED
    causes: ClassVar[tuple[str, ...]]
    least_share: ClassVar[float] = thresholds.CAUSE_SHARE
    says: ClassVar[Text]
    fix: ClassVar[Text]

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when the causes cost more than the least share."""
        idle = self.idle_ns(facts)
        if facts.share(idle) < self.least_share or not self.applies(facts):
            return
        low, high = facts.saving(idle)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(facts.share(idle)),
            claim=say(
                "{share} ({time}) the GPU is idle because {reason}.",
                share=facts.of_step(facts.share(idle)),
                time=duration(high),
                reason=self.reason(facts),
            ),
            evidence=(*self.facts(facts), *places(self.gaps(facts))),
            fix=self.cure(facts),
            confidence=facts.confidence,
            saving_ns=(low, high),
            counts=self.counts(facts),
        )

    def counts(self, facts: Facts) -> tuple[Counted, ...]:
        """What it counts, by cause."""
        return counted.idle(facts, *self.causes)

    def reason(self, facts: Facts) -> Text:  # noqa: ARG002
        """Why the device is idle."""
        return self.says

    def cure(self, facts: Facts) -> Text:  # noqa: ARG002
        """What to do about it."""
        return self.fix

    def idle_ns(self, facts: Facts) -> int:
        """The time that the finding is about, summed over devices."""
        return facts.idle_ns(*self.causes)

    def applies(self, facts: Facts) -> bool:  # noqa: ARG002
        """Whether the finding makes sense beyond its share."""
        return True

    def gaps(self, facts: Facts) -> list[IdleGap]:
        """The gaps to show, longest first."""
        return facts.largest_gaps(*self.causes)

    def facts(self, facts: Facts) -> Iterable[Evidence]:
        """Evidence besides the largest gaps."""
        yield Evidence(say("{gaps} with this cause", gaps=count(facts.idle_gaps(*self.causes), "gap")))


class HostLaunchesTooSlowly(IdleRule):
    """The device finishes its work faster than Python and the dispatcher can launch more.

    Every operator costs the host some microseconds before its kernel starts. When kernels are shorter than
    that, the queue stays empty and the step takes as long as the host needs, whatever the device could do.
    Making kernels faster then saves nothing. What helps is to launch less often (CUDA graphs,
    `torch.compile`, larger batches, fused operators) or to make the host faster.

    Counted is the idle time before work whose launch began only after the device had run dry, while the
    host was doing ordinary work: dispatch, the autograd engine, the optimizer. The saving ends where the
    device would be busy all the time. Profiling itself slows the host down, most with stacks, so the true
    share may be smaller.
    """

    code = "IDLE001"
    title = say("The host launches too slowly")
    causes = ORDINARY
    says = say("the host launches too slowly")
    fix = say(
        "Launch less often: fixed shapes under a CUDA graph, larger batches, fused operators.\n"
        "```\n"
        'model = torch.compile(model, mode="reduce-overhead")  # CUDA graphs\n'
        "```"
    )
    in_training = say(
        "Launch less often: fixed shapes under a CUDA graph, larger batches, fused operators.\n"
        "```\n"
        'model = torch.compile(model, mode="reduce-overhead")  # CUDA graphs\n'
        "optimizer = torch.optim.AdamW(model.parameters(), fused=True)\n"
        "```"
    )

    def cure(self, facts: Facts) -> Text:
        """A run without an optimizer has none to fuse."""
        phases = facts.results.get("phases")
        return self.in_training if phases is not None and phases.kind == "training" else self.fix

    def idle_ns(self, facts: Facts) -> int:
        """Without the long pauses, which IDLE004 looks at."""
        return super().idle_ns(facts) - facts.pause_ns

    def counts(self, facts: Facts) -> tuple[Counted, ...]:
        """Without the long pauses."""
        return counted.late_launches(facts, paused=False)

    def gaps(self, facts: Facts) -> list[IdleGap]:
        """Without the long pauses."""
        return [g for g in super().gaps(facts) if g.duration_ns < thresholds.LONG_PAUSE_NS]

    def applies(self, facts: Facts) -> bool:
        """Only when the device idles a lot: a few late launches in a busy step are normal."""
        return facts.share(facts.sum("idle_ns")) >= thresholds.IDLE_SHARE

    def facts(self, facts: Facts) -> Iterable[Evidence]:
        """The queue and the length of kernels."""
        gaps = facts.idle_gaps(*self.causes) - len(facts.pauses())
        yield Evidence(say("{gaps} with this cause", gaps=count(gaps, "gap")))
        for device in facts.launches.devices:
            if device.delay_p50_ns is not None:
                yield Evidence(
                    say(
                        "rank {rank} device {device}: kernels start {delay} after their launch (median), with "
                        "{depth} in the queue",
                        rank=device.rank,
                        device=device.device,
                        delay=duration(device.delay_p50_ns),
                        depth=device.queue_p50,
                    ),
                    rank=device.rank,
                    device=device.device,
                    sheet="launches",
                )
        if facts.kernels.median_ns is not None:
            yield Evidence(say("the median kernel takes {median}", median=duration(facts.kernels.median_ns)))
        yield from lines(facts)


class HostPauses(IdleRule):
    """The host launches nothing for a millisecond and more.

    Preparing a batch in the main process, tokenising, post-processing results, logging, set-up at first
    use, or one operator that is slow on the host: launching as such takes microseconds. Counted are those
    of the longest idle gaps that last a millisecond and in which the host does nothing that has a name of
    its own (a sync, a copy, the dataloader ...).
    """

    code = "IDLE004"
    title = say("The host pauses and launches nothing")
    causes = ORDINARY
    says = say("the host launches nothing for a millisecond and more at a time")
    fix = say(
        "Move the work at these places out of the step: to DataLoader workers, to another thread, or "
        "before the loop; if it is set-up at first use, record after a warm-up."
    )

    def idle_ns(self, facts: Facts) -> int:
        """The long pauses only."""
        return facts.pause_ns

    def counts(self, facts: Facts) -> tuple[Counted, ...]:
        """The long pauses only."""
        return counted.late_launches(facts, paused=True)

    def gaps(self, facts: Facts) -> list[IdleGap]:
        """The long pauses only."""
        return facts.pauses()

    def facts(self, facts: Facts) -> Iterable[Evidence]:
        """How many there are."""
        yield Evidence(
            say(
                "{pauses} of {limit} and more",
                pauses=count(len(facts.pauses()), "pause"),
                limit=duration(thresholds.LONG_PAUSE_NS),
            )
        )


class HostSync(IdleRule):
    """The host waits for the device in the middle of the step.

    `.item()`, `.cpu()`, `print(tensor)`, `if tensor:`, `nonzero`, boolean masks and
    `torch.cuda.synchronize()` make the host wait until the device has finished everything. Until the host
    has launched something new the device then has nothing to do. A step without such calls keeps the queue
    filled.

    Counted is the idle time that begins inside a synchronising call, and the part of other gaps that the host
    spends in one. The wait itself costs nothing while the device works.
    """

    code = "SYNC001"
    title = say("The host waits for the device within the step")
    causes = ("host_sync",)
    least_share = thresholds.HOST_STALL_SHARE
    says = say("the host waits for it and then has to fill an empty queue")
    fix = say(
        "Keep values on the device; find what waits, then read it every N steps only.\n"
        "```\n"
        'torch.cuda.set_sync_debug_mode("warn")   # names every line that waits\n'
        "loss_sum += loss.detach()                # instead of loss.item() in each step\n"
        "x = torch.where(mask, x, other)          # instead of x[mask] = …\n"
        "batch = batch.to(device, non_blocking=True)\n"
        "```"
    )

    def facts(self, facts: Facts) -> Iterable[Evidence]:
        """The synchronising calls by name."""
        yield from super().facts(facts)
        for api in facts.launches.api:
            if "Synchronize" in api.name:
                yield called(api)


class Allocator(IdleRule):
    """The step allocates device memory from the driver.

    In a steady step the caching allocator serves every request from memory that it holds. `cudaMalloc` and
    `cudaFree` in the step mean that the cache does not fit: sizes change from step to step, memory is
    nearly full and blocks are given back and fetched again, or the program calls
    `torch.cuda.empty_cache()`. `cudaFree` also waits for the device. Where most of the time goes into calls that pin
    or unpin host memory (`cudaHostAlloc`, `cudaHostRegister`), the finding speaks of these, as pinning is slow.
    """

    code = "ALLOC001"
    title = say("Memory is allocated from the driver within the step")
    causes = ("allocator",)
    least_share = thresholds.ALLOCATOR_SHARE
    says = say("the host allocates or frees device memory")
    fix = say(
        "Remove `torch.cuda.empty_cache()` from the loop, run a warm-up step at the largest shape; "
        "if memory is nearly full, reduce the batch.\n"
        "```\n"
        "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True python train.py\n"
        "```"
    )
    pins = say("the host pins or unpins host memory")
    from_pool = say(
        "Allocate before the loop, or from a pool that keeps what is freed (`cudaMallocAsync`, RMM, CuPy's memory "
        "pool). The first call of a program also creates the CUDA context: it is no part of a step."
    )
    pin_once = say("Pin host memory once, before the loop, and use the same buffers in every step.")

    def reason(self, facts: Facts) -> Text:
        """Memory of the device, or of the host where that takes more of the calls' time."""
        return self.pins if _pinning(facts) else self.says

    def cure(self, facts: Facts) -> Text:
        """Settings of PyTorch's allocator do nothing for host memory, nor for a program without PyTorch."""
        if _pinning(facts):
            return self.pin_once
        return self.fix if facts.results["ops"].by_name or not facts.of_nsys else self.from_pool


def _pinning(facts: Facts) -> bool:
    """Whether the calls that allocate and free spend most of their time on host memory."""
    time = [
        (api.total_ns, "Host" in api.name)
        for api in facts.launches.api
        if STALLS["allocator"].search(api.name)
    ]
    return sum(ns if host else -ns for ns, host in time) > 0


class GarbageCollection(IdleRule):
    """Python's garbage collector stops the thread that launches.

    A collection of the oldest generation walks over every object of the process, for tens of milliseconds
    in a large one, at a moment that differs from rank to rank.
    """

    code = "GC001"
    title = say("Python's garbage collector runs within the step")
    causes = ("gc",)
    least_share = thresholds.HOST_STALL_SHARE
    says = say("Python collects garbage")
    fix = say(
        "Collect at a place and time of your choosing, the same on all ranks.\n"
        "```\n"
        "gc.collect(); gc.freeze(); gc.disable()  # after set-up\n"
        "if step % 500 == 0:\n"
        "    gc.collect()\n"
        "```"
    )


class Compilation(IdleRule):
    """Code is compiled or loaded while the device waits.

    Expected in the first steps. In later ones it means recompilation (shapes or Python values that change) or
    kernels that are loaded lazily at their first use.
    """

    code = "COMPILE001"
    title = say("Code is compiled or loaded within the step")
    causes = ("compile",)
    least_share = thresholds.HOST_STALL_SHARE
    says = say("the host compiles or loads code")
    fix = say(
        "Profile after the warm-up. If it persists, find the reason and mark the sizes that change, "
        "or pad them to a few buckets.\n"
        "```\n"
        "TORCH_LOGS=recompiles python train.py\n"
        "torch._dynamo.mark_dynamic(x, 1)\n"
        "```"
    )


class Dependency(IdleRule):
    """Work had been launched in time, yet the device waited.

    An event of another stream, a collective that waits for its peers, or a chain of graph nodes kept every
    stream of the device from going on although the next work was in the queue.
    """

    code = "IDLE002"
    title = say("Launched work waits for other work")
    causes = ("dependency",)
    says = say("the next work was launched but had to wait for other work")
    fix = say(
        "Look at what ends before each gap: remove needless stream waits and events, split work so "
        "that streams overlap, and check whether a slower rank is being waited for."
    )


class NothingLaunched(IdleRule):
    """At the end of the window the device has nothing more to do while the host is still in its last step.

    Usually logging, checkpoints or metrics on the host after the last launch; in a real run the next step
    would start only after it.
    """

    code = "IDLE003"
    title = say("The device waits for the end of the step")
    causes = ("no_more_work",)
    says = say("nothing more is launched before the step ends")
    fix = say("Move logging, metrics and checkpoints out of the step or to another thread.")


def called(row: ApiRow | RangeRow, table: str = "api_calls") -> Evidence:
    """The calls of one function of the runtime, or of whatever the table holds."""
    return Evidence(
        say(
            "{calls} of {name}, {total} in total",
            calls=count(row.count, "call"),
            name=row.name,
            total=duration(row.total_ns),
        ),
        table=table,
        name=row.name,
    )


def ran(row: RangeRow) -> Evidence:
    """The calls of one range or function of the program."""
    return called(row, row.table)


RULES = (
    HostLaunchesTooSlowly(),
    HostPauses(),
    HostSync(),
    Allocator(),
    GarbageCollection(),
    Compilation(),
    Dependency(),
    NothingLaunched(),
)
