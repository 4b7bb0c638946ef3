"""What findings would save: the recorded steps are replayed with each cure, and with all of them together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.replay.fixes import RULES
from traceanalyzer.analyzers.replay.ranks import OF_ALL_RANKS, Replay, replay_size, replayable
from traceanalyzer.errors import UsageError
from traceanalyzer.rules.base import LAUNCHED
from traceanalyzer.rules.findings import SEVERITIES, Evidence, severity
from traceanalyzer.rules.wording import percent
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traceanalyzer.analyzers.replay.ranks import Cure
    from traceanalyzer.analyzers.results import Steps
    from traceanalyzer.model.trace import Trace
    from traceanalyzer.rules.findings import Finding

_UNKNOWN_CURE = say("a bound, from part of the time at stake to all of it: this cure cannot be replayed")
_NO_LAUNCHES = say(
    "a bound, from part of the time at stake to all of it: without launches nothing can be replayed"
)
_TOO_LARGE = say(
    "a bound, from part of the time at stake to all of it: one step is too large to be replayed for every finding; "
    "`trace-analyze whatif` replays one cure at a time"
)
_NEEDS = LAUNCHED
_MARKEDLY = 1.1
_MORE = (
    Evidence(
        say(
            "the replay saves more than this time: what comes after it begins earlier, or runs beside other work"
        )
    ),
)


@dataclass(frozen=True, slots=True)
class Combined:
    """All cures that can be replayed, together; times are ns of the median step, (low, high).

    `ranks` were replayed together, joined by their collectives; `rank` is the first of them. `saving_ns` is None when
    the replay of the unchanged steps misses the measured ones: `distrust` says by how much, and no finding has a saving
    in time then. `findings` counts the cures that went in.
    """

    codes: tuple[str, ...]
    findings: int
    rank: int
    ranks: tuple[int, ...]
    first_step: int
    steps: int
    total_steps: int
    measured_ns: int
    error_share: float
    saving_ns: tuple[int, int] | None
    distrust: str = ""


def with_savings(
    trace: Trace, results: Mapping[str, Any], findings: Sequence[Finding]
) -> tuple[tuple[Finding, ...], Combined | None]:
    """The findings with replayed savings where their cure can be replayed, and all such cures together.

    A finding whose cure is not known to the replay keeps its bound. The second part is None when nothing can be
    replayed: no launches, or no finding with a cure that the replay knows.
    """
    curable = [f for f in findings if f.code in RULES or f.code in OF_ALL_RANKS or f.speedups]
    if not curable or not trace.capabilities >= _NEEDS:
        reason = _NO_LAUNCHES if curable else _UNKNOWN_CURE
        return tuple(_bounded(f, reason) for f in findings), None
    try:
        ranks = _affordable(trace, results["steps"], 2 * len(curable) + 4)
    except UsageError:
        return tuple(_bounded(f, _NO_LAUNCHES) for f in findings), None
    if not ranks:
        return tuple(_bounded(f, _TOO_LARGE) for f in findings), None
    replay = Replay.of(trace, results["steps"], ranks, thresholds.FINDINGS_REPLAY_NODES)
    cures = {id(f): cure for f in curable if (cure := _cure(replay, f))}
    cured = [f for f in curable if id(f) in cures]
    if not cured:
        return tuple(_bounded(f, _UNKNOWN_CURE) for f in findings), None
    if not replay.trusted:
        reason = say(
            "a replay of the unchanged steps misses the measured ones by {error}",
            error=percent(abs(replay.error_share)),
        )
        untold = _combined(replay, cured, results["steps"].median_ns, None, reason)
        return tuple(_without_saving(f, reason) for f in findings), untold
    step_ns = results["steps"].median_ns
    saved = {
        id(f): _of_step(replay.outcome(f.code, cures[id(f)]).saving_ns(replay.step_ns), replay, step_ns)
        for f in cured
    }
    together = _of_step(replay.together("all", cures.values()).saving_ns(replay.step_ns), replay, step_ns)
    judged = tuple(
        _with_saving(f, saved[id(f)], step_ns) if id(f) in saved else _bounded(f, _UNKNOWN_CURE)
        for f in findings
    )
    return judged, _combined(replay, cured, step_ns, together)


def _of_step(saving_ns: tuple[int, int], replay: Replay, step_ns: int) -> tuple[int, int]:
    """What is saved of the mean replayed step, as the same share of the step that is shown: the median."""
    least, most = (round(ns * step_ns / max(replay.step_ns, 1)) for ns in saving_ns)
    return least, most


def _affordable(trace: Trace, steps: Steps, replays: int) -> tuple[int, ...]:
    """The ranks that can be replayed so often: all of them, else the first, else none.

    Raises:
        UsageError: no rank shows what a replay needs.
    """
    every = replayable(trace, steps)
    for ranks in dict.fromkeys((every, every[:1])):
        visits = replays * replay_size(trace, steps, ranks, thresholds.FINDINGS_REPLAY_NODES)
        if visits <= thresholds.FINDINGS_REPLAY_MOST * len(ranks):
            return ranks
    return ()


def _cure(replay: Replay, finding: Finding) -> Cure | None:
    """What the finding's advice changes; None when this replay does not know it."""
    try:
        return replay.of_rule(finding.code, {s.kernel: (s.least, s.most) for s in finding.speedups})
    except UsageError:
        return None


def _with_saving(finding: Finding, saving_ns: tuple[int, int], step_ns: int) -> Finding:
    """The finding with what its cure saves of the step.

    A cure that saves more than the rule thought at stake, such as device work where it looked at idle time, is as
    urgent as what it saves, and says so where that is markedly more.
    """
    if saving_ns[1] == 0:
        reason = say("replayed, the step does not get shorter: something else holds it up")
        return replace(finding, saving_ns=None, saving_reason=reason)
    worth = severity(saving_ns[1] / max(step_ns, 1))
    worst = (
        finding.severity if finding.severity == "info" else min(finding.severity, worth, key=SEVERITIES.index)
    )
    more = _MORE if finding.saving_ns and saving_ns[1] > _MARKEDLY * finding.saving_ns[1] else ()
    return replace(
        finding,
        severity=worst,
        evidence=(*finding.evidence, *more),
        saving_ns=saving_ns,
        saving_basis="replay",
        saving_reason="",
    )


def _bounded(finding: Finding, reason: str) -> Finding:
    return finding if finding.saving_ns is None else replace(finding, saving_reason=reason)


def _without_saving(finding: Finding, reason: str) -> Finding:
    return finding if finding.saving_ns is None else replace(finding, saving_ns=None, saving_reason=reason)


def _combined(
    replay: Replay,
    curable: Sequence[Finding],
    step_ns: int,
    saving_ns: tuple[int, int] | None,
    distrust: str = "",
) -> Combined:
    graph = replay.graphs[0]
    codes = tuple(dict.fromkeys(f.code for f in curable))
    return Combined(
        codes, len(curable), graph.rank, replay.ranks, graph.first_step, graph.steps, graph.total_steps,
        step_ns, replay.error_share, saving_ns, distrust,
    )  # fmt: skip
