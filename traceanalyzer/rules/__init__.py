"""From numbers to answers: one class per rule, grouped by subject; each docstring is a page of `explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from traceanalyzer.analyzers import called, load_plugins
from traceanalyzer.model.trace import Capability, remedies
from traceanalyzer.rules import (
    batching,
    capture,
    communication,
    compilation,
    compute,
    copies,
    filling,
    host,
    host_communication,
    host_pauses,
    host_stalls,
    idle,
    kernels,
    loading,
    memory,
    memory_use,
    nsight,
    operators,
    opportunities,
    ranks,
    recording,
    streams,
    transfers,
    waits,
)
from traceanalyzer.rules.base import Facts, Particular, Rule
from traceanalyzer.rules.checked import checked, words
from traceanalyzer.rules.findings import SEVERITIES, Finding, NotAssessed, Passed, Verdict
from traceanalyzer.rules.places import placed
from traceanalyzer.rules.same_time import told_once
from traceanalyzer.rules.savings import Combined, with_savings
from traceanalyzer.rules.verdict import verdict
from traceanalyzer.text import join, said, say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from traceanalyzer.model.trace import Trace

ENTRY_POINTS = "traceanalyzer.rules"

RULES: tuple[Rule, ...] = (
    *idle.RULES,
    *waits.RULES,
    *host.RULES,
    *loading.RULES,
    *copies.RULES,
    *transfers.RULES,
    *communication.RULES,
    *ranks.RULES,
    *host_communication.RULES,
    *kernels.RULES,
    *compilation.RULES,
    *streams.RULES,
    *compute.RULES,
    *opportunities.RULES,
    *batching.RULES,
    *filling.RULES,
    *operators.RULES,
    *memory.RULES,
    *memory_use.RULES,
    *capture.RULES,
    *recording.RULES,
)
ON_HOST_ALONE: tuple[Rule, ...] = (*host_stalls.RULES, *host_pauses.RULES)
ALL_RULES: tuple[Rule, ...] = (*RULES, *ON_HOST_ALONE, *nsight.RULES)
"""Also those that are asked about some traces only: without device work, and exports of Nsight Systems."""
_SURENESS = {"high": 1.0, "medium": 0.6, "low": 0.3}


class Judgement(NamedTuple):
    """What the rules say of a trace.

    Findings come in the order of what they save times how sure they are; one that counts mostly the time of another
    comes right behind that one.
    """

    verdict: Verdict
    findings: tuple[Finding, ...]
    not_assessed: tuple[NotAssessed, ...]
    passed: tuple[Passed, ...]
    combined: Combined | None


def judge(trace: Trace, results: Mapping[str, Any]) -> Judgement:
    """The verdict, the findings, what could not be checked, what is fine, and what all cures save together."""
    capabilities = trace.capabilities
    if results["steps"].kind != "window":
        capabilities = capabilities | {Capability.STEPS}  # named by the user
    facts = Facts(results, capabilities, trace.sources)
    findings: list[Finding] = []
    not_assessed: list[NotAssessed] = []
    passed: list[Passed] = []
    on_host_alone = () if Capability.DEVICE_WORK in capabilities or facts.memory_only else ON_HOST_ALONE
    for rule in (*RULES, *on_host_alone, *(nsight.RULES if facts.of_nsys else ())):
        _apply(rule, facts, findings, not_assessed, passed)
    findings = [placed(trace, finding) for finding in findings]
    plugins, problems = load_plugins(ENTRY_POINTS)
    not_assessed += [
        NotAssessed("PLUGIN", say("A plugin with rules could not be loaded"), said(p)) for p in problems
    ]
    for plugin in plugins:
        found: list[Finding] = []
        try:
            words("code", plugin.code), words("title", plugin.title)
            _apply(plugin, facts, found, not_assessed, passed)
            findings += [placed(trace, checked(finding)) for finding in found]
        except Exception as error:  # a broken plugin must not take the report down
            failed = say("the rule failed with {kind}: {error}", kind=type(error).__name__, error=error)
            code, title = (called(plugin, name) for name in ("code", "title"))
            not_assessed.append(NotAssessed(code, said(title), failed))
    findings.sort(key=_importance)  # by what is at stake: that order stays where no saving can be told
    replayed, combined = with_savings(trace, results, findings)
    distrusted = combined is not None and bool(combined.distrust)
    ordered = replayed if distrusted else told_once(sorted(replayed, key=_importance))
    return Judgement(verdict(facts, combined, ordered), ordered, tuple(not_assessed), tuple(passed), combined)


def _apply(
    rule: Rule, facts: Facts, findings: list[Finding], not_assessed: list[NotAssessed], passed: list[Passed]
) -> None:
    missing = sorted(rule.requires - facts.capabilities)
    if missing:
        needs = join("; ", list(remedies(missing, facts.sources)))
        not_assessed.append(NotAssessed(rule.code, rule.title, needs))
        return
    if isinstance(rule, Particular) and (lacking := rule.lacks(facts)):
        not_assessed.append(NotAssessed(rule.code, rule.title, said(lacking)))
        return
    found: Iterable[Finding] = tuple(rule.check(facts))
    findings.extend(found)
    if not found:
        passed.append(Passed(rule.code, rule.title))


def _importance(finding: Finding) -> tuple[float, int, str]:
    saving = finding.saving_ns[1] if finding.saving_ns else 0
    return (-saving * _SURENESS[finding.confidence], SEVERITIES.index(finding.severity), finding.code)


__all__ = ["ALL_RULES", "ENTRY_POINTS", "RULES", "Facts", "Judgement", "Rule", "judge"]
