"""What limits ops, modules, steps and the run. Times are ns, shares are of 1; None is not known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Limit:
    """The label of some device time, time-weighted over its kernels.

    `bound` is a label of `RooflineRow`, for steps and the run also copy and overhead (idle time), or mixed where none
    leads. `share` is the part of the time with that label (the largest part when mixed), `efficiency` the time at
    the roofs by the time taken of the kernels with a roof, `costed` the part of the time that has one. `evidence` is
    the kernel with most time, its op and how much of the time it takes.
    """

    bound: str
    share: float
    total_ns: int
    efficiency: float | None
    costed: float
    confidence: str  # high | medium | low
    evidence: str | None
    by_bound: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LimitRow:
    """A limit with what it is the limit of: an op, a module with those inside it, or a step of one device."""

    level: str  # op | module | step | run
    name: str
    limit: Limit


@dataclass(frozen=True, slots=True)
class Limits:
    """Ops and modules with most device time first, steps in their order, the run last of all as one row."""

    ops: tuple[LimitRow, ...]
    modules: tuple[LimitRow, ...]
    steps: tuple[LimitRow, ...]
    run: LimitRow | None
