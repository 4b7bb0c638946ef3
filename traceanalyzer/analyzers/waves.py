"""How many rounds of blocks a kernel takes: whether it fills the device, and for how long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import floats, ints
from traceanalyzer.model.join import first_match

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

_WARP = 32
_MOST_WARPS = 64
_ROUNDED = 1.0  # percent: Kineto writes whole ones


def waves(
    blocks: NDArray[np.int64],
    threads: NDArray[np.int64],
    sms: NDArray[np.int64],
    occupancy: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Blocks by the blocks that the device holds at a time; NaN where that is not known.

    A multiprocessor holds as many blocks as the estimated occupancy (percent, NaN or 0 when unknown) of 64 warps says
    (48 or 32 on smaller ones, where this is an upper bound of the blocks and so a lower bound of the waves). Where all
    blocks fit at once, Kineto's estimate is what they are of it, and there is one wave.
    """
    warps = -(-threads // _WARP)
    percent = np.nan_to_num(occupancy)
    held = np.floor(percent / 100 * _MOST_WARPS / np.maximum(warps, 1) + 0.01)
    known = (percent > 0) & (sms > 0) & (blocks > 0)
    all_at_once = np.abs(100 * blocks * warps / np.maximum(sms * _MOST_WARPS, 1) - percent) <= _ROUNDED
    taken = np.where(all_at_once, 1.0, blocks / np.maximum(held * sms, 1))
    return np.where(known & (all_at_once | (held >= 1)), taken, np.nan)


def occupancies(kernels: pa.Table) -> NDArray[np.float64]:
    """The profiler's estimate in percent, NaN where it is not known; shape (kernels,).

    Kineto writes 0 where its calculator refuses a kernel, as for much shared memory or as many registers. So a 0 counts
    only where the warps per multiprocessor, recorded beside it, round to 0 % as well.
    """
    percent = floats(kernels, "occupancy")
    rounds_to_0 = floats(kernels, "warps_per_sm") * 100 / _MOST_WARPS < _ROUNDED / 2  # NaN is not below
    return np.where((percent > 0) | rounds_to_0, percent, np.nan)


def multiprocessors(trace: Trace) -> NDArray[np.int64]:
    """The number of multiprocessors under each kernel, 0 when unknown."""
    kernels, devices = trace.kernels, trace.devices
    keys = [(ints(kernels, c), ints(devices, c)) for c in ("rank", "device")]
    row = first_match([k for k, _ in keys], [d for _, d in keys])
    return np.append(ints(devices, "sms", 0), 0)[row]
