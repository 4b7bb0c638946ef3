"""What findings would save: the recorded steps are replayed with each cure, and with all of them together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.changes import united
from traceanalyzer.analyzers.replay_fixes import RULES
from traceanalyzer.analyzers.replay_rows import node_times, stretch
from traceanalyzer.analyzers.replay_whatif import Replay
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules.findings import SEVERITIES, severity
from traceanalyzer.rules.wording import percent
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traceanalyzer.analyzers.changes import Change
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
_NEEDS = frozenset({Capability.DEVICE_WORK, Capability.LAUNCHES})


@dataclass(frozen=True, slots=True)
class Combined:
    """All cures that can be replayed, together, on one rank; times are ns of the mean step, (low, high).

    `saving_ns` is None when the replay of the unchanged steps misses the measured ones: `distrust` says by how
    much, and no finding has a saving in time then. `findings` counts the cures that went in.
    """

    codes: tuple[str, ...]
    findings: int
    rank: int
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
    curable = [f for f in findings if f.code in RULES or f.speedups]
    if not curable or not trace.capabilities >= _NEEDS:
        reason = _NO_LAUNCHES if curable else _UNKNOWN_CURE
        return tuple(_bounded(f, reason) for f in findings), None
    visits = _smallest_replay(trace, results["steps"]) * (2 * len(curable) + 4)
    if visits > thresholds.FINDINGS_REPLAY_MOST:
        return tuple(_bounded(f, _TOO_LARGE) for f in findings), None
    replay = Replay.of(trace, results["steps"], most_nodes=thresholds.FINDINGS_REPLAY_NODES)
    if not replay.trusted:
        reason = say(
            "a replay of the unchanged steps misses the measured ones by {error}",
            error=percent(abs(replay.error_share)),
        )
        return tuple(_without_saving(f, reason) for f in findings), _combined(replay, curable, None, reason)
    cures = [_cure(replay, finding) for finding in curable]
    saved = {
        id(f): replay.outcome(f.code, *cure).saving_ns(replay.step_ns)
        for f, cure in zip(curable, cures, strict=True)
    }
    together = replay.outcome("all", united(c[0] for c in cures), united(c[1] for c in cures))
    judged = tuple(
        _with_saving(f, saved[id(f)], results["steps"].median_ns)
        if id(f) in saved
        else _bounded(f, _UNKNOWN_CURE)
        for f in findings
    )
    return judged, _combined(replay, curable, together.saving_ns(replay.step_ns))


def _cure(replay: Replay, finding: Finding) -> tuple[Change, Change]:
    if finding.speedups:
        return replay.fixes.shortened({s.kernel: (s.least, s.most) for s in finding.speedups})
    return replay.fixes.of_rule(finding.code)


def _with_saving(finding: Finding, saving_ns: tuple[int, int], step_ns: int) -> Finding:
    """A saving of the mean step, which a long one lifts: never more than the step that is shown, the median.

    A cure that saves more than the rule thought at stake, such as device work where it looked at idle time, is as
    urgent as what it saves.
    """
    saving_ns = min(saving_ns[0], step_ns), min(saving_ns[1], step_ns)
    if saving_ns[1] == 0:
        reason = say("replayed, the step does not get shorter: something else holds it up")
        return replace(finding, saving_ns=None, saving_reason=reason)
    worth = severity(saving_ns[1] / step_ns)
    worst = (
        finding.severity if finding.severity == "info" else min(finding.severity, worth, key=SEVERITIES.index)
    )
    return replace(finding, severity=worst, saving_ns=saving_ns, saving_basis="replay", saving_reason="")


def _bounded(finding: Finding, reason: str) -> Finding:
    return finding if finding.saving_ns is None else replace(finding, saving_reason=reason)


def _smallest_replay(trace: Trace, steps: Steps) -> int:
    """Calls and device work of the steps that would be replayed of the first rank."""
    own = [s for s in steps.steps if s.rank == steps.steps[0].rank]
    nodes = node_times(trace, own[0].rank)
    first, last = stretch(own, nodes, thresholds.FINDINGS_REPLAY_NODES)
    begin, end = np.searchsorted(nodes, (own[first].host_start_ns, own[last].end_ns))
    return int(end - begin)


def _without_saving(finding: Finding, reason: str) -> Finding:
    return finding if finding.saving_ns is None else replace(finding, saving_ns=None, saving_reason=reason)


def _combined(
    replay: Replay, curable: Sequence[Finding], saving_ns: tuple[int, int] | None, distrust: str = ""
) -> Combined:
    graph = replay.fixes.graph
    codes = tuple(dict.fromkeys(f.code for f in curable))
    return Combined(
        codes, len(curable), graph.rank, graph.first_step, graph.steps, graph.total_steps,
        replay.step_ns, replay.error_share, saving_ns, distrust,
    )  # fmt: skip
