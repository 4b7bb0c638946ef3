"""What is known of the cost of every kernel, and how it was found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from traceanalyzer.cost.call import Cost

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]


class Source(IntEnum):
    """How the cost of a kernel was found."""

    NONE = 0
    SHAPES = 1
    AROUND = 2
    FORWARD = 3
    SIGNATURE = 4
    AMBIGUOUS = 5
    EXPERTS = 6
    MAPPING = 7
    REPLAYED = 8


@dataclass(frozen=True, slots=True)
class Costed:
    """One distinct call with a cost. `op` is its name, `input_dims` the shapes as recorded."""

    op: str
    input_dims: str | None
    input_types: str | None
    cost: Cost


@dataclass(frozen=True)
class KernelCosts:
    """Arrays of shape (kernels,): the kernel's own part of its op's cost; NaN where unknown.

    `call` indexes `calls`, -1 where unknown; `source` holds `Source`. `whole_bytes` is the traffic of the whole
    op: its working set.
    """

    flops: Floats
    bytes: Floats
    whole_bytes: Floats
    call: Ints
    source: Ints
    calls: tuple[Costed, ...]
