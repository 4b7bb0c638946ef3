"""One sentence: what limits this run, and what removing it could be worth.

The four parts of the breakdown become labels: compute (or memory bandwidth or latency, as the roofline of the kernels
says, or only their names where there is none), communication, copy (with the idle time that copies of pageable
memory cause) and overhead (all other idle time). A label is dominant with half of the time or a lead of ten
points; otherwise the verdict is mixed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.families import family_shares
from traceanalyzer.analyzers.roofline import dominant
from traceanalyzer.rules.base import ORDINARY
from traceanalyzer.rules.findings import Confidence, Verdict
from traceanalyzer.rules.host_verdict import host_verdict
from traceanalyzer.rules.measured_verdict import measured_verdict
from traceanalyzer.rules.memory_verdict import memory_verdict
from traceanalyzer.rules.ranks import straggler
from traceanalyzer.rules.roofs import roofline, time_of
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.rules.wording import percent
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.analyzers.roofline_results import RooflineRow
    from traceanalyzer.rules.base import Facts
    from traceanalyzer.rules.findings import Finding
    from traceanalyzer.rules.savings import Combined

    Replay = tuple[Combined | None, Sequence[Finding]]  # all cures together, and what each saves

# Why the device is idle, as the second half of a headline.
REASONS = {
    "slow_launches": say("the host launches too slowly"),
    "pauses": say("the host pauses and launches nothing"),
    "host_sync": say("the host waits for the GPU within the step"),
    "dataloader": say("the step waits for the next batch"),
    "host_copy": say("the host is busy with copies of pageable memory"),
    "allocator": say("the host allocates and frees memory"),
    "host_communication": say("the host waits for other ranks"),
    "gc": say("Python collects garbage"),
    "compile": say("the host compiles or loads code"),
    "launch_latency": say("the gaps between launched kernels add up"),
    "dependency": say("launched work waits for other work"),
    "no_more_work": say("nothing more is launched before the step ends"),
    "unknown": say("the trace does not show why, because the launches were not recorded"),
}
# The findings whose cures the replay knows.
CURED_BY = {"slow_launches": "IDLE001", "pauses": "IDLE004", "host_sync": "SYNC001", "dataloader": "INPUT001",
            "host_copy": "COPY001", "allocator": "ALLOC001", "host_communication": "COMM006",
            "gc": "GC001", "compile": "COMPILE001"}  # fmt: skip
# What limits the kernels of a label, as part of a headline.
LIMITS = {
    "compute": say("limited by arithmetic"),
    "memory_bandwidth": say("limited by memory bandwidth"),
    "balanced": say("limited by arithmetic and memory alike"),
    "latency": say("that are far from both limits of the GPU"),
    "unknown": say("of unknown limits"),
}
LESS_SURE: dict[Confidence, Confidence] = {"high": "medium", "medium": "low", "low": "low"}


def verdict(facts: Facts, combined: Combined | None = None, findings: Sequence[Finding] = ()) -> Verdict:
    """The verdict on a trace; it promises what replays of the findings give, where there are any."""
    if not facts.wall_ns:
        return memory_verdict(facts) or measured_verdict(facts, LIMITS) or host_verdict(facts)
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
        return _dominant(ranked[0], facts, (combined, findings))
    parts = [
        say("{part} {share}", part=_part(label, facts), share=percent(facts.share(time[label])))
        for label in ranked[:2]
    ]
    return Verdict(
        "mixed",
        say("No single cause: {parts} of the {span}", parts=join(" + ", parts), span=_span(facts)),
        LESS_SURE[facts.confidence],
    )


def _dominant(label: str, facts: Facts, replay: Replay) -> Verdict:
    if label == "compute":
        return _busy(facts)
    span = _span(facts)
    if label == "communication":
        return Verdict(label, _communication(span, facts, replay), facts.confidence)
    idle = facts.sum("idle_ns")
    reason, reason_ns = main_reason(facts)
    if label == "copy":
        cost = facts.sum("exposed_copy_ns") + facts.idle_ns("host_copy")
        says = say(
            "Copies and the waits for them take {share} of the {span}{gain}",
            share=percent(facts.share(cost)),
            span=span,
            gain=_speedup(cost, facts, _of_cause("COPY001", facts, replay)),
        )
        return Verdict(label, says, facts.confidence)
    unknown = reason == "unknown"
    gain = "" if unknown else _speedup(reason_ns, facts, _of_cause(CURED_BY.get(reason), facts, replay))
    headline = say(
        "GPU idle {share} of the {span}: {reason}{gain}",
        share=percent(facts.share(idle)),
        span=span,
        reason=REASONS[reason],
        gain=gain,
    )
    return Verdict("overhead", headline, "low" if unknown else facts.confidence)


def _communication(span: Text, facts: Facts, replay: Replay) -> Text:
    """Whether the time goes into waiting for one rank, or into what compute could hide."""
    exposed = facts.sum("exposed_communication_ns")
    late = straggler(facts)
    waiting_ns = late.caused_ns * len(facts.results["peers"].rows) if late else 0
    if late and waiting_ns >= thresholds.DOMINANT_SHARE * exposed:
        return say(
            "Communication alone takes {share} of the {span}, most of it in waiting for rank {rank}{gain}",
            share=percent(facts.share(exposed)),
            span=span,
            rank=late.rank,
            gain=_speedup(waiting_ns, facts, _of_cause("COMM003", facts, replay)),
        )
    return say(
        "Communication alone takes {share} of the {span}: compute does not hide it{gain}",
        share=percent(facts.share(exposed)),
        span=span,
        gain=_speedup(exposed, facts, _of_cause("COMM001", facts, replay)),
    )


def main_reason(facts: Facts) -> tuple[str, int]:
    """The key of REASONS with the most idle time, and that time."""
    time = {cause: facts.idle_ns(cause) for cause in REASONS}
    time["pauses"] = facts.pause_ns
    time["slow_launches"] = facts.idle_ns(*ORDINARY) - facts.pause_ns
    reason = max(time, key=lambda key: time[key])
    return reason, time[reason]


def _busy(facts: Facts) -> Verdict:
    """The device computes most of the time: what limits its kernels, measured where they have a cost."""
    head = say(
        "GPU computes {share} of the {span}",
        share=percent(facts.share(facts.sum("compute_ns"))),
        span=_span(facts),
    )
    idle = facts.share(facts.sum("idle_ns"))
    tail = (
        say("; idle {idle}: {reason}", idle=percent(idle), reason=REASONS[main_reason(facts)[0]])
        if idle >= thresholds.IDLE_SHARE
        else ""
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
        parts = [
            say("{limit} {share}", limit=LIMITS[name], share=percent(time[name] / total))
            for name in ranked[:2]
        ]
        return Verdict(
            "mixed",
            say("{head}: {parts} of the kernel time{tail}", head=head, parts=join(" + ", parts), tail=tail),
            LESS_SURE[facts.confidence],
        )
    mine = [r for r in rows if r.bound == label]
    reached = sum(r.roof_ns or 0.0 for r in mine) / time_of(mine)
    says = say(
        "{head}, {share} of it in kernels {limit}",
        head=head,
        share=percent(time[label] / total),
        limit=LIMITS[label],
    )
    tiny = time_of(r for r in mine if r.total_ns < r.count * thresholds.TINY_KERNEL_NS)
    if label == "latency" and tiny >= thresholds.DOMINANT_SHARE * time[label]:
        return Verdict(
            "overhead",
            say("{says}, most of them too small to fill the GPU{tail}", says=says, tail=tail),
            facts.confidence,
        )
    sure = time_of(r for r in mine if r.confidence != "low") >= thresholds.DOMINANT_SHARE * time[label]
    return Verdict(
        label,
        say("{says} ({reached} of their roof){tail}", says=says, reached=percent(reached), tail=tail),
        facts.confidence if sure else LESS_SURE[facts.confidence],
    )


def _told_by_names(head: str, tail: str, facts: Facts) -> Verdict:
    families = family_shares(facts.kernels.rows)
    for name, label, says in (
        ("matrix", "compute", say("matrix products and attention")),
        ("streaming", "memory_bandwidth", say("kernels that stream memory")),
    ):
        if families.get(name, 0.0) >= thresholds.DOMINANT_SHARE:
            return Verdict(
                label,
                say(
                    "{head}, {share} of it in {kernels} (told by their names){tail}",
                    head=head,
                    share=percent(families[name]),
                    kernels=says,
                    tail=tail,
                ),
                "low",
            )
    longest = facts.kernels.rows[0] if facts.kernels.rows else None
    most = (
        say("; the longest, {name}, has {share}", name=_short(longest.name), share=percent(longest.share))
        if longest
        else ""
    )
    return Verdict(
        "unknown",
        say("{head}; no kind of kernel dominates{most}{tail}", head=head, most=most, tail=tail),
        "low",
    )


def _short(kernel: str) -> str:
    """The name of a kernel without its template arguments."""
    return (kernel.removeprefix("void ").split("<", 1)[0] or kernel)[:60]


def _part(label: str, facts: Facts) -> str:
    if label == "overhead":
        return say("GPU idle ({reason})", reason=REASONS[main_reason(facts)[0]])
    return word(label)


def _span(facts: Facts) -> Text:
    return say("trace") if facts.steps.kind == "window" else say("step")


def _speedup(removable_ns: int, facts: Facts, replayed: float | None) -> str:
    """How many times as fast at most, by what a replay saves, else without this time; "" for next to nothing."""
    share = facts.share(removable_ns) if replayed is None else replayed
    factor = 1 / (1 - share) if share < 1 else 10.0
    if factor < 1.05:
        return ""
    return say("; up to {factor:.1f}×", factor=factor) if factor < 10 else say("; more than 10×")


def _of_cause(code: str | None, facts: Facts, replay: Replay) -> float | None:
    """The share of the step that the cure of the cause saves, replayed; None where no replay speaks for all ranks."""
    combined, findings = replay
    ranks = {device.rank for device in facts.breakdown.devices}
    if (
        combined is None
        or combined.saving_ns is None
        or not ranks <= {*combined.ranks}
        or code not in combined.codes
    ):
        return None
    saved_ns = max((f.saving_ns[1] for f in findings if f.code == code and f.saving_ns), default=0)
    return saved_ns / facts.steps.median_ns if facts.steps.median_ns else None
