"""Findings that count the same time: it can be saved once, so the weaker one is told under the stronger.

What a finding counts is known by what the time is spent on (`Finding.counts`), not nanosecond by nanosecond: of two
that count 70 % and 60 % of the same idle time, 30 % is the least that both count. So much is taken.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from traceanalyzer.analyzers import thresholds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.rules.findings import Finding


def told_once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The findings, each that counts mostly the time of a stronger one behind it, and with its code in `part_of`.

    Args:
        findings: the strongest first. Those without a saving in time promise nothing twice and stay where they are.
    """
    leaders: list[Finding] = []
    behind: dict[int, list[Finding]] = {}
    for finding in findings:
        leader = next((one for one in leaders if _mostly_within(finding, one)), None)
        if leader is None:
            leaders.append(finding)
        else:
            behind.setdefault(id(leader), []).append(replace(finding, part_of=leader.code))
    return tuple(one for leader in leaders for one in (leader, *behind.get(id(leader), ())))


def _mostly_within(finding: Finding, stronger: Finding) -> bool:
    """Whether the stronger one counts most of what this finding counts, and both promise to save it."""
    if not finding.saving_ns or not stronger.saving_ns:
        return False
    counted = sum(part.ns for part in finding.counts)
    return bool(counted) and shared_ns(finding, stronger) >= thresholds.DOMINANT_SHARE * counted


def shared_ns(finding: Finding, other: Finding) -> int:
    """The time that both count at least, in ns as the first finding counts."""
    of_other = {part.what: part.ns / part.of_ns for part in other.counts}
    return sum(
        round(max(0.0, part.ns / part.of_ns + of_other.get(part.what, 0.0) - 1) * part.of_ns)
        for part in finding.counts
    )
