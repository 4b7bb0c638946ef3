"""What the roofline analyzer hands on. Times are ns; None is not known, never 0."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.text import Text


@dataclass(frozen=True, slots=True)
class DeviceRoof:
    """Which GPU a device is taken for. Without one there is no roof, and `reason` says why."""

    rank: int
    device: int
    name: str | None  # as the trace calls it
    gpu: str | None
    reason: Text
    source: str | None  # of the figures, all in one line
    verified: bool  # whether a published source has every figure that a roof here rests on
    bandwidth_gb_per_s: float | None = None
    tf32_tflops: float | None = None
    bf16_tflops: float | None = None
    fp32_tflops: float | None = None
    peaks: Mapping[str, float] = field(default_factory=dict)
    """FLOP/s on matrix units by type of arithmetic, and as "fp32 vector" and "fp64 vector" without them."""
    sources: Mapping[str, str] = field(default_factory=dict)
    """Where each figure of the GPU is from, by its name for --peak."""


@dataclass(frozen=True, slots=True)
class RooflineRow:
    """All executions of one kernel for one distinct call of an op, on one kind of GPU.

    `flops` and `bytes` are sums over the executions (of communication: `bytes` of the messages); `roof_ns` is the
    time that the GPU would need for them at its peaks, `efficiency` that time by the time taken. `limit` is the
    larger part of the roof, compute or memory_bandwidth. `bound` is compute, memory_bandwidth, balanced, latency,
    communication or unknown; `reason` says what made it less sure, or how a kernel can be above its roof.
    """

    kernel: str
    op: str | None
    input_dims: str | None
    count: int
    total_ns: int
    flops: float | None
    bytes: float | None
    roof_ns: float | None
    efficiency: float | None
    limit: str | None
    bound: str
    confidence: str  # high | medium | low
    source: str
    """Of a cost: shapes, around, forward, signature, ambiguous, experts, mapping or replayed. Of a label without
    one: blocks or name; or none."""
    dtype: str | None
    matrix_units: bool | None  # Tensor Cores or Matrix Cores, told by the name
    reason: str = ""
    input_types: str | None = None
    gpu: str | None = None  # as in DeviceRoof
    unverified: tuple[str, ...] = ()  # what the roof rests on and no published source has, as for --peak
    longest: int | None = None  # row of `kernels`


@dataclass(frozen=True, slots=True)
class KernelRoof:
    """All executions of one kernel name; sums are None unless every execution has a cost."""

    bound: str
    confidence: str
    flops: int | None
    bytes: int | None
    percent_of_roof: float | None


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where the labels come from: shares of the summed kernel time; 0 without kernels.

    cost, communication, name_only, blocks_only and unknown add up to 1; `blocks_only` has no cost and blocks too few
    for half of the GPU. `messages` is the part of communication whose bytes are known, `mapping` and `replayed` are
    the parts of cost that a second trace gave, and torch on the meta device.
    """

    cost: float
    communication: float
    name_only: float
    unknown: float
    blocks_only: float = 0.0
    messages: float = 0.0
    mapping: float = 0.0
    replayed: float = 0.0

    @property
    def costed(self) -> float:
        """The share whose work is known: FLOPs and bytes, or the bytes of its message."""
        return self.cost + self.messages


@dataclass(frozen=True, slots=True)
class Roofline:
    """`bound_ns` is kernel time by label; `achieved_flops` is of all kernels with a cost.

    `of_kernel` holds, for each row of the trace's `kernels`, its index in `rows`; shape (kernels,).
    """

    devices: tuple[DeviceRoof, ...]
    rows: tuple[RooflineRow, ...]
    coverage: Coverage
    bound_ns: Mapping[str, int] = field(default_factory=dict)
    kernels: Mapping[str, KernelRoof] = field(default_factory=dict)
    achieved_flops: float | None = None
    above_roof: tuple[RooflineRow, ...] = ()
    of_kernel: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64), compare=False)
