"""Settings of PyTorch's CUDA caching allocator, as PYTORCH_CUDA_ALLOC_CONF spells them and as snapshots keep them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from traceanalyzer.errors import UsageError
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 1 << 20
MIN_BLOCK = 512
SMALL_BLOCK = 1 << 20  # up to here a block comes from a small segment
INTERVALS = 16  # roundup_power2_divisions has a value per power of two from 1 MiB to 32 GiB
KEYS = "expandable_segments, max_split_size_mb, roundup_power2_divisions and garbage_collection_threshold"


@dataclass(frozen=True, slots=True)
class AllocatorSettings:
    """The settings that change where requests are placed; sizes in bytes."""

    expandable: bool = False
    max_split: int | None = None  # larger free blocks are not split
    divisions: tuple[int, ...] = (0,) * INTERVALS  # 0 and 1: round up to 512 bytes
    collect_above: float = 0.0  # share of the allowed memory; 0 never collects

    def rounded(self, requested: int) -> int:
        """The size of the block for a request."""
        if requested < MIN_BLOCK:
            return MIN_BLOCK
        interval = min(max(requested.bit_length() - 21, 0), INTERVALS - 1)
        divisions = self.divisions[interval]
        if divisions > 1 and requested > MIN_BLOCK * divisions:
            step = (1 << (requested.bit_length() - 1)) // divisions
            return -(-requested // step) * step
        return -(-requested // MIN_BLOCK) * MIN_BLOCK


def segment_bytes(block: int) -> int:
    """What the allocator asks the driver for when it has no block of a size (CUDACachingAllocator)."""
    if block <= SMALL_BLOCK:
        return 2 * MIB
    if block < 10 * MIB:
        return 20 * MIB
    return -(-block // (2 * MIB)) * 2 * MIB


def recorded(settings: Mapping[str, Any], *, expandable: bool) -> AllocatorSettings:
    """The settings that a snapshot keeps; `expandable` tells whether one of its segments is."""
    most = settings.get("max_split_size")
    threshold = settings.get("garbage_collection_threshold")
    per_size = settings.get("roundup_power2_divisions")
    divisions = [0] * INTERVALS
    for megabytes, value in per_size.items() if isinstance(per_size, dict) else ():
        if str(megabytes).isdecimal() and isinstance(value, int):
            divisions[min(max(int(megabytes), 1).bit_length() - 1, INTERVALS - 1)] = value
    return AllocatorSettings(
        expandable or settings.get("expandable_segments") is True,
        most if isinstance(most, int) and most > 0 else None,
        tuple(divisions),
        float(threshold) if isinstance(threshold, int | float) else 0.0,
    )


def changed(base: AllocatorSettings, text: str) -> AllocatorSettings:
    """The settings with what a text in the form of PYTORCH_CUDA_ALLOC_CONF changes.

    Raises:
        UsageError: a key that has no effect here, or a value that PyTorch refuses.
    """
    for part in filter(None, re.split(r",(?![^\[]*\])", text.replace(" ", ""))):
        key, _, value = part.partition(":")
        base = _with(base, key, value)
    return base


def _with(base: AllocatorSettings, key: str, value: str) -> AllocatorSettings:
    match key:
        case "expandable_segments" if value in ("True", "False"):
            return replace(base, expandable=value == "True")
        case "max_split_size_mb" if value.isdecimal() and int(value) > 20:
            return replace(base, max_split=int(value) * MIB)
        case "garbage_collection_threshold" if re.fullmatch(r"0?\.\d+", value) and float(value) > 0:
            return replace(base, collect_above=float(value))
        case "roundup_power2_divisions":
            return replace(base, divisions=_divisions(value))
        case "expandable_segments" | "max_split_size_mb" | "garbage_collection_threshold":
            takes = {
                "expandable_segments": say("True or False"),
                "max_split_size_mb": say("a whole number above 20"),
                "garbage_collection_threshold": say("a number between 0 and 1"),
            }
            raise UsageError(
                say("{key} takes {takes}, not {value!r}", key=key, takes=takes[key], value=value)
            )
        case _:
            raise UsageError(
                say(
                    "{key!r} cannot be tried: the settings with an effect on a replay are {names}",
                    key=key,
                    names=KEYS,
                )
            )


def _divisions(value: str) -> tuple[int, ...]:
    """`8`, or `[256:1,512:2,>:4]`: a value from each size (in MiB) on to the next one named."""
    if _is_power_of_2(value):
        return (int(value),) * INTERVALS
    pairs = [pair.partition(":") for pair in value.strip("[]").split(",")]
    if not all((size == ">" or _is_power_of_2(size)) and _is_power_of_2(n) for size, _, n in pairs):
        raise UsageError(
            say(
                "roundup_power2_divisions takes a power of 2, or a list such as [256:1,512:2,>:4], not {value!r}",
                value=value,
            )
        )
    divisions, position = [0] * INTERVALS, 0
    for size, _, number in pairs:
        end = INTERVALS - 1 if size == ">" else min(int(size).bit_length() - 1, INTERVALS - 1)
        for interval in range(position, end + 1):
            divisions[interval] = int(number)
        position = end + 1
    return tuple(divisions)


def _is_power_of_2(text: str) -> bool:
    return text.isdecimal() and int(text) > 0 and int(text) & (int(text) - 1) == 0
