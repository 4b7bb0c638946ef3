"""One sentence: what limits this run, and what removing it could be worth.

The four parts of the breakdown become labels: compute (or memory bandwidth, as the roofline of the kernels
says, or only their names where there is none), communication, copy (with the idle time that copies of pageable
memory cause) and overhead (all other idle time). A label is dominant with half of the time or a lead of ten
points; otherwise the verdict is mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.families import family_shares
from traceanalyzer.analyzers.roofline import dominant
from traceanalyzer.model.trace import Capability, how_to_capture
from traceanalyzer.rules.base import ORDINARY
from traceanalyzer.rules.findings import Confidence, Verdict
from traceanalyzer.rules.memory import memory_verdict
from traceanalyzer.rules.roofs import roofline, time_of
from traceanalyzer.rules.wording import percent

if TYPE_CHECKING:
    from traceanalyzer.analyzers.roofline_results import RooflineRow
    from traceanalyzer.rules.base import Facts

# Why the device is idle, as the second half of a headline.
REASONS = {
    "slow_launches": "the host launches too slowly",
    "pauses": "the host pauses and launches nothing",
    "host_sync": "the host waits for the GPU within the step",
    "dataloader": "the step waits for the next batch",
    "host_copy": "the host is busy with copies of pageable memory",
    "allocator": "the host allocates and frees GPU memory",
    "gc": "Python collects garbage",
    "compile": "the host compiles or loads code",
    "launch_latency": "the gaps between launched kernels add up",
    "dependency": "launched work waits for other work",
    "no_more_work": "nothing more is launched before the step ends",
    "unknown": "the trace does not show why, because the launches were not recorded",
}
# What limits the kernels of a label, as part of a headline.
LIMITS = {
    "compute": "limited by arithmetic",
    "memory_bandwidth": "limited by memory bandwidth",
    "balanced": "limited by arithmetic and memory alike",
    "latency": "that are far from both limits of the GPU",
    "unknown": "of unknown limits",
}
LESS_SURE: dict[Confidence, Confidence] = {"high": "medium", "medium": "low", "low": "low"}


def verdict(facts: Facts) -> Verdict:
    """The verdict on a trace."""
    if not facts.wall_ns:
        return memory_verdict(facts) or _without_device(facts)
    idle = facts.sum("idle_ns")
    waiting_for_copies = facts.idle_ns("host_copy")
    time = {
        "compute": facts.sum("compute_ns"),
        "communication": facts.sum("exposed_communication_ns"),
        "copy": facts.sum("exposed_copy_ns") + waiting_for_copies,
        "overhead": idle - waiting_for_copies,
    }
    ranked = sorted(time, key=lambda label: -time[label])
    first, second = (facts.share(time[label]) for label in ranked[:2])
    if first >= thresholds.DOMINANT_SHARE or first - second >= thresholds.DOMINANT_LEAD:
        return _dominant(ranked[0], facts)
    parts = " + ".join(f"{_part(label, facts)} {percent(facts.share(time[label]))}" for label in ranked[:2])
    return Verdict("mixed", f"No single cause: {parts} of the {_span(facts)}", LESS_SURE[facts.confidence])


def _dominant(label: str, facts: Facts) -> Verdict:
    if label == "compute":
        return _busy(facts)
    span = _span(facts)
    if label == "communication":
        exposed = facts.sum("exposed_communication_ns")
        says = (
            f"Communication alone takes {percent(facts.share(exposed))} of the {span}: compute does not "
            "hide it"
        )
        return Verdict(label, says + _speedup(exposed, facts), facts.confidence)
    idle = facts.sum("idle_ns")
    reason, reason_ns = main_reason(facts)
    if label == "copy":
        cost = facts.sum("exposed_copy_ns") + facts.idle_ns("host_copy")
        says = f"Copies and the waits for them take {percent(facts.share(cost))} of the {span}"
        return Verdict(label, says + _speedup(cost, facts), facts.confidence)
    unknown = reason == "unknown"
    gain = "" if unknown else _speedup(reason_ns, facts)
    headline = f"GPU idle {percent(facts.share(idle))} of the {span}: {REASONS[reason]}{gain}"
    return Verdict("overhead", headline, "low" if unknown else facts.confidence)


def main_reason(facts: Facts) -> tuple[str, int]:
    """The key of REASONS with the most idle time, and that time."""
    time = {cause: facts.idle_ns(cause) for cause in REASONS}
    time["pauses"] = facts.pause_ns
    time["slow_launches"] = facts.idle_ns(*ORDINARY) - facts.pause_ns
    reason = max(time, key=lambda key: time[key])
    return reason, time[reason]


def _busy(facts: Facts) -> Verdict:
    """The device computes most of the time: what limits its kernels, measured where they have a cost."""
    head = f"GPU computes {percent(facts.share(facts.sum('compute_ns')))} of the {_span(facts)}"
    idle = facts.share(facts.sum("idle_ns"))
    tail = (
        f"; idle {percent(idle)}: {REASONS[main_reason(facts)[0]]}" if idle >= thresholds.IDLE_SHARE else ""
    )
    rows = [r for r in roofline(facts).rows if r.bound != "communication" and r.total_ns]
    measured = [r for r in rows if r.efficiency is not None]
    total, known = time_of(rows), time_of(measured)
    if not total or known / total < thresholds.MEASURED_SHARE:
        return _told_by_names(head, tail, facts)
    return _measured(measured, total, head, tail, facts)


def _measured(rows: list[RooflineRow], total: int, head: str, tail: str, facts: Facts) -> Verdict:
    """The label with most of the kernel time, of kernels whose roof is known."""
    time: dict[str, int] = {}
    for row in rows:
        time[row.bound] = time.get(row.bound, 0) + row.total_ns
    ranked = sorted(time, key=lambda label: (-time[label], label))
    label = dominant(time)
    if label in ("mixed", "balanced"):
        parts = " + ".join(f"{LIMITS[name]} {percent(time[name] / total)}" for name in ranked[:2])
        return Verdict("mixed", f"{head}: {parts} of the kernel time{tail}", LESS_SURE[facts.confidence])
    mine = [r for r in rows if r.bound == label]
    reached = sum(r.roof_ns or 0.0 for r in mine) / time_of(mine)
    says = f"{head}, {percent(time[label] / total)} of it in kernels {LIMITS[label]}"
    if label != "latency":
        sure = time_of(r for r in mine if r.confidence != "low") >= thresholds.DOMINANT_SHARE * time[label]
        confidence = facts.confidence if sure else LESS_SURE[facts.confidence]
        return Verdict(label, f"{says} ({percent(reached)} of their roof){tail}", confidence)
    tiny = time_of(r for r in mine if r.total_ns < r.count * thresholds.TINY_KERNEL_NS)
    if tiny >= thresholds.DOMINANT_SHARE * time[label]:
        return Verdict("overhead", f"{says}, most of them too small to fill the GPU{tail}", facts.confidence)
    nearer = dominant(
        {limit: time_of(r for r in mine if r.limit == limit) for limit in ("compute", "memory_bandwidth")}
    )
    return Verdict(nearer, f"{says} ({percent(reached)} of their roof){tail}", LESS_SURE[facts.confidence])


def _told_by_names(head: str, tail: str, facts: Facts) -> Verdict:
    families = family_shares(facts.kernels.rows)
    for name, label, says in (
        ("matrix", "compute", "matrix products and attention"),
        ("streaming", "memory_bandwidth", "kernels that stream memory"),
    ):
        if families.get(name, 0.0) >= thresholds.DOMINANT_SHARE:
            return Verdict(
                label, f"{head}, {percent(families[name])} of it in {says} (told by their names){tail}", "low"
            )
    longest = facts.kernels.rows[0].name if facts.kernels.rows else "unnamed kernels"
    return Verdict(
        "unknown", f"{head}; no kind of kernel dominates, most time is in {longest[:60]}{tail}", "low"
    )


def _without_device(facts: Facts) -> Verdict:
    ops = facts.results.get("ops")
    top = max(ops.by_name, key=lambda row: row.self_ns, default=None) if ops is not None else None
    host = f" On the host most time is in {top.name}." if top is not None else ""
    recorded = Capability.DEVICE_WORK in facts.capabilities
    remedy = "" if recorded else f" To see a GPU, {how_to_capture(facts.sources)[Capability.DEVICE_WORK]}."
    return Verdict("unknown", f"The trace holds no GPU work.{host}{remedy}", "low")


def _part(label: str, facts: Facts) -> str:
    return f"GPU idle ({REASONS[main_reason(facts)[0]]})" if label == "overhead" else label


def _span(facts: Facts) -> str:
    return "trace" if facts.steps.kind == "window" else "step"


def _speedup(removable_ns: int, facts: Facts) -> str:
    rest = facts.wall_ns - removable_ns
    factor = facts.wall_ns / rest if rest > 0 else 0.0
    if factor < 1.05:
        return ""
    return f"; up to {factor:.1f}×" if factor < 10 else "; more than 10×"
