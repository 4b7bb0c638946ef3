"""Rules about work that could run at the same time or as one kernel."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules import counted
from traceanalyzer.rules.base import LAUNCHED, WITH_SHAPES
from traceanalyzer.rules.findings import Evidence, Finding, severity
from traceanalyzer.rules.roofs import HOST_BOUND, by_name, roofline
from traceanalyzer.rules.wording import count, duration, percent, size
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from traceanalyzer.analyzers.opportunities_results import Fusion, FusionRow, Overlap, OverlapRow
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts
    from traceanalyzer.rules.findings import Counted

SHOWN = 5


def _forms() -> Mapping[str, Text]:
    return {
        "norm_quant": say("norm and quantisation in one kernel"),
        "activation_quant": say("activation and quantisation in one kernel"),
        "rope_cache": say("rotary embedding and the write to the cache in one kernel"),
        "add_norm": say("residual addition and norm in one kernel"),
        "activation_mul": say("activation and its product in one kernel"),
        "pointwise": say("one pointwise kernel"),
    }


def _dependencies() -> Mapping[str, Text]:
    return {
        "same_stream": say(
            "the next kernel is behind it on the same stream: another stream would allow it to run"
        ),
        "late": say(
            "the next kernel was launched only after it had begun: an earlier launch would allow it to run"
        ),
        "event": say(
            "the next kernel's stream waits for an event of this stream: only other work could run beside it"
        ),
        "unknown": say("whether the next kernel depends on it is not recorded"),
    }


class UnfusedChains:
    """Kernels that pass over the same data one after the other could be one kernel.

    Each pointwise, norm, quantisation or rotary kernel reads its inputs from memory and writes its result back. One
    kernel for the chain keeps what they hand on in registers. The saving is the traffic for what is handed on, at the
    bandwidth of the memory: at least the second reading, at most the writing too; half of the smaller traffic of two
    neighbours is taken for what goes between them. That they work on the same data is not in a trace; it is taken
    from their order and from traffic of about the same size. Repeats of one op with `out=` overwrite what the one
    before wrote and are no chain.
    """

    code: ClassVar[str] = "FUSE001"
    title: ClassVar[Text] = say("Chains of kernels that would fuse")
    requires: ClassVar[frozenset[Capability]] = WITH_SHAPES

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when fusing would save enough of the step."""
        fusion: Fusion = facts.results["fusion"]
        rows = [row for row in fusion.rows if row.saving_ns]
        low, high = (sum(row.saving_ns[i] for row in rows if row.saving_ns) for i in (0, 1))
        if facts.share(high) < thresholds.HOST_STALL_SHARE:
            return
        host_bound = any(device.bound == "host" for device in facts.launches.devices)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(facts.share(high)),
            claim=say(
                "Chains of memory-bound kernels take {share} of the kernel time; fused, they would save {low} to "
                "{high} of traffic with memory in the whole trace.",
                share=percent(sum(row.share for row in rows)),
                low=size(sum(row.bytes[0] for row in rows if row.bytes)),
                high=size(sum(row.bytes[1] for row in rows if row.bytes)),
            ),
            evidence=tuple(_chain(row) for row in rows[:SHOWN]),
            fix=say(
                "Let `torch.compile` fuse them, or use the fused form where there is one (fused add and RMS norm, SiLU "
                "and product, norm and quantisation, rotary embedding and cache write)."
            ),
            confidence="low",
            saving_ns=None if host_bound else (facts.per_step(low), facts.per_step(high)),
            saving_reason=HOST_BOUND if host_bound else "",
            counts=_chained(rows, facts),
        )


def _chained(rows: Sequence[FusionRow], facts: Facts) -> tuple[Counted, ...]:
    """The kernels of the chains by name."""
    time: dict[str, int] = {}
    for row in rows:
        for kernel, ns in zip(row.kernels, row.kernel_ns, strict=True):
            time[kernel] = time.get(kernel, 0) + ns
    return counted.kernels(time, by_name(roofline(facts).rows))


def _chain(row: FusionRow) -> Evidence:
    steps = " → ".join((op or kernel)[:50] for op, kernel in zip(row.ops[:6], row.kernels, strict=False))
    return Evidence(
        say(
            "{times} of {steps}: {total} in all, {form}",
            times=f"{row.count:,}",
            steps=steps + (" → …" if len(row.ops) > 6 else ""),
            total=duration(row.total_ns),
            form=_forms()[row.form],
        ),
        table="kernels",
        row=row.longest,
        duration_ns=row.longest_ns,
        name=row.chain,
        sheet="fusion",
    )


class ExposedTransfers:
    """Communication or copies run while no kernel does, though there is compute that could run beside them.

    What keeps the next kernel waiting is told from the trace: it shares the stream, it was launched too late, or its
    stream waits for an event. An event says that it needs the result: then only other work (the next layer's, another
    microbatch's) can hide the transfer. The saving is at most the exposed time and at most the compute that nothing
    runs beside yet; whether the data allow it is in no trace, so it may be nothing.
    """

    code: ClassVar[str] = "OVERLAP001"
    title: ClassVar[Text] = say("Transfers that compute could hide")
    requires: ClassVar[frozenset[Capability]] = LAUNCHED

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when enough of the step is exposed and no event forbids the overlap."""
        overlap: Overlap = facts.results["overlap"]
        rows = [row for row in overlap.rows if row.dependency in ("same_stream", "late") and row.saving_ns[1]]
        exposed = sum(row.exposed_ns for row in rows)
        if facts.share(exposed) < thresholds.HOST_STALL_SHARE:
            return
        hidden = min(exposed, max(row.beside_ns for row in rows))
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(facts.share(hidden)),
            claim=say(
                "Transfers run alone for {share} of the time, and no event makes the next kernel wait for them.",
                share=percent(facts.share(exposed)),
            ),
            evidence=_transfers(rows),
            fix=say(
                "Start transfers earlier and on a stream of their own (`async_op=True`, prefetching, "
                "`non_blocking=True` from pinned memory), and launch independent kernels before waiting for them."
            ),
            confidence="low",
            saving_ns=(0, facts.per_step(hidden)),
            counts=_exposed(rows, facts),
        )


def _exposed(rows: Sequence[OverlapRow], facts: Facts) -> tuple[Counted, ...]:
    """What of each kind runs alone."""
    copying = sum(row.exposed_ns for row in rows if row.kind == "copy")
    sending = sum(row.exposed_ns for row in rows if row.kind == "communication")
    return (*counted.exposed_copies(facts, copying), *counted.exposed_communication(facts, sending))


def _transfers(rows: Sequence[OverlapRow]) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(
            say(
                "{times} of {name}, {exposed} exposed: {why}",
                times=count(row.count, "execution"),
                name=row.name[:80],
                exposed=duration(row.exposed_ns),
                why=_dependencies()[row.dependency],
            ),
            table="copies" if row.kind == "copy" else "kernels",
            row=row.longest,
            name=row.name,
            sheet="overlap",
        )
        for row in rows[:SHOWN]
    )


RULES = (UnfusedChains(), ExposedTransfers())
