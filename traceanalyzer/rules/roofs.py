"""What rules ask of the roofline: which kernels, how much of the step, and what faster ones would save."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules import counted
from traceanalyzer.rules.findings import Evidence, Speedup
from traceanalyzer.rules.wording import count, duration, percent
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceanalyzer.analyzers.roofline_results import Roofline, RooflineRow
    from traceanalyzer.rules.base import Facts
    from traceanalyzer.rules.findings import Counted

SHOWN = 5
HOST_BOUND = say("the GPU waits for the host: shorter kernels would hardly shorten the step")
NO_ROOF = say("what a better kernel would take needs the shapes and the peaks of the GPU")


def roofline(facts: Facts) -> Roofline:
    """The result of the roofline analyzer."""
    result: Roofline = facts.results["roofline"]
    return result


def time_of(rows: Iterable[RooflineRow]) -> int:
    """Their summed kernel time, ns."""
    return sum(row.total_ns for row in rows)


def share_of(rows: Iterable[RooflineRow], facts: Facts) -> float:
    """Their part of the wall time, no more than compute takes: kernels on several streams overlap."""
    return facts.share(min(_in_window(rows, facts), facts.sum("compute_ns")))


def _in_window(rows: Iterable[RooflineRow], facts: Facts) -> int:
    """Their time if earlier work, of which no operator is known, was made of the same operators as the steps."""
    return int(sum(row.total_ns * (facts.lead_in if row.op else 1.0) for row in rows))


def described(row: RooflineRow) -> Evidence:
    """One row as evidence: how often, how long, which shapes, how far from its roof."""
    shapes = say(" {input_dims}", input_dims=row.input_dims[:70]) if row.input_dims else ""
    roof = (
        say(", {efficiency} of its roof", efficiency=percent(row.efficiency))
        if row.efficiency is not None
        else ""
    )
    op = say("{op}{shapes}: ", op=row.op, shapes=shapes) if row.op else ""
    each = duration(row.total_ns // row.count)
    return Evidence(
        say(
            "{op}{executions} of {each}{roof}, kernel {kernel}",
            op=op,
            executions=count(row.count, "execution"),
            each=each,
            roof=roof,
            kernel=row.kernel[:80],
        ),
        table="kernels",
        row=row.longest,
        name=row.kernel,
    )


def evidence(rows: Sequence[RooflineRow]) -> tuple[Evidence, ...]:
    """The longest of them."""
    return tuple(described(row) for row in sorted(rows, key=lambda r: -r.total_ns)[:SHOWN])


class Cure(TypedDict, total=False):
    """The fields of a finding that say what faster kernels are worth."""

    saving_ns: tuple[int, int]
    saving_reason: str
    speedups: tuple[Speedup, ...]
    counts: tuple[Counted, ...]


def cure(rows: Sequence[RooflineRow], slow_ns: float | None, fast_ns: float | None, facts: Facts) -> Cure:
    """What it is worth when these kernels would take between `fast_ns` and `slow_ns` in all.

    The bound of a device that waits for its host is none; what the replay says of the speedups wins over it.
    """
    if slow_ns is None or fast_ns is None:
        return {"saving_reason": NO_ROOF}
    counts = counted.kernels(by_name(rows), by_name(roofline(facts).rows))
    faster = _speedups(rows, slow_ns, fast_ns, facts)
    if any(device.bound == "host" for device in facts.launches.devices):
        return {"saving_reason": HOST_BOUND, "speedups": faster, "counts": counts}
    now_ns = time_of(rows)
    now = min(_in_window(rows, facts), facts.sum("compute_ns"))
    part = now / now_ns if now_ns else 0.0
    low, high = (facts.per_step(max(0, int((now_ns - ns) * part))) for ns in (slow_ns, fast_ns))
    return {"saving_ns": (min(low, high), high), "speedups": faster, "counts": counts}


def _speedups(
    rows: Sequence[RooflineRow], slow_ns: float, fast_ns: float, facts: Facts
) -> tuple[Speedup, ...]:
    """Per kernel name, the share of its time that remains; what other calls of that name take stays as it is."""
    now_ns = max(time_of(rows), 1)
    ends = [min(ns / now_ns, 1.0) for ns in (max(slow_ns, fast_ns), fast_ns)]
    of_name = by_name(roofline(facts).rows)
    return tuple(
        Speedup(name, *(1 - ns / of_name[name] * (1 - remaining) for remaining in ends))
        for name, ns in sorted(by_name(rows).items())
    )


def by_name(rows: Iterable[RooflineRow]) -> dict[str, int]:
    """Kernel time by name, ns."""
    total: dict[str, int] = {}
    for row in rows:
        total[row.kernel] = total.get(row.kernel, 0) + row.total_ns
    return total


def attainable(rows: Iterable[RooflineRow]) -> tuple[float | None, float | None]:
    """What the kernels would take with an ordinary and with a good share of their roof; None without roofs."""
    slow = fast = 0.0
    for row in rows:
        if row.roof_ns is None:
            return None, None
        floor = row.count * thresholds.KERNEL_FLOOR_NS
        slow += min(row.total_ns, max(row.roof_ns / thresholds.ATTAINABLE_LOW, floor))
        fast += min(row.total_ns, max(row.roof_ns / thresholds.ATTAINABLE_HIGH, floor))
    return slow, fast
