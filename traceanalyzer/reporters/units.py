"""How numbers are printed, everywhere: three significant digits, the right unit, unknown is never 0.

Every function takes None for "not measured" and answers with `UNKNOWN`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UNKNOWN = "–"

_TIME = ((1, "ns"), (10**3, "µs"), (10**6, "ms"), (10**9, "s"))
_SIZE = ((1, "B"), (2**10, "KiB"), (2**20, "MiB"), (2**30, "GiB"), (2**40, "TiB"))


def duration(ns: float | None) -> str:
    """Nanoseconds as 640 ns, 3.46 µs, 122 ms or 1.21 s."""
    if ns is None:
        return UNKNOWN
    return _scaled(ns, _TIME) if ns else "0 s"


def change(ns: float | None) -> str:
    """A difference of durations with its sign: +46.7 ms, −3.10 µs."""
    return _signed(ns, duration)


def size_change(count: float | None) -> str:
    """A difference of sizes with its sign: +1.50 GiB."""
    return _signed(count, size)


def share_change(fraction: float | None) -> str:
    """A fraction with its sign: +12 %, −5.4 %."""
    return _signed(fraction, share)


def size(count: float | None) -> str:
    """Bytes as 512 B, 1.50 KiB, 340 MiB or 12.0 GiB."""
    return UNKNOWN if count is None else _scaled(count, _SIZE)


def count(value: int | None) -> str:
    """A whole number with thousands separators."""
    return UNKNOWN if value is None else f"{value:,}"


def number(value: float | None) -> str:
    """Three significant digits without a unit."""
    return UNKNOWN if value is None else three_digits(value)


def share(fraction: float | None) -> str:
    """A fraction of 1 as per cent: 54 %, 5.4 %, <0.1 %; 0 % only for exactly nothing."""
    if fraction is None:
        return UNKNOWN
    return percent(fraction * 100)


def percent(value: float | None) -> str:
    """Per cent as a reader wants it; what is there but small is not rounded to 0, nor a gap to 100."""
    if value is None:
        return UNKNOWN
    if 0 < value < 0.1:
        return "<0.1 %"
    if 99.5 <= value < 100:
        return f"{min(value, 99.9):.1f} %"
    return f"{value:.0f} %" if value >= 9.95 or value == 0 else f"{value:.1f} %"


def shares_of_whole(parts: Sequence[int]) -> list[str]:
    """The parts as per cent with one decimal that add up to exactly 100.0 (largest remainders)."""
    whole = sum(parts)
    if whole <= 0:
        return [UNKNOWN] * len(parts)
    tenths = [part * 1000 // whole for part in parts]
    remainders = [part * 1000 % whole for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda i: (-remainders[i], i))
    for i in by_remainder[: 1000 - sum(tenths)]:
        tenths[i] += 1
    return [f"{t // 10}.{t % 10} %" for t in tenths]


def saving(low_high: tuple[int, int] | None) -> str:
    """A range of nanoseconds: 12.0–18.4 ms."""
    if low_high is None:
        return UNKNOWN
    low, high = (duration(ns) for ns in low_high)
    if low == high:
        return high
    if low_high[0] <= 0:
        return say("up to {high}", high=high)
    number_, unit = low.split(" ")
    return f"{number_}–{high}" if high.endswith(" " + unit) else f"{low} – {high}"


def three_digits(value: float) -> str:
    """1.23, 12.3, 123, 1,234: three significant digits, more only before the point."""
    size_ = abs(value)
    for decimals, limit in ((2, 9.995), (1, 99.95)):
        if size_ < limit:
            return f"{value:.{decimals}f}"
    return f"{value:,.0f}"


def _signed(value: float | None, printed: Callable[[float], str]) -> str:
    if value is None:
        return UNKNOWN
    return f"{'+' if value > 0 else '−' if value < 0 else '±'}{printed(abs(value))}"


def _scaled(value: float, units: Sequence[tuple[int, str]]) -> str:
    """The value in the largest unit in which it prints as at least 1."""
    for (scale, unit), (larger, _) in pairwise(units):
        if abs(value) < larger - scale / 2:  # what would round up to the larger unit is printed in it
            return f"{value:.0f} {unit}" if scale == 1 else f"{three_digits(value / scale)} {unit}"
    scale, unit = units[-1]
    return f"{three_digits(value / scale)} {unit}"
