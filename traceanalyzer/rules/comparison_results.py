"""What a comparison of two analyses hands on; figures are means per step, as `comparison.py` says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from traceanalyzer.display import Displayed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.text import Text


@dataclass(frozen=True, slots=True)
class Change:
    """One thing in both runs, per step. None: not in that run, or not known.

    `share` is the change as a share of the step's change, where that is more than noise. `within_spread` is None
    where there are too few steps to tell. `matched` says how the two were found to be the same: by `name`, by
    `family` (names that differ in what a compiler puts in), or that only one run has it.
    """

    name: str
    input_dims: str | None
    before_ns: int | None
    after_ns: int | None
    change_ns: int
    before_count: float | None
    after_count: float | None
    share: float | None
    within_spread: bool | None
    matched: Literal["name", "family", "before", "after"] = "name"
    variants: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """With `family`: the names before and after."""

    @property
    def ratio(self) -> float | None:
        """The change as a share of what it was before."""
        return self.change_ns / self.before_ns if self.before_ns else None


@dataclass(frozen=True, slots=True)
class PeakChange:
    """The peak of one kind of memory on one device."""

    name: str
    before_bytes: int | None
    after_bytes: int | None

    @property
    def change_bytes(self) -> int | None:
        """After minus before, where both are known."""
        if self.before_bytes is None or self.after_bytes is None:
            return None
        return self.after_bytes - self.before_bytes


@dataclass(frozen=True, slots=True)
class FindingChange:
    """A rule that found something in one run or both."""

    code: str
    title: str
    state: Literal["new", "gone", "stays"]
    before: tuple[str, ...]  # claims
    after: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LaunchChange:
    """How launches reach a device, before and after; None where nothing tells."""

    name: str
    unit: Literal["ns", "count"]
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Comparison(Displayed):
    """What changed from `before` to `after`.

    `parts` sum to `step` exactly; `idle_causes` sum to the idle part but for rounding. `tables` holds, by subject of
    `analyzers.per_step`, the largest changes first: their times run side by side, so only parts add up to the step.
    """

    before: Analysis
    after: Analysis
    step: Change | None
    parts: tuple[Change, ...]
    idle_causes: tuple[Change, ...]
    tables: Mapping[str, tuple[Change, ...]]
    launches: tuple[LaunchChange, ...]
    memory: tuple[PeakChange, ...]
    findings: tuple[FindingChange, ...]
    notes: tuple[Text, ...]

    def __repr__(self) -> str:
        """A line for a prompt."""
        change = "nothing to compare" if self.slower is None else f"{self.slower:+.1%} per step"
        return f"<Comparison of {self.before!r} and {self.after!r}: {change}>"

    @property
    def slower(self) -> float | None:
        """By how much the step is slower, as a share of before; negative when faster."""
        return self.step.ratio if self.step else None
