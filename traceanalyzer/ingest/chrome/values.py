"""Columns of JSON text → columns of values.

Each function takes NUL-joined JSON texts and the number of rows. The usual case is converted as a whole column; a
column that holds anything unusual goes value by value. What does not fit the type becomes null and is reported by
row, so that the mapper can keep it in `extras`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pyarrow as pa

from traceanalyzer.ingest.chrome.decoder import SEPARATOR

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

FLOAT_LIMIT = 1e18
"""Larger than anything that is measured, and small enough for sums not to overflow."""
TIME_LIMIT_NS = 1 << 61
"""73 years: later than any clock until 2043, and small enough for sums and differences not to overflow."""
_TOO_LARGE = 1 << 64
_INT_MAX, _INT_MIN = np.iinfo(np.int64).max, np.iinfo(np.int64).min


@dataclass(slots=True)
class Column:
    """Values with the rows that are null, and the text of those that did not fit the type."""

    values: NDArray[Any]
    valid: NDArray[np.bool_] | None = None
    misfits: dict[int, bytes] = field(default_factory=dict)


def ints(blob: bytes, rows: int) -> Column:
    """Integers; quoted and hexadecimal ones too. Floats fit when they are whole."""
    text = blob.replace(SEPARATOR, b",")
    if not text.translate(None, b"0123456789,-"):
        values = _parse(text, rows, np.int64)
        if values is not None and not _saturated(values):
            return Column(values)
    return _each(blob, rows, np.int64, _one_int)


def floats(blob: bytes, rows: int) -> Column:
    """Floating-point numbers up to FLOAT_LIMIT; quoted ones too."""
    text = blob.replace(SEPARATOR, b",")
    if not text.translate(None, b"0123456789,-+.eE"):
        values = _parse(text, rows, np.float64)
        if values is not None and (np.abs(values) <= FLOAT_LIMIT).all():
            return Column(values)
    return _each(blob, rows, np.float64, _one_float)


def nanoseconds(blob: bytes, rows: int) -> Column:
    """Decimal microseconds as whole nanoseconds below TIME_LIMIT_NS, exactly: the text is never read as a float.

    More than three decimals (no profiler writes them) are rounded half to even.
    """
    text = blob.replace(SEPARATOR, b",")
    if not text.translate(None, b"0123456789,-."):
        digits = text.replace(b".", b"")
        values = _parse(digits, rows, np.int64)
        if values is not None and not _saturated(values):
            scale = _missing_decimals(text, rows)
            if scale is not None:
                factor = np.power(10, scale)
                if (np.abs(values) < TIME_LIMIT_NS // factor).all():
                    return Column(values * factor)
    return _each(blob, rows, np.int64, _one_time)


def texts(blob: bytes) -> pa.DictionaryArray:
    """Strings, unescaped; other JSON values as their text. Null stays null."""
    return _encoded(blob, one_text)


def json_texts(blob: bytes) -> pa.DictionaryArray:
    """JSON values in their shortest spelling, so that equal values are equal text in every layout."""
    return _encoded(blob, shortest)


def triples(blob: bytes) -> pa.FixedSizeListArray:
    """Grid and block sizes: `[x, y, z]`, also shorter or quoted ones; anything else is null."""
    encoded = _encoded(blob, shortest)
    table = np.zeros((len(encoded.dictionary) + 1, 3), np.int32)
    good = np.zeros(len(table), bool)
    for code, spelling in enumerate(encoded.dictionary.to_pylist()):
        value = _triple(spelling)
        if value is not None:
            table[code], good[code] = value, True
    codes = encoded.indices.fill_null(len(table) - 1).to_numpy()
    flat = pa.array(table[codes].reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, 3, mask=pa.array(~good[codes]))


def _triple(spelling: str | None) -> list[int] | None:
    try:
        value = msgspec.json.decode(spelling or "null")
        if isinstance(value, str):
            value = msgspec.json.decode(value)
        if isinstance(value, int):
            value = [value]
        if isinstance(value, list) and 1 <= len(value) <= 3:
            numbers = [int(x) for x in value] + [1] * (3 - len(value))
            if all(0 <= x < 2**31 for x in numbers):
                return numbers
    except (msgspec.DecodeError, TypeError, ValueError, RecursionError):
        pass
    return None


def shortest(raw: bytes) -> str | None:
    """JSON without needless blanks and escapes, with bad UTF-8 replaced; None for null and for nothing."""
    if raw in {b"", b"null"}:
        return None
    try:
        if b"\\" in raw:
            return msgspec.json.encode(msgspec.json.decode(raw)).decode()
        return msgspec.json.format(raw, indent=-1).decode()
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw.decode("utf-8", "replace")


def one_text(raw: bytes) -> str | None:
    """One string, unescaped; another JSON value as its text; None for null and for nothing."""
    if raw in {b"", b"null"}:
        return None
    if raw[:1] == b'"':
        try:
            return msgspec.json.decode(raw, type=str)
        except (msgspec.DecodeError, UnicodeDecodeError):
            repaired = raw.decode("utf-8", "replace")
            try:
                return msgspec.json.decode(repaired, type=str)
            except msgspec.DecodeError:
                return repaired[1:-1]
    return shortest(raw)


def _encoded(blob: bytes, decode: Callable[[bytes], str | None]) -> pa.DictionaryArray:
    """Dictionary-encode by raw text first: only distinct spellings are decoded."""
    raw = _pieces(blob).dictionary_encode()
    spellings: dict[str, int] = {}
    codes = np.empty(len(raw.dictionary), np.int32)
    for i, value in enumerate(raw.dictionary.to_pylist()):
        decoded = decode(value.removesuffix(SEPARATOR))
        codes[i] = -1 if decoded is None else spellings.setdefault(decoded, len(spellings))
    indices = codes[raw.indices.to_numpy()]
    mask = indices < 0
    array = pa.array(np.where(mask, 0, indices), mask=mask) if mask.any() else pa.array(indices)
    return pa.DictionaryArray.from_arrays(array, pa.array(list(spellings), pa.string()))


def _pieces(blob: bytes) -> pa.LargeBinaryArray:
    """The texts, each with its separator behind it: the array is laid over the blob, and nothing is cut apart."""
    ended = blob + SEPARATOR
    ends = np.flatnonzero(np.frombuffer(ended, np.uint8) == SEPARATOR[0]) + 1
    offsets = np.concatenate(([0], ends))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(ended)]
    return pa.Array.from_buffers(pa.large_binary(), len(ends), buffers)


def _parse(text: bytes, rows: int, dtype: type) -> NDArray[Any] | None:
    """All of a comma-joined column at once; None when it is not what it looks like."""
    values: NDArray[Any]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            values = np.fromstring(text, dtype, sep=",")
        except (DeprecationWarning, ValueError):
            return None
    return values if len(values) == rows else None


def _saturated(values: NDArray[np.int64]) -> bool:
    return bool(((values == _INT_MAX) | (values == _INT_MIN)).any())


def _missing_decimals(text: bytes, rows: int) -> NDArray[np.int64] | None:
    """How many zeros each value lacks to have three decimals; None when a value has more than three."""
    raw = np.frombuffer(text, np.uint8)
    ends = np.append(np.flatnonzero(raw == 44), len(raw))
    dots = np.flatnonzero(raw == 46)
    if len(dots) == rows and (dots < ends).all() and (dots[1:] > ends[:-1]).all():
        missing = 4 - (ends - dots)
    else:
        row = np.searchsorted(ends, dots)
        if len(row) > 1 and (np.diff(row) == 0).any():
            return None
        missing = np.full(rows, 3, np.int64)
        missing[row] = 4 - (ends[row] - dots)
    return missing if len(missing) == 0 or missing.min() >= 0 else None


def _each(blob: bytes, rows: int, dtype: type, parse: Callable[[bytes], Any]) -> Column:
    values: NDArray[Any] = np.zeros(rows, dtype)
    valid = np.zeros(rows, bool)
    column = Column(values, valid)
    for i, raw in enumerate(blob.split(SEPARATOR)):
        if raw in {b"", b"null"}:
            continue
        value = parse(raw)
        if value is None:
            column.misfits[i] = raw
        else:
            values[i], valid[i] = value, True
    return column


def _one_int(raw: bytes) -> int | None:
    text = raw.strip(b'"')
    try:
        value = int(text, 16) if text[:2] in {b"0x", b"0X"} else int(text)
    except ValueError:
        try:
            number = Decimal(text.decode("ascii", "replace"))
            # Asked before all digits of 1e999999999 are written out. A NaN is not less, either.
            if not number.copy_abs() < _TOO_LARGE:
                return None
            value = int(number)
            if value != number:
                return None
        except (InvalidOperation, ValueError, OverflowError):
            return None
    if 2**63 <= value < 2**64:  # addresses are unsigned
        value -= 2**64
    return value if _INT_MIN <= value <= _INT_MAX else None


def _one_float(raw: bytes) -> float | None:
    try:
        value = float(raw.strip(b'"'))
    except ValueError:
        return None
    return value if abs(value) <= FLOAT_LIMIT else None  # also refuses NaN


def _one_time(raw: bytes) -> int | None:
    try:
        value = Decimal(raw.strip(b'"').decode("ascii", "replace"))
        if not value.is_finite() or value.copy_abs() >= TIME_LIMIT_NS // 1000:
            return None
        return int((value * 1000).to_integral_value())
    except (InvalidOperation, ValueError, OverflowError):
        return None
