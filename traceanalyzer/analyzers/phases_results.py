"""What a step consists of: phases of training or of serving. Times are ns, shares are of 1; None is not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceanalyzer.analyzers.limits_results import Limit


@dataclass(frozen=True, slots=True)
class PhaseRow:
    """All device work that was launched in one phase.

    `phase` is forward, backward, recompute or optimizer, prefill, decode or mixed (both in one batch), earlier
    (launched before the recording began) or other.
    `busy_ns` is time in which at least one stream ran work of the phase, summed over devices; `share` is of the time in
    which any work ran, and counts the time in which no other phase's work did. `calls` counts the ranges that mark the
    phase, None where nothing marks it.
    """

    phase: str
    calls: int | None
    kernels: int
    busy_ns: int
    share: float
    limit: Limit | None  # of its kernels


@dataclass(frozen=True, slots=True)
class GraphBreak:
    """A place at which torch.compile left the compiled code: a function that it had to resume in."""

    function: str
    calls: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """What torch.compile compiled: `regions` counts the distinct ones, `share` is of the kernel time.

    `breaks` is empty without stacks, where they cannot be seen.
    """

    regions: int
    calls: int
    host_ns: int
    share: float
    breaks: tuple[GraphBreak, ...]


@dataclass(frozen=True, slots=True)
class Utilisation:
    """FLOPs by what the devices' peak would do in the wall time (PaLM, appendix B).

    `hardware` counts all of them, `model` not those of recomputed work. They are lower bounds: `costed` is the share
    of the kernel time whose FLOPs are known.
    """

    model: float
    hardware: float
    flops: float
    peak_flops_per_s: float  # of one device
    dtype: str
    costed: float


@dataclass(frozen=True, slots=True)
class Phases:
    """`kind` is training, inference, or None when nothing tells; rows come in the order of a step.

    `several_share` is the time in which work of several phases runs: with it, the shares of the rows make 1.
    """

    kind: str | None
    rows: tuple[PhaseRow, ...]
    several_share: float
    recompute_share: float | None  # of the busy time without earlier work; None unless it is training
    graph_share: float | None  # of the kernel time, launched as CUDA graphs; None without launches
    compiled: Compiled | None
    utilisation: Utilisation | None
