"""Waves of blocks on a device of 132 multiprocessors, told by grid, block and Kineto's estimate of the occupancy."""

from __future__ import annotations

import numpy as np
import pytest

from traceanalyzer.analyzers.waves import waves


@pytest.mark.parametrize(
    ("blocks", "threads", "occupancy", "expected"),
    [
        (16 * 132 * 4, 128, 100.0, 4.0),  # 16 blocks of 4 warps at a time
        (16 * 132, 128, 50.0, 2.0),
        (1056, 256, 100.0, 1.0),
        (320, 512, 61.0, 1.0),  # 38.8 of 64 warps: all blocks that there are, though only 2 by 2 would fit so
        (1, 1024, 0.0, np.nan),  # rounded to nothing
        (1320, 64, np.nan, np.nan),
        (0, 64, 50.0, np.nan),
    ],
)
def test_waves(blocks: int, threads: int, occupancy: float, expected: float) -> None:
    found = waves(np.array([blocks]), np.array([threads]), np.array([132]), np.array([occupancy]))
    assert found[0] == pytest.approx(expected, nan_ok=True)
