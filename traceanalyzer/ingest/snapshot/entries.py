"""The entries of one device's trace as columns, batch by batch: no entry is kept as an object."""

from __future__ import annotations

from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from traceanalyzer.ingest.snapshot.refused import Refused
from traceanalyzer.ingest.snapshot.runs import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.ingest.snapshot.stacks import Stacks

BATCH = 1000  # as many as a pickle hands over at a time
WORDS = ("action", "compile_context", "user_metadata", "pool_id")
NUMBERS = ("size", "stream", "time_us", "device_free")
KEYS = (*WORDS, *NUMBERS, "addr", "frames")
OUTSIDE_KINDS = frozenset(KEYS) - frozenset(WORDS) | {"action"}  # what a run has in columns and `frames`
CUT = (1 << 63) - 1


class _Codes(dict[Any, int]):
    """A number for each distinct value, in the order of their coming; -1 for None."""

    def __init__(self) -> None:
        super().__init__({None: -1})

    def __missing__(self, value: Any) -> int:
        code = self[value] = len(self) - 1
        return code


class Entries:
    """Takes the place of the list of a device's entries; `extend` is all that an unpickler asks of a list."""

    def __init__(self, stacks: Stacks, max_rows: int) -> None:
        self.rows = 0
        self._stacks, self._max_rows = stacks, max_rows
        self._parts: dict[str, list[Any]] = {name: [] for name in KEYS}
        self._codes = {name: _Codes() for name in WORDS}

    @classmethod
    def of(cls, trace: list[dict[str, Any]], stacks: Stacks, max_rows: int) -> Entries:
        """The columns of a list that is there as a whole."""
        entries = cls(stacks, max_rows)
        for start in range(0, len(trace), BATCH):
            entries.extend(trace[start : start + BATCH])
        return entries

    def extend(self, batch: Sequence[Any]) -> None:
        """Take the next entries over: dicts, and tuples in the form of `Run`.

        Raises:
            Refused: they are more than a file of this size can hold.
        """
        for is_run, some in groupby(batch, lambda item: type(item) is tuple):
            if is_run:
                for item in some:
                    self._take_run(Run(*item))
            else:
                self._take_entries(list(some))

    def _count(self, rows: int) -> None:
        self.rows += rows
        if self.rows > self._max_rows:
            raise Refused(f"unfolds to {self.rows} entries, more than a file of this size can hold")

    def _take_entries(self, batch: list[dict[str, Any]]) -> None:
        rows = len(batch)
        self._count(rows)
        columns = _transposed(batch)
        nothing = (None,) * rows
        parts = self._parts
        for name, codes in self._codes.items():
            values = columns.get(name, nothing)
            parts[name].append(np.fromiter(map(codes.__getitem__, values), np.int32, rows))
        for name in NUMBERS:
            parts[name].append(integers(columns[name]) if name in columns else pa.nulls(rows, pa.int64()))
        parts["addr"].append(addresses(columns.get("addr", nothing)))
        parts["frames"].append(integers(self._stacks.rows(columns.get("frames", nothing))))

    def _take_run(self, run: Run) -> None:
        rows = len(run.frames)
        self._count(rows)
        if any(not OUTSIDE_KINDS.isdisjoint(said) for said in run.kinds):
            raise ValueError("entries say numbers in an order that torch has not, or twice")
        action, *numbers, kind = np.frombuffer(run.columns, np.int64).reshape(2 + len(run.numbers), rows)
        found = dict(zip(run.numbers, numbers, strict=True))
        parts = self._parts
        for name, codes in self._codes.items():
            values = run.actions if name == "action" else [said.get(name) for said in run.kinds]
            code = np.array([codes[value] for value in values], np.int32)
            parts[name].append(code[action if name == "action" else kind])
        for name in (*NUMBERS, "addr"):
            parts[name].append(pa.array(found[name]) if name in found else pa.nulls(rows, pa.int64()))
        parts["frames"].append(integers(self._stacks.rows(run.frames)))

    def column(self, name: str) -> pa.Array:
        """What the entries have under one of KEYS, shape (rows,); `frames` are rows as `Stacks.rows` gives them."""
        parts = self._parts[name]
        if name not in WORDS:
            whole = pa.chunked_array(parts, pa.int64()).combine_chunks()
            self._parts[name] = [whole]  # the parts would take as much memory again
            return whole
        code = np.concatenate([*parts, np.zeros(0, np.int32)])
        _, *found = self._codes[name]
        texts = [pool_name(pool) for pool in found] if name == "pool_id" else found
        return pa.DictionaryArray.from_arrays(pa.array(code, mask=code < 0), pa.array(texts, pa.string()))


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
    return pa.array(values, pa.string()).dictionary_encode()
