"""TensorBoard, started for real over a folder of logs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
COMMAND = "import sys; from tensorboard.main import run_main; sys.exit(run_main())"
START_S = 60


@contextmanager
def tensorboard(logs: Path, place: Path) -> Iterator[str]:
    """The address of `tensorboard --logdir` while it runs; its log and our cache go to `place`."""
    environment = os.environ | {"TRACEANALYZER_CACHE_DIR": str(place / "cache"), "PYTHONPATH": str(ROOT)}
    arguments = ["--logdir", str(logs), "--host", "127.0.0.1", "--port", "0"]
    log = place / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments], stdout=out, stderr=out, env=environment
        )
    try:
        yield _address(server, log)
    finally:
        server.terminate()
        server.wait(20)
    told = log.read_text()
    assert "Traceback" not in told, told
    assert "Illegal Content-Security-Policy" not in told, told


def _address(server: subprocess.Popen[bytes], log: Path) -> str:
    """Where TensorBoard says it is, once it answers there."""
    until = time.monotonic() + START_S
    while time.monotonic() < until and server.poll() is None:
        told = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
        if told:
            try:
                urlopen(told[0], timeout=5).close()
            except URLError:
                pass
            else:
                return told[0]
        time.sleep(0.2)
    raise AssertionError(log.read_text())
