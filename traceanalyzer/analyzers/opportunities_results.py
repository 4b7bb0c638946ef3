"""Work that could run at the same time, or as one kernel. Times are ns and sums over devices; None is not known."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FusionRow:
    """One chain of kernels that follow each other on a stream and each pass over about the same data.

    `kernel_ns` is what each of `kernels` takes, in sum `total_ns`. `bytes` is the range of traffic with memory that one
    kernel in place of them would save, `saving_ns` that at the memory's bandwidth, no more than the kernels take: at
    least the second reading of what one hands to the next, at most the writing as well. None without shapes or the
    GPU's bandwidth.
    """

    kernels: tuple[str, ...]
    ops: tuple[str | None, ...]
    form: str  # a key of analyzers.fusion.FORMS
    count: int
    total_ns: int
    kernel_ns: tuple[int, ...]
    share: float  # of the summed kernel time
    bytes: tuple[int, int] | None
    saving_ns: tuple[int, int] | None
    longest: int | None = None  # row of `kernels`: the first kernel of the longest one
    longest_ns: int | None = None  # from its start to the end of the last

    @property
    def chain(self) -> str:
        """Its ops, or kernels where those are not known, in the order in which they run."""
        return " → ".join(op or kernel for op, kernel in zip(self.ops, self.kernels, strict=True))


@dataclass(frozen=True, slots=True)
class Fusion:
    """Chains with the largest saving first."""

    rows: tuple[FusionRow, ...]
    total_ns: int  # of all chains
    share: float


@dataclass(frozen=True, slots=True)
class OverlapRow:
    """Communication or copies of one name that run while no kernel computes, and what keeps the next kernel waiting.

    `dependency` is same_stream (the kernel behind it shares its stream), late (it was launched only after this had
    begun), event (its stream waits for an event of this stream: it needs the result) or unknown. `beside_ns` is
    compute in the same step that no communication or copy runs beside: as much could hide the exposed time.
    """

    kind: str  # communication | copy
    name: str
    dependency: str
    count: int
    exposed_ns: int
    share: float  # of the devices' wall time
    beside_ns: int
    saving_ns: tuple[int, int]
    longest: int | None = None  # row of `kernels` or `copies`: the one with most exposed time
    longest_ns: int = 0  # of which so much is exposed


@dataclass(frozen=True, slots=True)
class Overlap:
    """Rows with most exposed time first."""

    rows: tuple[OverlapRow, ...]
