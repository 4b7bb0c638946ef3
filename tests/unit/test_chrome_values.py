"""Text columns become values exactly, and what does not fit is reported rather than lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.ingest.chrome import values

if TYPE_CHECKING:
    from collections.abc import Callable
    from decimal import Decimal

    from traceanalyzer.ingest.chrome.values import Column


def joined(*texts: str) -> bytes:
    return b"\x00".join(t.encode() for t in texts)


@given(st.lists(st.decimals(min_value=-(10**13), max_value=10**15, places=3), min_size=1, max_size=50))
def test_times_are_exact_for_every_number_of_decimals(times: list[Decimal]) -> None:
    for spell in (lambda d: f"{d:.3f}", lambda d: str(d.normalize().__format__("f"))):
        texts = [spell(t) for t in times]
        column = values.nanoseconds(joined(*texts), len(texts))
        assert column.values.tolist() == [int(t * 1000) for t in times]


def test_epoch_microseconds_keep_their_nanoseconds() -> None:
    column = values.nanoseconds(joined("1712195495895359.547", "1712195495895359.5", "4"), 3)
    assert column.values.tolist() == [1712195495895359547, 1712195495895359500, 4000]


def test_a_time_beyond_64_bits_is_a_misfit_not_a_wrong_number() -> None:
    column = values.nanoseconds(joined("1e40", "99999999999999999", "1.5"), 3)
    assert column.valid is not None
    assert column.valid.tolist() == [False, False, True]
    assert set(column.misfits) == {0, 1}


@pytest.mark.parametrize("text", ["2305843009213694", "2305843009213693.952", "-4795424629463739.889"])
def test_a_time_that_no_clock_shows_is_a_misfit(text: str) -> None:
    column = values.nanoseconds(joined(text, "2305843009213692.951"), 2)
    assert set(column.misfits) == {0}
    assert column.values.tolist() == [0, 2305843009213692951]


@pytest.mark.parametrize(
    ("text", "value"),
    [("7", 7), ('"7"', 7), ('"0x1F"', 31), ("7.0", 7), ("18446744073709551615", -1), ("-3", -3)],
)
def test_integers_in_every_spelling(text: str, value: int) -> None:
    column = values.ints(joined(text, "1"), 2)
    assert column.values.tolist() == [value, 1]
    assert not column.misfits


@pytest.mark.parametrize("text", ["1.5", '"stream"', "[1]", "1--2", "1e400", "true"])
def test_what_is_no_integer_is_a_misfit(text: str) -> None:
    column = values.ints(joined("1", text), 2)
    assert column.valid is not None
    assert column.valid.tolist() == [True, False]
    assert column.misfits == {1: text.encode()}


def test_null_and_absent_are_null_without_being_misfits() -> None:
    column = values.ints(joined("null", "", "3"), 3)
    assert column.valid is not None
    assert column.valid.tolist() == [False, False, True]
    assert not column.misfits


def test_texts_are_unescaped_and_bad_utf8_is_replaced() -> None:
    blob = b"\x00".join([b'"a\\u4e2d"', b"null", b'"a\xff"', b'"a\\u4e2d"'])
    array = values.texts(blob)
    assert array.to_pylist() == ["a中", None, "a\ufffd", "a中"]


def test_json_has_one_spelling_in_every_layout() -> None:
    array = values.json_texts(joined("[1,\n   2]", "[1, 2]", "[1,2]", '["\\u0041"]', '["A"]'))
    assert array.to_pylist() == ["[1,2]", "[1,2]", "[1,2]", '["A"]', '["A"]']


def test_triples_take_short_quoted_and_odd_spellings() -> None:
    array = values.triples(joined("[4, 2, 1]", '"[3]"', "5", "null", '"grid(100,)"', "[1,2,3,4]"))
    assert array.to_pylist() == [[4, 2, 1], [3, 1, 1], [5, 1, 1], None, None, None]


def test_floats_refuse_not_a_number() -> None:
    column = values.floats(joined("1.5", '"NaN"', "2"), 3)
    assert np.isclose(column.values[[0, 2]], [1.5, 2]).all()
    assert set(column.misfits) == {1}


@pytest.mark.parametrize("read", [values.ints, values.nanoseconds, values.floats])
@pytest.mark.parametrize("text", ["1e999999999", "-1e999999999", "1E99999999999999999999", "NaN", "Infinity"])
def test_a_number_is_not_written_out_before_it_is_known_to_fit(
    text: str, read: Callable[..., Column]
) -> None:
    column = read(joined(text, "1"), 2)
    assert column.misfits == {0: text.encode()}
