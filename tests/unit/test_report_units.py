"""Numbers read the same everywhere: three digits, the right unit, unknown is not 0."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.reporters import units

NS = {"ns": 1, "µs": 10**3, "ms": 10**6, "s": 10**9}
BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 s"),
        (1, "1 ns"),
        (999, "999 ns"),
        (1_000, "1.00 µs"),
        (3_456, "3.46 µs"),
        (121_900_000, "122 ms"),
        (999_499, "999 µs"),
        (999_500, "1.00 ms"),
        (1_214_000_000, "1.21 s"),
        (12_345_000_000_000, "12,345 s"),
        (-3_456, "-3.46 µs"),
        (None, "–"),
    ],
)
def test_durations_have_three_digits_and_the_right_unit(ns: int | None, text: str) -> None:
    assert units.duration(ns) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (2**20 - 1, "1.00 MiB"),
     (12 * 2**30, "12.0 GiB"), (None, "–")],
)  # fmt: skip
def test_sizes_are_powers_of_1024(count: int | None, text: str) -> None:
    assert units.size(count) == text


@given(st.integers(min_value=1, max_value=10**15))
def test_a_printed_duration_is_within_half_a_percent(ns: int) -> None:
    number, unit = units.duration(ns).split(" ")
    assert abs(float(number.replace(",", "")) * NS[unit] - ns) <= ns * 0.005 + 1e-9


@given(st.integers(min_value=1, max_value=2**55))
def test_a_printed_size_is_within_half_a_percent(count: int) -> None:
    number, unit = units.size(count).split(" ")
    assert abs(float(number.replace(",", "")) * BYTES[unit] - count) <= count * 0.0051


@given(st.integers(min_value=0, max_value=10**13), st.integers(min_value=0, max_value=10**13))
def test_longer_never_prints_as_shorter(a: int, b: int) -> None:
    def back(ns: int) -> float:
        number, unit = units.duration(ns).split(" ")
        return float(number.replace(",", "")) * NS[unit]

    assert (back(a) <= back(b)) or a > b


@given(st.floats(min_value=1e-9, max_value=1 - 1e-9))
def test_some_is_never_shown_as_none_nor_as_all(share: float) -> None:
    assert units.share(share) not in ("0 %", "0.0 %", "100 %", "100.0 %")


def test_shares_of_nothing_and_of_everything() -> None:
    assert (units.share(0.0), units.share(1.0), units.share(None)) == ("0 %", "100 %", "–")


@given(st.lists(st.integers(min_value=0, max_value=10**12), min_size=1, max_size=8).filter(any))
def test_shares_of_a_whole_sum_to_exactly_100(parts: list[int]) -> None:
    tenths = [int(re.sub(r"\D", "", text)) for text in units.shares_of_whole(parts)]
    assert sum(tenths) == 1000


@given(st.lists(st.integers(min_value=0, max_value=10**12), min_size=1, max_size=8).filter(any))
def test_a_share_of_a_whole_is_off_by_less_than_a_tenth(parts: list[int]) -> None:
    for part, text in zip(parts, units.shares_of_whole(parts), strict=True):
        assert abs(float(text.removesuffix(" %")) - part * 100 / sum(parts)) < 0.1


def test_shares_of_an_empty_whole_are_unknown() -> None:
    assert units.shares_of_whole([0, 0]) == ["–", "–"]


@pytest.mark.parametrize(
    ("low_high", "text"),
    [
        ((12_000_000, 18_400_000), "12.0–18.4 ms"),
        ((900_000, 2_000_000), "900 µs – 2.00 ms"),
        ((0, 2_000_000), "up to 2.00 ms"),
        ((5, 5), "5 ns"),
        (None, "–"),
    ],
)
def test_savings_are_ranges(low_high: tuple[int, int] | None, text: str) -> None:
    assert units.saving(low_high) == text
