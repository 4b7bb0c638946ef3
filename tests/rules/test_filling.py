"""Kernels that do not fill the device, on a device that still works on earlier steps when the first one begins."""

from __future__ import annotations

import pytest
from compute_situations import H100
from linked import Linked

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.rules import judge

BLOCK = {"block": [256, 1, 1], "occupancy": 100.0}  # 132 multiprocessors hold 1056 of these at a time
WHOLE, TAIL = {"grid": [2112, 1, 1], **BLOCK}, {"grid": [1584, 1, 1], **BLOCK}  # 2 waves and 1.5


def behind(*, before: dict[str, object], within: dict[str, object]) -> Linked:
    """The host launches two steps of 1 ms while the device has another 1 ms of work from before the recording."""
    b = Linked()
    b.rows["devices"].append(H100)
    for i in range(10):
        b.kernel("wave", i * 100, i * 100 + 100, **before)
    for i in range(20):
        b.launch("wave", called=i * 10, start=1000 + i * 100, end=1100 + i * 100, **within)
    b.call("cudaDeviceSynchronize", 200, 3000)
    b.step(1, 0, 100)
    b.step(2, 100, 3000)
    return b


def tails(b: Linked) -> list[str]:
    trace = b.trace()
    return [f.claim for f in judge(trace, run_analyzers(trace)[0]).findings if f.code == "TAIL001"]


@pytest.mark.parametrize("before", [WHOLE, TAIL])
def test_what_a_last_wave_leaves_empty_is_told_of_the_steps(before: dict[str, object]) -> None:
    (claim,) = tails(behind(before=before, within=TAIL))
    assert claim == "What the last wave of blocks leaves empty amounts to 25 % of the step."


def test_what_the_device_still_did_of_earlier_steps_is_no_part_of_them() -> None:
    assert tails(behind(before=TAIL, within=WHOLE)) == []
