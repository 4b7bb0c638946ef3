"""The entries of one device's trace as columns, batch by batch: no entry is kept as an object."""

from __future__ import annotations

from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from traceanalyzer.ingest.snapshot.refused import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.ingest.snapshot.stacks import Stacks

BATCH = 1000  # as many as a pickle hands over at a time
TEXTS = ("action", "compile_context", "user_metadata")
WORD = pa.dictionary(pa.int32(), pa.string())
KEYS = (*TEXTS, "addr", "size", "stream", "time_us", "device_free", "pool_id", "frames")
CUT = (1 << 63) - 1


class Entries:
    """Takes the place of the list of a device's entries; `extend` is all that an unpickler asks of a list."""

    def __init__(self, stacks: Stacks, max_rows: int) -> None:
        self.rows = 0
        self._stacks, self._max_rows = stacks, max_rows
        self._parts: dict[str, list[pa.Array]] = {name: [] for name in KEYS}

    @classmethod
    def of(cls, trace: list[dict[str, Any]], stacks: Stacks, max_rows: int) -> Entries:
        """The columns of a list that is there as a whole."""
        entries = cls(stacks, max_rows)
        for start in range(0, len(trace), BATCH):
            entries.extend(trace[start : start + BATCH])
        return entries

    def extend(self, batch: list[dict[str, Any]]) -> None:
        """Take the next entries over; called with at least one.

        Raises:
            Refused: they are more than a file of this size can hold.
        """
        self.rows += len(batch)
        if self.rows > self._max_rows:
            raise Refused(f"unfolds to {self.rows} entries, more than a file of this size can hold")
        columns = _transposed(batch)
        for name, part in self._parts.items():
            values = columns.get(name)
            if values is None:
                part.append(pa.nulls(len(batch), WORD if name in (*TEXTS, "pool_id") else pa.int64()))
                continue
            match name:
                case "frames":
                    part.append(integers(self._stacks.rows(values)))
                case "pool_id":
                    part.append(words([pool_name(v) for v in values]))
                case "addr":
                    part.append(addresses(values))
                case _:
                    part.append(words(values) if name in TEXTS else integers(values))

    def column(self, name: str) -> pa.Array:
        """What the entries have under one of KEYS, shape (rows,); `frames` are rows as `Stacks.rows` gives them."""
        parts = pa.chunked_array(self._parts[name], None if self._parts[name] else pa.int64())
        if pa.types.is_dictionary(parts.type):
            parts = parts.unify_dictionaries()
        whole = parts.combine_chunks()
        self._parts[name] = [whole]  # the parts would take as much memory again
        return whole


def pool_name(pool: Any) -> str | None:
    """`0,0` for the default pool; None when it was not recorded."""
    return None if pool is None else f"{pool[0]},{pool[1]}"


def _transposed(batch: list[dict[str, Any]]) -> dict[str, Sequence[Any]]:
    """The values by key. Entries with the same keys, which nearly all are, take one C call each."""
    keys = tuple(batch[0])
    if len(keys) > 1 and len(set(map(len, batch))) == 1:
        try:
            return dict(zip(keys, zip(*map(itemgetter(*keys), batch), strict=True), strict=True))
        except KeyError:
            pass
    return {key: [entry.get(key) for entry in batch] for key in KEYS}


def integers(values: Sequence[Any]) -> pa.Array:
    """Whole numbers, None as null."""
    return pa.array(values, pa.int64())


def addresses(values: Sequence[Any]) -> pa.Array:
    """Addresses, in two's complement above 2^63."""
    try:
        return pa.array(values, pa.int64())
    except (pa.ArrowInvalid, OverflowError):
        return pa.array([v if v is None or v <= CUT else v - (1 << 64) for v in values], pa.int64())


def words(values: Sequence[Any]) -> pa.DictionaryArray:
    """Texts, None as null."""
    if values and isinstance(values[0], str) and values.count(values[0]) == len(values):
        return pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(values), np.int32)), pa.array(values[:1]))
    return pa.array(values, pa.string()).dictionary_encode()
