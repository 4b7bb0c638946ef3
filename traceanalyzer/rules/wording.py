"""How numbers read in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Sequence


def duration(ns: float) -> str:
    """Three significant digits with the unit that fits: 1.21 s, 122 ms, 3.46 us."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if abs(ns) >= size * 0.9995:
            return f"{_three_digits(ns / size)} {unit}"
    return f"{ns:.0f} ns"


def size(nbytes: float) -> str:
    """Bytes with three significant digits in powers of 1024."""
    for unit, scale in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if abs(nbytes) >= scale:
            return f"{_three_digits(nbytes / scale)} {unit}"
    return f"{nbytes:.0f} B"


def percent(share: float) -> str:
    """A share of 1 as whole per cent; below 10 % with one decimal."""
    return f"{share * 100:.0f} %" if share >= 0.0995 or share == 0 else f"{share * 100:.1f} %"


def count(number: int, thing: str) -> Text:
    """`1 gap`, `1,024 gaps`: the catalogues hold `{number} {number:gap|gaps}`."""
    return Text(f"{{number}} {{number:{thing}|{plural(thing)}}}", {"number": f"{number:,}"})


def ranks(numbers: Sequence[int]) -> Text:
    """`rank 0`, `ranks 0, 2`, `ranks 0 to 7`."""
    if len(numbers) == 1:
        return say("rank {rank}", rank=numbers[0])
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 2 and last - first + 1 == len(numbers):
        return say("ranks {first} to {last}", first=first, last=last)
    return say("ranks {ranks}", ranks=", ".join(map(str, numbers)))


def plural(thing: str) -> str:
    """`gaps`, `copies`."""
    return f"{thing[:-1]}ies" if thing.endswith("y") else f"{thing}s"


def _three_digits(value: float) -> str:
    digits = max(0, 2 - len(str(int(abs(value)))) + 1)
    return f"{value:.{digits}f}"
