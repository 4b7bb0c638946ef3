"""However many processes read a file, each of its chunks belongs to exactly one of them."""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.ingest.chrome.share import STRETCH_CHUNKS, claims


@given(st.integers(1, 7), st.integers(1, 40 * STRETCH_CHUNKS))
@settings(max_examples=30)
def test_every_chunk_has_one_owner_even_when_all_ask_at_once(processes: int, chunks: int) -> None:
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processes) as pool:
        askers = [claims(Path(folder)) for _ in range(processes)]
        taken = list(pool.map(lambda claimed: [i for i in range(chunks) if claimed(i)], askers))
    assert sorted(i for own in taken for i in own) == list(range(chunks))


def test_who_asks_first_takes_a_whole_stretch(tmp_path: Path) -> None:
    first, second = claims(tmp_path), claims(tmp_path)
    assert first(0)
    assert not second(STRETCH_CHUNKS - 1)
    assert second(STRETCH_CHUNKS)
    assert not first(STRETCH_CHUNKS)
    assert first(1), "asking again does not change the answer"
