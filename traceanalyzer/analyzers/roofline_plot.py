"""The points and lines of a roofline plot, one plot per GPU model: work per byte against work per second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traceanalyzer.analyzers.roofline_results import DeviceRoof, Roofline


@dataclass(frozen=True, slots=True)
class Roof:
    """A horizontal line: the peak for one type of arithmetic. It meets the bandwidth's line at `ridge`, FLOP/byte."""

    dtype: str  # "bf16"; "fp32 vector" for the ordinary units
    flops_per_s: float
    ridge: float


@dataclass(frozen=True, slots=True)
class Point:
    """All executions of one kernel for one call of an op: a row of the roofline with FLOPs and bytes."""

    kernel: str
    op: str | None
    input_dims: str | None
    dtype: str | None
    bound: str  # as in RooflineRow
    confidence: str
    count: int
    total_ns: int
    intensity: float  # FLOP per byte
    flops_per_s: float
    efficiency: float | None


@dataclass(frozen=True, slots=True)
class RooflinePlot:
    """`bandwidth` (bytes/s) is the slope of the oblique line: FLOP/s = intensity · bandwidth.

    `points` come in the order of their time; `drawn_ns` is that of the points, `total_ns` that of all kernels on
    this GPU: what does no arithmetic (copies, gathers) or has no cost cannot be drawn.
    """

    gpu: str
    bandwidth: float
    roofs: tuple[Roof, ...]
    points: tuple[Point, ...]
    drawn_ns: int
    total_ns: int


def roofline_plots(roofline: Roofline) -> tuple[RooflinePlot, ...]:
    """One plot for each GPU whose bandwidth is known and that ran a kernel with arithmetic."""
    first = {device.gpu: device for device in reversed(roofline.devices) if device.gpu is not None}
    plots = (_plot(first[gpu], roofline) for gpu in sorted(first))
    return tuple(plot for plot in plots if plot is not None)


def _plot(device: DeviceRoof, roofline: Roofline) -> RooflinePlot | None:
    rows = [row for row in roofline.rows if row.gpu == device.gpu]
    points = tuple(
        Point(
            row.kernel,
            row.op,
            row.input_dims,
            row.dtype,
            row.bound,
            row.confidence,
            row.count,
            row.total_ns,
            row.flops / row.bytes,
            row.flops / row.total_ns * 1e9,
            row.efficiency,
        )
        for row in rows
        if row.flops and row.bytes and row.total_ns
    )
    if not points or device.gpu is None or device.bandwidth_gb_per_s is None:
        return None
    bandwidth = device.bandwidth_gb_per_s * 1e9
    used = {point.dtype for point in points}
    roofs = tuple(
        Roof(dtype, peak, peak / bandwidth)
        for dtype, peak in sorted(device.peaks.items(), key=lambda item: (-item[1], item[0]))
        if dtype in used or dtype == "fp32 vector"
    )
    drawn = sum(point.total_ns for point in points)
    return RooflinePlot(device.gpu, bandwidth, roofs, points, drawn, sum(row.total_ns for row in rows))
