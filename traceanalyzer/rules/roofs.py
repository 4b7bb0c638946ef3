"""What rules ask of the roofline: which kernels, how much of the step, and what faster ones would save."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.analyzers import thresholds
from traceanalyzer.rules.findings import Evidence
from traceanalyzer.rules.wording import count, duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from traceanalyzer.analyzers.roofline_results import Roofline, RooflineRow
    from traceanalyzer.rules.base import Facts

SHOWN = 5
HOST_BOUND = "the GPU waits for the host: shorter kernels would hardly shorten the step"
NO_ROOF = "what a better kernel would take needs the shapes and the peaks of the GPU"


def roofline(facts: Facts) -> Roofline:
    """The result of the roofline analyzer."""
    result: Roofline = facts.results["roofline"]
    return result


def time_of(rows: Iterable[RooflineRow]) -> int:
    """Their summed kernel time, ns."""
    return sum(row.total_ns for row in rows)


def share_of(rows: Iterable[RooflineRow], facts: Facts) -> float:
    """Their part of the wall time, no more than compute takes: kernels on several streams overlap."""
    return facts.share(min(time_of(rows), facts.sum("compute_ns")))


def described(row: RooflineRow) -> Evidence:
    """One row as evidence: how often, how long, which shapes, how far from its roof."""
    shapes = f" {row.input_dims[:70]}" if row.input_dims else ""
    roof = f", {percent(row.efficiency)} of its roof" if row.efficiency is not None else ""
    op = f"{row.op}{shapes}: " if row.op else ""
    each = duration(row.total_ns // row.count)
    return Evidence(f"{op}{count(row.count, 'execution')} of {each}{roof}, kernel {row.kernel[:80]}")


def evidence(rows: Sequence[RooflineRow]) -> tuple[Evidence, ...]:
    """The longest of them."""
    return tuple(described(row) for row in sorted(rows, key=lambda r: -r.total_ns)[:SHOWN])


def saving(
    now_ns: int, slow_ns: float | None, fast_ns: float | None, facts: Facts
) -> tuple[tuple[int, int] | None, str]:
    """The bound per step when kernels that take `now_ns` would take between `fast_ns` and `slow_ns`.

    Returns:
        The bound and no reason, or None and why nothing is promised.
    """
    if any(device.bound == "host" for device in facts.launches.devices):
        return None, HOST_BOUND
    if slow_ns is None or fast_ns is None:
        return None, NO_ROOF
    now = min(now_ns, facts.sum("compute_ns"))
    part = now / now_ns if now_ns else 0.0
    low, high = (facts.per_step(max(0, int((now_ns - ns) * part))) for ns in (slow_ns, fast_ns))
    return (min(low, high), high), ""


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
