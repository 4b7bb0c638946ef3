"""What a second trace says of the kernels inside CUDA graphs. Times are ns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MappedRow:
    """All kernels of one name that belong to one op, module and line of the program.

    `how` is order (name, grid, block and neighbours agree), grid (name, grid and block), name, or none.
    """

    kernel: str
    op: str | None
    module: str | None
    python: str | None  # file:line of the innermost function of the user around the op
    how: str
    count: int
    total_ns: int


@dataclass(frozen=True, slots=True)
class Mapped:
    """Shares are of the time of the kernels without an op of their own, and add up to 1; None when there are none.

    `source` is the second trace; rows come with most time first.
    """

    source: str
    wanted_ns: int
    order: float | None
    grid: float | None
    name: float | None
    none: float | None
    rows: tuple[MappedRow, ...]

    @property
    def matched(self) -> float | None:
        """The share that was found at all."""
        return None if self.none is None else 1.0 - self.none
