"""Of many devices, those that a report shows whole: one that is like most, and those that are not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.reporters import units
from traceanalyzer.reporters.facts import PARTS, parts_of
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.analyzers.results import DeviceBreakdown

MOST = 4  # up to so many are shown one after the other, whatever they are like


@dataclass(frozen=True, slots=True)
class Shown:
    """A device that is shown whole: its place among all, and why it was chosen of many."""

    number: int
    device: DeviceBreakdown
    why: Text | None


def shown(devices: Sequence[DeviceBreakdown]) -> tuple[Shown, ...]:
    """All of a few; of many the one nearest to the median, then those farthest from it, the farthest first.

    How far a device is from the others is the largest difference of one of its parts' shares of the wall time
    (compute, exposed communication, exposed copies, idle) from the median of that share over all devices.
    """
    if len(devices) <= MOST:
        return tuple(Shown(number, device, None) for number, device in enumerate(devices))
    shares = np.array([_shares(device) for device in devices])
    usual = np.median(shares, axis=0)
    apart = np.abs(shares - usual)
    far = apart.max(axis=1)
    typical = int(far.argmin())
    farthest = [int(i) for i in np.argsort(-far, kind="stable") if i != typical][: MOST - 1]
    odd = [i for i in farthest if far[i] > thresholds.ODD_DEVICE_SHARE]
    return (
        Shown(typical, devices[typical], say("like most of the {total} devices", total=len(devices))),
        *(Shown(i, devices[i], _difference(shares[i], usual, int(apart[i].argmax()))) for i in odd),
    )


def _shares(device: DeviceBreakdown) -> list[float]:
    wall = device.whole.wall_ns
    return [ns / wall if wall else 0.0 for _, ns in parts_of(device.whole)]


def _difference(own: np.ndarray, usual: np.ndarray, part: int) -> Text:
    return say(
        "unlike most: {part} {share}, elsewhere {usual}",
        part=list(PARTS.values())[part],
        share=units.share(own[part]),
        usual=units.share(usual[part]),
    )
