"""Two analyses → what changed, per step: the step, its parts, every named thing, peaks of memory, findings.

Figures are means per step of one device (the partition) or of one rank (everything else), so that runs with other
numbers of steps compare. A difference lies within the spread when the means of the steps are closer together than
steps of one run let expect: Welch's t interval at 95 %, with the smaller sample's degrees of freedom; but not where
every step of one run is longer than all of the other by `thresholds.STEPS_APART`, as one step out of line makes any
interval wide.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.host_time import KINDS
from traceanalyzer.analyzers.matching import matched
from traceanalyzer.analyzers.per_step import per_step
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules.comparison_results import Change, Comparison, FindingChange, LaunchChange, PeakChange
from traceanalyzer.rules.vocabulary import capability
from traceanalyzer.text import Text, join, said, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.host_time import HostTime
    from traceanalyzer.analyzers.per_step import Key, PerStep
    from traceanalyzer.analyzers.results import Breakdown, DeviceBreakdown, Partition, Steps
    from traceanalyzer.rules.analysis import Analysis

    Sample = NDArray[np.float64]

PARTS = ("compute", "communication", "copy", "idle")
_T_95 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Two-sided 95 % quantiles of Student's t for 1 to 10 degrees of freedom."""
_BY_FAMILY = ("kernels", "collectives")


def compare(before: Analysis, after: Analysis) -> Comparison:
    """Everything that differs between two analyses."""
    steps = (_steps(before), _steps(after))
    timed = not (is_snapshot(before) or is_snapshot(after))
    walls = tuple(_walls(a) if timed else np.array([]) for a in (before, after))
    parts = _parts(before, after, walls)
    step = _sum(parts, _change("step", walls[0], walls[1])) if parts else _change("step", walls[0], walls[1])
    whole = _to_share_out(step)
    parts = tuple(_shared(part, whole) for part in parts)
    by_name = [per_step(a.trace, s) for a, s in zip((before, after), steps, strict=True)]
    tables = {
        subject: _table(by_name[0][subject], by_name[1][subject], whole, by_family=subject in _BY_FAMILY)
        for subject in by_name[0]
    }
    return Comparison(
        before,
        after,
        step and _shared(step, whole),
        parts,
        _idle_causes(before, after, whole),
        tables,
        _launches(before, after),
        _memory(before, after),
        _findings(before, after),
        _notes(before, after, steps),
    )


def _to_share_out(step: Change | None) -> int:
    """The step's change, where there is one: shares of noise, or of next to nothing, say nothing."""
    if step is None or step.within_spread:
        return 0
    hardly = thresholds.HARDLY_A_CHANGE * max(step.before_ns or 0, step.after_ns or 0)
    return 0 if abs(step.change_ns) < hardly else step.change_ns


def _steps(analysis: Analysis) -> Steps:
    steps: Steps = analysis["steps"]
    return steps


def _devices(analysis: Analysis) -> tuple[DeviceBreakdown, ...]:
    found: Breakdown | None = analysis.results.get("breakdown")
    return found.devices if found else ()


def is_snapshot(analysis: Analysis) -> bool:
    """Whether it shows memory alone: what a snapshot marks as steps took time, but nothing says what for."""
    timed = ("kernels", "copies", "ops", "api_calls")
    return not any(analysis.trace.tables[name].num_rows for name in timed) and bool(
        analysis.trace.tables["segments"].num_rows or analysis.trace.tables["blocks"].num_rows
    )


def _walls(analysis: Analysis) -> Sample:
    """The wall time of every step of every device; of every rank where no device did anything."""
    walls = [p.wall_ns for d in _devices(analysis) for p in d.steps]
    return np.array(walls or [s.duration_ns for s in _steps(analysis).steps], np.float64)


def _parts(before: Analysis, after: Analysis, walls: Sequence[Sample]) -> tuple[Change, ...]:
    """The four parts, or what the host did where neither run has a device; one says nothing of the other."""
    if not all(map(len, walls)):
        return ()
    if not _devices(before) and not _devices(after):
        return _host_parts(before, after)
    if not (_devices(before) and _devices(after)):
        return ()
    taken: Mapping[str, Callable[[Partition], int]] = {
        "compute": lambda p: p.compute_ns,
        "communication": lambda p: p.exposed_communication_ns,
        "copy": lambda p: p.exposed_copy_ns,
        "idle": lambda p: p.idle_ns,
    }
    changes = []
    for name in PARTS:
        samples = [
            np.array([taken[name](p) for d in _devices(a) for p in d.steps], np.float64)
            for a in (before, after)
        ]
        changes.append(_change(name, *samples))
    return tuple(c for c in changes if c)


def _host_parts(before: Analysis, after: Analysis) -> tuple[Change, ...]:
    """What the host did in either run; empty where that is not known of both."""
    spent: list[HostTime] = [a["host_time"] for a in (before, after)]
    if not all(time.rows for time in spent):
        return ()
    steps = [len(time.rows[0].step_ns) for time in spent]
    changes = []
    for kind in KINDS:
        samples = [
            np.array(time.of(kind).step_ns or [0] * count, np.float64)
            for time, count in zip(spent, steps, strict=True)
        ]
        if samples[0].any() or samples[1].any():
            changes.append(_change(kind, *samples))
    return tuple(c for c in changes if c)


def _sum(parts: Iterable[Change], step: Change | None) -> Change | None:
    """The step as the sum of its parts: equal but for rounding, and then exactly."""
    if step is None:
        return None
    old, new = (sum(getattr(p, side) or 0 for p in parts) for side in ("before_ns", "after_ns"))
    return replace(step, before_ns=old, after_ns=new, change_ns=new - old)


def _change(name: str, before: Sample, after: Sample) -> Change | None:
    """A quantity with one value per step; None where a run has no step."""
    if not len(before) or not len(after):
        return None
    old, new = round(float(before.mean())), round(float(after.mean()))
    return Change(name, None, old, new, new - old, None, None, None, _within(before, after))


def _within(before: Sample, after: Sample) -> bool | None:
    """Whether the means differ by no more than the spread over steps lets expect; None below two steps."""
    if min(len(before), len(after)) < 2:
        return None
    shorter, longer = sorted((before, after), key=lambda sample: float(sample.min()))
    if longer.min() > shorter.max() * (1 + thresholds.STEPS_APART):
        return False
    error = float(np.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after)))
    freedom = min(len(before), len(after)) - 1
    quantile = _T_95[freedom - 1] if freedom <= len(_T_95) else 1.96 + 2.7 / freedom
    return abs(float(after.mean() - before.mean())) <= quantile * error


def _shared(change: Change, whole: int) -> Change:
    return replace(change, share=change.change_ns / whole if whole else None)


def _table(
    before: Mapping[Key, PerStep], after: Mapping[Key, PerStep], whole: int, *, by_family: bool
) -> tuple[Change, ...]:
    """The rows of one subject, the largest change first. What one run did not record is not compared."""
    if not before or not after:
        return ()
    rows = []
    for (name, dims), olds, news in matched(before, after, by_family=by_family):
        old, new = _total(before, olds), _total(after, news)
        old_ns, new_ns = (None if x is None else round(float(x.ns.mean())) for x in (old, new))
        change = (new_ns or 0) - (old_ns or 0)
        how: Literal["name", "family", "before", "after"] = (
            "before" if not news else "after" if not olds else "name" if olds == news else "family"
        )
        rows.append(
            Change(
                name,
                dims,
                old_ns,
                new_ns,
                change,
                None if old is None else float(old.count.mean()),
                None if new is None else float(new.count.mean()),
                change / whole if whole else None,
                _within(old.ns.astype(np.float64), new.ns.astype(np.float64)) if old and new else None,
                how,
                (tuple(n for n, _ in olds), tuple(n for n, _ in news)) if how == "family" else ((), ()),
            )
        )
    rows.sort(key=lambda r: (-abs(r.change_ns), r.name, r.input_dims or "", r.matched))
    return tuple(rows)


def _total(found: Mapping[Key, PerStep], keys: Sequence[Key]) -> PerStep | None:
    total = None
    for key in keys:
        total = found[key] if total is None else total + found[key]
    return total


def _idle_causes(before: Analysis, after: Analysis, whole: int) -> tuple[Change, ...]:
    """Idle time by its cause; over the whole window, so its spread over steps is not known."""
    told = all(_devices(a) and Capability.LAUNCHES in a.trace.capabilities for a in (before, after))
    if not told:
        return ()

    def per_device_step(analysis: Analysis) -> dict[str, tuple[float, float]]:
        steps = max(1, sum(len(d.steps) for d in _devices(analysis)))
        sums: dict[str, tuple[float, float]] = {}
        for cause in (c for d in _devices(analysis) for c in d.idle_causes):
            ns, gaps = sums.get(cause.cause, (0.0, 0.0))
            sums[cause.cause] = ns + cause.total_ns / steps, gaps + cause.gaps / steps
        return sums

    old, new = per_device_step(before), per_device_step(after)
    rows = []
    for cause in sorted(old.keys() | new.keys()):
        (b, b_gaps), (a, a_gaps) = old.get(cause, (0.0, 0.0)), new.get(cause, (0.0, 0.0))
        change = round(a) - round(b)
        rows.append(Change(cause, None, round(b), round(a), change, b_gaps, a_gaps,
                           change / whole if whole else None, None))  # fmt: skip
    return tuple(sorted(rows, key=lambda r: (-abs(r.change_ns), r.name)))


def _launches(before: Analysis, after: Analysis) -> tuple[LaunchChange, ...]:
    """Delay, depth and cost of launches, by device."""
    fields: tuple[tuple[str, Text, Literal["ns", "count"]], ...] = (
        ("delay_p50_ns", say("delay_p50"), "ns"),
        ("queue_p50", say("queue_p50"), "count"),
        ("queue_max", say("queue_max"), "count"),
        ("launch_call_p50_ns", say("launch_call_p50"), "ns"),
    )
    sides = [
        {(d.rank, f"GPU {d.device}"): d for d in found.devices}
        if (found := a.results.get("launches"))
        else {}
        for a in (before, after)
    ]
    return tuple(
        LaunchChange(say("{place}: {what}", place=place, what=what), unit,
                     *(getattr(device, field, None) for device in pair))
        for place, *pair in _paired(*sides)
        for field, what, unit in fields
    )  # fmt: skip


def _memory(before: Analysis, after: Analysis) -> tuple[PeakChange, ...]:
    """Peaks by device, from memory events and from snapshots."""
    sides = []
    for analysis in (before, after):
        found, snapshot = analysis.results.get("memory"), analysis.results.get("snapshot")
        sides.append(
            {(t.rank, f"{t.device_type} {t.device}"): t for t in (found.timelines if found else ())}
            | {
                (d.rank, say("snapshot, GPU {device}", device=d.device)): d
                for d in (snapshot.devices if snapshot else ())
            }
        )
    rows = [
        PeakChange(
            say("{place}: {what}", place=place, what=what), *(getattr(one, field, None) for one in pair)
        )
        for place, *pair in _paired(*sides)
        for what, field in (
            (say("allocated"), "peak_allocated_bytes"),
            (say("reserved"), "peak_reserved_bytes"),
        )
    ]
    return tuple(row for row in rows if row.before_bytes or row.after_bytes)


def _paired(
    before: Mapping[tuple[int, str], Any], after: Mapping[tuple[int, str], Any]
) -> Iterator[tuple[Text, Any, Any]]:
    """(which device, before, after) by rank and device; in their order where only the numbering differs."""
    if len(before) == len(after):
        pairs = list(zip(sorted(before), sorted(after), strict=True))
    else:
        pairs = [(key, key) for key in sorted(before.keys() | after.keys())]
    for old, new in pairs:
        name, now = (say("rank {rank}, {device}", rank=rank, device=device) for rank, device in (old, new))
        place = name if old == new else say("{before} → {after}", before=name, after=now)
        yield place, before.get(old), after.get(new)


def _findings(before: Analysis, after: Analysis) -> tuple[FindingChange, ...]:
    """What is new first, then what is gone, then what stays; only what both runs could be checked for."""
    sides: list[dict[str, tuple[str, ...]]] = []
    titles: dict[str, str] = {}
    for analysis in (before, after):
        claims: dict[str, tuple[str, ...]] = {}
        for finding in analysis.findings:
            claims[finding.code] = (*claims.get(finding.code, ()), finding.claim)
            titles[finding.code] = finding.title
        sides.append(claims)
    old, new = sides
    unknown = {rule.code for analysis in (before, after) for rule in analysis.not_assessed}
    rows = [
        FindingChange(
            code,
            titles[code],
            "stays" if code in old and code in new else "new" if code in new else "gone",
            old.get(code, ()),
            new.get(code, ()),
        )
        for code in sorted(titles.keys() - unknown)
    ]
    return tuple(sorted(rows, key=lambda r: (("new", "gone", "stays").index(r.state), r.code)))


def _notes(before: Analysis, after: Analysis, steps: tuple[Steps, Steps]) -> tuple[Text, ...]:
    """What a reader must know before trusting the figures."""
    notes = []
    kinds = tuple(s.kind for s in steps)
    timed = not (is_snapshot(before) or is_snapshot(after))
    if timed and "window" in kinds:
        where = say("AFTER") if kinds[0] != "window" else say("BEFORE")
        if kinds == ("window", "window"):
            where = say("BEFORE and AFTER")
        notes.append(
            say("No steps are marked in {where}: the whole trace counts as one step. "
                "Call prof.step() once per iteration, or name the steps with --step.", where=where)
        )  # fmt: skip
    elif timed and min(len(s.steps) for s in steps) < 2:
        notes.append(say("One run has a single step: how far steps vary is not known."))
    names = [sorted({d.name or "unknown" for d in _devices(a)}) for a in (before, after)]
    if all(names) and names[0] != names[1]:
        notes.append(say("The runs were on different devices: {before} and {after}.",
                         before=", ".join(names[0]), after=", ".join(names[1])))  # fmt: skip
    ranks = [len({s.rank for s in one.steps}) for one in steps]
    if ranks[0] != ranks[1]:
        notes.append(say("BEFORE has {before} {before:rank|ranks} and AFTER {after}: figures are the mean of a rank.",
                         before=ranks[0], after=ranks[1]))  # fmt: skip
    missing = [a.trace.capabilities for a in (before, after)]
    only = [said(capability(c)) for c in sorted(missing[0] ^ missing[1], key=lambda c: c.value)]
    if only:
        notes.append(say("Recorded in one run only, so not compared: {what}.", what=join(", ", only)))
    if any(note.kind == "partial" for a in (before, after) for s in a.trace.sources for note in s.notes):
        notes.append(say("Part of an input could not be read: figures of that run may be too small."))
    made_up = [any(s.simulated for s in a.trace.sources) for a in (before, after)]
    if any(made_up):
        sides = (say("BEFORE"), say("AFTER"))
        where = say("BEFORE and AFTER") if all(made_up) else sides[made_up.index(True)]
        notes.append(say("Simulated: a simulator wrote {where}, not a profiler on a GPU.", where=where))
    return tuple(notes)
