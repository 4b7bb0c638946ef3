"""Which rows lie within a row of the same key: what walking up from each of them finds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.analyzers.device_time import below_same


@given(st.lists(st.tuples(st.integers(-1, 30), st.integers(0, 2)), max_size=30))
def test_it_is_what_walking_up_finds(rows: list[tuple[int, int]]) -> None:
    parent = [min(above, i - 1) for i, (above, _) in enumerate(rows)]
    keys = [key for _, key in rows]

    def inside(i: int) -> bool:
        above = parent[i]
        while above >= 0:
            if keys[above] == keys[i]:
                return True
            above = parent[above]
        return False

    found = below_same(np.array(parent, np.int64), np.array(keys, np.int64))
    assert found.tolist() == [inside(i) for i in range(len(rows))]


def test_a_deep_nest_of_one_key_takes_one_step() -> None:
    many = 400_000  # each level of which was walked by all below it
    found = below_same(np.arange(many) - 1, np.zeros(many, np.int64))
    assert found.tolist() == [False, *[True] * (many - 1)]
