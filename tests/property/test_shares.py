"""However the chunks are shared out, each belongs to exactly one process, and about as many as meant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceanalyzer.ingest.chrome.share import owner


@given(st.integers(1, 7), st.floats(0.01, 1), st.integers(0, 10**7))
def test_every_chunk_has_one_owner(workers: int, part: float, index: int) -> None:
    share = part / (workers + 1)
    owners = [number for number in range(workers + 1) if owner(number, workers, share)(index)]
    assert len(owners) == 1


@pytest.mark.parametrize("workers", [1, 3])
def test_workers_get_the_share_that_is_meant(workers: int) -> None:
    counts = [sum(map(owner(number, workers, 0.2), range(2000))) for number in range(workers + 1)]
    assert sum(counts) == 2000
    assert all(abs(count - 400) < 20 for count in counts[1:])
