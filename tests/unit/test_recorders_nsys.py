"""A report of Nsight Systems is made to tell nothing of its machine without becoming another file."""

from __future__ import annotations

import platform
import sys
from typing import TYPE_CHECKING

from fixtures.recorders.nsys import __main__ as recorder

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_tells_is_overwritten_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "telling", lambda: ["/home/someone/", "6.1.0-made-up-kernel"])
    report = tmp_path / "run.nsys-rep"
    content = b"\x05/home/someone/lib.so\x00\xff6.1.0-made-up-kernel\x00"
    report.write_bytes(content)
    recorder.neutral(report)
    after = report.read_bytes()
    assert after == b"\x05/recorder----/lib.so\x00\xffrecorder------------\x00"
    assert len(after) == len(content)


def test_folders_and_the_kernel_are_looked_for() -> None:
    found = recorder.telling()
    assert platform.release() in found
    assert f"{sys.prefix}/" in found
    assert "/" not in found
