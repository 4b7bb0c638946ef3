"""The first bytes of a file are looked at without inflating more than these."""

from __future__ import annotations

import gzip
import tracemalloc
from typing import TYPE_CHECKING

import pytest
import zstandard

from traceanalyzer.ingest.source import read_head

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_a_small_file_that_inflates_to_much_is_only_begun(
    compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(compress(bytes(64 << 20)))
    read_head(path)  # imports take memory, too
    tracemalloc.start()
    head = read_head(path, 1000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert head == bytes(1000)
    assert peak < 4 << 20


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.compress])
def test_the_head_of_a_file_that_is_cut_off_is_what_is_there(
    compress: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    content = b"".join(b"%d," % i for i in range(100_000))
    path = tmp_path / "cut"
    path.write_bytes(compress(content)[:100_000])
    assert read_head(path) == content[: 1 << 16]
