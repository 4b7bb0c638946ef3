"""Rules about the threads of the host: what holds up the ones that launch."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import LAUNCHED, ORDINARY
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.wording import count, duration
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.contention import Contention
    from traceanalyzer.analyzers.ranges import Ranges
    from traceanalyzer.analyzers.results import Ops
    from traceanalyzer.rules.base import Facts

_WAIT_OR_MOVE = re.compile(
    r"^aten::(item|_local_scalar_dense|is_nonzero|to|_to_copy|copy_|nonzero|empty|record_stream|_pin_memory|pin_memory)"
    r"|^(autograd::|Optimizer|torch::|nccl:|c10d::|record_param_comms|DataLoader|enumerate)|Backward\d*$"
)
_EMPTY_CACHE = re.compile(r"_cuda_emptyCache|empty_cache$")
SHOWN = 5


class SlowLaunchCalls:
    """Launch calls take long although the queue has room.

    A launch costs the host a few microseconds. One that takes 50 and more, while the launch queue is not full, was
    held up: the thread lost its core to others (more busy threads than cores, DataLoader workers and OpenMP threads
    among them), waited for a lock of the driver that another thread held, or the profiler flushed its buffers.
    """

    code: ClassVar[str] = "LAUNCH001"
    title: ClassVar[Text] = say("Launch calls are held up")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when slow calls cost enough while the device idles."""
        found: Contention = facts.results["contention"]
        lost = min(found.slow_ns, facts.idle_ns(*ORDINARY))
        share = facts.share(lost)
        if share < thresholds.HOST_STALL_SHARE or found.slow_launches < thresholds.SLOW_LAUNCHES:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "{slow} of {all} launch {all:call|calls} {slow:takes|take} more than {limit} with room in the "
                "queue: {share}.",
                slow=f"{found.slow_launches:,}",
                all=f"{found.launches:,}",
                limit=duration(thresholds.SLOW_CALL_NS),
                share=facts.of_step(share),
            ),
            evidence=(
                Evidence(
                    say("{time} beyond what the median call takes", time=duration(found.slow_ns)),
                    table="api_calls",
                    row=found.slowest,
                ),
            ),
            fix=say(
                "Give the launching thread a core: fewer DataLoader workers and OpenMP threads than cores, "
                "processes bound to the cores of their GPU's socket.\n"
                "```\n"
                "torch.set_num_threads(4)\n"
                "numactl --cpunodebind=0 --membind=0 python train.py\n"
                "```"
            ),
            confidence="low",
            saving_ns=facts.saving(lost),
            counts=counted.idle(facts, *ORDINARY, ns=lost),
        )


class OtherPythonThreads:
    """Another Python thread works while the device waits for the one that launches.

    Only one thread at a time runs Python code. A thread that prepares data, serves requests or reports takes the
    interpreter lock away from the launching thread, for 5 ms at a time by default. Processes do not share the lock.
    """

    code: ClassVar[str] = "GIL001"
    title: ClassVar[Text] = say("Python threads compete with the launching one")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED | {Capability.STACKS}

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when other threads work during enough of the idle time."""
        found: Contention = facts.results["contention"]
        lost = min(found.python_ns, facts.idle_ns(*ORDINARY))
        share = facts.share(lost)
        if share < thresholds.CAUSE_SHARE:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say(
                "For {share} the GPU idles while a Python thread that launches nothing is at work.",
                share=facts.of_step(share),
            ),
            evidence=(
                Evidence(
                    say("longest: {function}", function=found.python or say("not recorded")),
                    table="python_calls",
                    row=found.frame,
                ),
            ),
            fix=say(
                "Move that work to another process: DataLoader(num_workers=4), multiprocessing, a separate "
                "server process. In between, sys.setswitchinterval(0.0005) shortens the turns."
            ),
            confidence="low",
            saving_ns=facts.saving(lost),
            counts=counted.idle(facts, *ORDINARY, ns=lost),
        )


class OperatorsOnCpu:
    """Operators compute on the CPU in the middle of a step on the GPU.

    A tensor that was made without `device=` lives on the host, and so does what is computed from it. The operator
    runs at the speed of the host, and the device has nothing to do when its queue runs empty.
    """

    code: ClassVar[str] = "CPU001"
    title: ClassVar[Text] = say("Operators compute on the CPU")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when operators without device work take enough of a step in which the device idles."""
        ops: Ops = facts.results["ops"]
        rows = [
            r
            for r in ops.by_name
            if r.device_ns == 0
            and r.self_ns >= r.count * thresholds.CPU_OPERATOR_NS
            and not _WAIT_OR_MOVE.search(r.name)
        ]
        spent = min(sum(r.self_ns for r in rows), facts.idle_ns(*ORDINARY))
        share = facts.share(spent)
        if share < thresholds.CAUSE_SHARE:
            return
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=say("Operators on the CPU take {share} while the GPU idles.", share=facts.of_step(share)),
            evidence=tuple(
                Evidence(
                    say(
                        "{calls} of {op} take {each} each and launch nothing",
                        calls=count(r.count, "call"),
                        op=r.name,
                        each=duration(r.self_ns // r.count),
                    ),
                    table="ops",
                    row=r.longest,
                    name=r.name,
                )
                for r in sorted(rows, key=lambda r: (-r.self_ns, r.name))[:SHOWN]
            ),
            fix=say(
                "Make the tensors on the device (device=x.device), or move this work into the DataLoader's "
                "workers."
            ),
            confidence=facts.confidence,
            saving_ns=facts.saving(spent),
            counts=counted.idle(facts, *ORDINARY, ns=spent),
        )


class EmptiesCache:
    """The program gives cached memory back to the driver in every step.

    `torch.cuda.empty_cache()` waits for the device and frees all cached blocks with `cudaFree`; the next step must
    fetch them again with `cudaMalloc`, which costs far more than taking them from the cache. It does not make more
    memory available to the program that calls it.
    """

    code: ClassVar[str] = "ALLOC002"
    title: ClassVar[Text] = say("The allocator's cache is emptied in every step")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when cudaFree is called in every step."""
        steps = len(facts.steps.steps)
        api = {r.name: r for r in facts.launches.api}
        freed, fetched = api.get("cudaFree", api.get("hipFree")), api.get("cudaMalloc", api.get("hipMalloc"))
        if freed is None or fetched is None or steps < 2 or min(freed.count, fetched.count) < steps:
            return
        idle = facts.idle_ns("allocator")
        ranges: Ranges = facts.results["ranges"]
        named = ranges.called(_EMPTY_CACHE)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(facts.share(idle)),
            claim=say(
                "Memory goes back to the driver and is fetched again in every step: {freed} and {fetched} "
                "{fetched:call|calls} in {steps} {steps:step|steps}.",
                freed=f"{freed.count:,}",
                fetched=f"{fetched.count:,}",
                steps=steps,
            ),
            evidence=(
                *(
                    Evidence(
                        say("{time} in {name}", time=duration(r.total_ns), name=r.name),
                        table="api_calls",
                        name=r.name,
                    )
                    for r in (freed, fetched)
                ),
                *(
                    Evidence(
                        say("{calls} of {name}", calls=count(r.count, "call"), name=r.name),
                        table=r.table,
                        name=r.name,
                    )
                    for r in named
                ),
            ),
            fix=say(
                "Remove torch.cuda.empty_cache() from the loop; against fragmentation set "
                "expandable_segments:True."
            ),
            confidence="high" if named else "medium",
            saving_ns=facts.saving(idle) if idle else None,
            counts=counted.idle(facts, "allocator"),
            saving_reason="" if idle else say("the device is not idle meanwhile"),
        )


RULES = (SlowLaunchCalls(), OtherPythonThreads(), OperatorsOnCpu(), EmptiesCache())
