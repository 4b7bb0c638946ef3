"""What limits a kernel: how near it comes to its roof, and whether it fills the device.

Near its roof, the larger term limits it. NVIDIA's rule (SOLBottleneck of Nsight Compute) asks for 60 % of a unit's
peak; bytes by time are as much of the bandwidth as ncu measures, while FLOPs leave out the instructions around them and
peaks hold for the boost clock, so half of the arithmetic's peak is taken.

Below, something else does. A device that is full for several waves hides latency: what is left is the instructions
of a kernel that calculates, and the accesses of one that only moves data. Otherwise it is latency: too few blocks, too
few warps, too little work. Without a roof a few blocks tell, otherwise the name, with low confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.families import family
from traceanalyzer.cost.kernel_costs import Source
from traceanalyzer.cost.names import matrix_units, uses_tf32, without_types
from traceanalyzer.hardware import SHORT_NAMES
from traceanalyzer.text import say

if TYPE_CHECKING:
    from traceanalyzer.cost.call import Cost
    from traceanalyzer.hardware import Gpu

SURE = ("low", "medium", "high")
BY_NAME = {"matrix": "compute", "streaming": "memory_bandwidth", "other": "unknown"}
_FULL = "the device is full, so that latency is hidden"


@dataclass(frozen=True, slots=True)
class Filling:
    """How the blocks of a launch fill the device: 0 and NaN where unknown, `occupancy` is a share of 1."""

    blocks: int
    sms: int
    waves: float
    occupancy: float

    @property
    def hides_latency(self) -> bool:
        """Whether the device is full, and for so long that the beginning and the end matter little."""
        return self.occupancy >= thresholds.FULL_OCCUPANCY and self.waves >= thresholds.FULL_WAVES

    @property
    def small(self) -> str:
        """What there is to say of fewer blocks than multiprocessors."""
        if not 0 < self.blocks < self.sms:
            return ""
        return say(
            "{blocks} {blocks:block|blocks} for {sms} multiprocessors", blocks=self.blocks, sms=self.sms
        )


@dataclass(frozen=True, slots=True)
class Work:
    """What one row's executions did, in sums; `working_set` is the bytes of the whole op in one execution."""

    duration_ns: int
    count: int
    flops: float
    bytes: float
    working_set: float
    filling: Filling

    @property
    def shared(self) -> bool:
        """Whether other kernels of the op have a part of its cost."""
        return self.bytes < self.working_set * self.count * 0.99


def guessed(name: str, filling: Filling) -> tuple[str, str, str]:
    """The label of a kernel without a roof, what tells it (blocks, name or none), and what makes it unsure.

    Blocks that leave half of the device empty cannot use half of any of its units.
    """
    if 0 < filling.blocks < thresholds.COMPUTE_BOUND * filling.sms:
        return "latency", "blocks", filling.small
    bound = BY_NAME[family(without_types(name))]
    return bound, "none" if bound == "unknown" else "name", "told by its name only"


def judged(work: Work, cost: Cost, name: str, gpu: Gpu | None, source: Source) -> dict[str, Any]:
    """Roof, efficiency, label and confidence of one row with a cost, as fields of `RooflineRow`."""
    dtype = "tf32" if cost.matrix and cost.dtype == "fp32" and uses_tf32(name) else cost.dtype
    on_matrix = cost.matrix and (dtype == "tf32" or (dtype != "fp32" and matrix_units(name) is not False))
    peak_figure = gpu.peak(dtype, matrix=on_matrix) if gpu else None
    peak = gpu.peak_flops(dtype, matrix=on_matrix) if gpu else None
    bandwidth = gpu.bandwidth if gpu else None
    if gpu is None or peak_figure is None or peak is None or bandwidth is None or not work.duration_ns:
        bound, _, teller = guessed(name, work.filling)
        unknown = dict.fromkeys(("roof_ns", "efficiency", "limit"))
        reason = f"the peaks of the GPU are not known: {teller}"
        return {**unknown, "bound": bound, "confidence": "low", "dtype": dtype, "reason": reason}
    compute_ns, memory_ns = work.flops / peak * 1e9, work.bytes / bandwidth * 1e9
    roof_ns = max(compute_ns, memory_ns)
    efficiency = roof_ns / work.duration_ns
    limit = "compute" if compute_ns > memory_ns else "memory_bandwidth"
    bound, sure, doubts = _bound(work, compute_ns, memory_ns, bandwidth)
    cache = (gpu.l2_mb or 0.0) * 1e6
    cached = bound == limit == "memory_bandwidth" and work.working_set < cache
    if cost.assumes:
        doubts.insert(0, cost.assumes)
    if cached:
        doubts.append("the working set fits the L2 cache")
    elif efficiency > thresholds.ABOVE_ROOF and _explained_by_cache(work, bandwidth, cache):
        doubts.append("a part of the data is still in the L2 cache")
    unverified = gpu.unverified(peak_figure, "bandwidth_gb_per_s", *(("l2_mb",) if cached else ()))
    if source is Source.AMBIGUOUS:
        doubts.append("launched by different calls elsewhere in the trace")
    if unverified or source in (Source.AROUND, Source.FORWARD, Source.SIGNATURE, Source.MAPPING):
        sure = min(sure, 1)
    if cost.assumes or cached or source is Source.AMBIGUOUS or efficiency > thresholds.ABOVE_ROOF:
        sure = 0
    return {
        "roof_ns": roof_ns,
        "efficiency": efficiency,
        "limit": limit,
        "bound": bound,
        "confidence": SURE[sure],
        "dtype": dtype,
        "unverified": tuple(SHORT_NAMES[name] for name in unverified),
        "reason": "; ".join(doubts),
    }


def _bound(work: Work, compute_ns: float, memory_ns: float, bandwidth: float) -> tuple[str, int, list[str]]:
    """The label, an index of SURE, and what speaks for or against it."""
    roof_ns = max(compute_ns, memory_ns)
    limit = "compute" if compute_ns > memory_ns else "memory_bandwidth"
    needed = thresholds.COMPUTE_BOUND if limit == "compute" else thresholds.MEMORY_BOUND
    efficiency = roof_ns / work.duration_ns
    if efficiency >= needed:
        near = abs(compute_ns - memory_ns) < thresholds.BALANCED_LEAD * roof_ns
        return "balanced" if near else limit, 2, []
    sure = 0 if efficiency >= thresholds.FAR_FROM_ROOF else 2
    if work.shared and limit == "memory_bandwidth":
        # each of an op's kernels may read all of its data: its own share is the least
        most = work.working_set * work.count / bandwidth * 1e9 / work.duration_ns
        return (limit, 0, ["shares its data with other kernels"]) if most >= needed else ("latency", sure, [])
    if work.filling.hides_latency:
        return "compute" if work.flops else "memory_bandwidth", min(sure, 1), [_FULL]
    return "latency", sure, [work.filling.small] if work.filling.small else []


def _explained_by_cache(work: Work, bandwidth: float, cache: float) -> bool:
    """Whether what cannot be in the cache, from the kernel before, takes no longer than the kernel."""
    beyond = max(0.0, work.bytes - work.count * cache)
    return beyond / bandwidth * 1e9 <= work.duration_ns
