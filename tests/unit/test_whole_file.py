"""A file is written whole or not at all."""

from __future__ import annotations

import os
import resource
import signal
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.whole_file import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def little_room() -> Iterator[None]:
    """No file may become longer than 10 bytes, as on a disk that is nearly full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("little_room")
def test_what_does_not_fit_leaves_what_was_there_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "page.html"
    write_whole(place, b"before")
    with pytest.raises(TraceAnalyzerError, match=r"page\.html: File too large\. It was not written\."):
        write_whole(place, b"x" * 100)
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]
    assert place.read_bytes() == b"before"


def test_a_link_stays_a_link_to_what_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"before")
    link.symlink_to(target)
    write_whole(link, b"after")
    assert link.is_symlink()
    assert target.read_bytes() == b"after"


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"page")
    reader.join()
    assert read == [b"page"]
