"""Tables are sorted by rank, start, longest first, and ties keep their order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.model.tables import start_order

ROWS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 5), st.integers(0, 3)), max_size=30)


@given(ROWS, st.booleans())
def test_the_order_is_that_of_a_stable_sort_by_rank_start_and_length(
    rows: list[tuple[int, int, int]], alone: bool
) -> None:
    rows = [(0 if alone else rank, ts, dur) for rank, ts, dur in rows]
    rank, ts, dur = (np.array([r[i] for r in rows], np.int64) for i in range(3))
    order = start_order(pa.table({"rank": rank, "ts": ts, "dur": dur}))
    got = list(range(len(rows))) if order is None else order.tolist()
    assert got == sorted(range(len(rows)), key=lambda i: (rows[i][0], rows[i][1], -rows[i][2]))


@given(ROWS, st.booleans(), st.data())
def test_a_place_decides_between_rows_that_begin_and_end_together(
    rows: list[tuple[int, int, int]], alone: bool, data: st.DataObject
) -> None:
    rows = [(0 if alone else rank, ts, dur) for rank, ts, dur in rows]
    place = data.draw(st.permutations(range(len(rows))))
    rank, ts, dur = (np.array([r[i] for r in rows], np.int64) for i in range(3))
    order = start_order(pa.table({"rank": rank, "ts": ts, "dur": dur}), np.array(place, np.int64))
    got = list(range(len(rows))) if order is None else order.tolist()
    assert got == sorted(range(len(rows)), key=lambda i: (rows[i][0], rows[i][1], -rows[i][2], place[i]))
