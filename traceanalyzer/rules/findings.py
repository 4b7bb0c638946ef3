"""What rules say: findings, what was checked and fine, and what could not be looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from traceanalyzer.analyzers import thresholds
from traceanalyzer.display import Displayed

if TYPE_CHECKING:
    from traceanalyzer.text import Text

Severity = Literal["high", "medium", "low", "info"]
Confidence = Literal["high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("high", "medium", "low", "info")
"""The worst first."""


def severity(share: float) -> Severity:
    """How bad a loss of this share of the step is."""
    if share >= thresholds.SEVERE_SHARE:
        return "high"
    return "medium" if share >= thresholds.CAUSE_SHARE else "low"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One fact that supports a finding.

    `table` is the table with the row that proves it, `row` its number in the trace's; `sheet` is the report's table
    that lists it, where it is not that of the same name, and `name` the row's name there. `start_ns`/`duration_ns` is
    the place on the timeline, the longest one of several; `rank` with `device` and `stream`, or `pid` and `tid`, is
    the lane. `python` is the user's line behind it, `file:line`. A rule gives a row or a name, and `rules.places` the
    time, the lane and the line.
    """

    text: Text
    table: str | None = None
    row: int | None = None
    start_ns: int | None = None
    duration_ns: int | None = None
    name: str | None = None
    rank: int | None = None
    device: int | None = None
    stream: int | None = None
    pid: int | None = None
    tid: int | None = None
    sheet: str | None = None
    python: str | None = None


@dataclass(frozen=True, slots=True)
class Speedup:
    """What a cure does to a kernel: the shares of its time that remain at the `least` and at the `most` it does."""

    kernel: str
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Counted:
    """Time that a finding counts: `ns` of the `of_ns` that there is of `what`, over all devices and steps."""

    what: str
    ns: int
    of_ns: int


@dataclass(frozen=True, slots=True)
class Finding(Displayed):
    """A cause, its evidence and its cure.

    `severity` is by what is at stake: the share of the step that the cure is aimed at, or that it saves when replayed.
    `saving_ns` is the (low, high) range per step; None when it cannot be told, and `saving_reason` says why.
    `saving_basis` says where it comes from: `replay`, the recorded steps run again with the cure, or `bound`, the
    time that the cure is aimed at. `speedups` is what the cure does to kernels, for the replay.
    `counts` is the time that it is about, and `part_of` the code of a stronger finding that counts most of the same
    time: this saving does not come on top of that one's.
    """

    code: str
    title: Text
    severity: Severity
    claim: Text
    evidence: tuple[Evidence, ...]
    fix: Text
    confidence: Confidence
    saving_ns: tuple[int, int] | None = None
    saving_bytes: int | None = None
    saving_reason: str = ""
    saving_basis: Literal["bound", "replay"] = "bound"
    speedups: tuple[Speedup, ...] = ()
    counts: tuple[Counted, ...] = ()
    part_of: str | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines of code that the evidence names, each once."""
        return tuple(dict.fromkeys(e.python for e in self.evidence if e.python))


@dataclass(frozen=True, slots=True)
class NotAssessed:
    """A rule that could not look, and what to capture so that it can."""

    code: str
    title: Text
    needs: Text


@dataclass(frozen=True, slots=True)
class Passed:
    """A rule that looked and found nothing wrong."""

    code: str
    title: Text


@dataclass(frozen=True, slots=True)
class Verdict:
    """`bottleneck` is compute, memory_bandwidth, latency, communication, overhead, copy, mixed or unknown."""

    bottleneck: str
    headline: Text
    confidence: Confidence
