"""TensorBoard, started for real over a folder of logs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
COMMAND = "import sys; from tensorboard.main import run_main; sys.exit(run_main())"
START_S = 60

pytest.importorskip(
    "tensorboard", reason="NO TENSORBOARD: the tab is not tested; install traceanalyzer[tensorboard]"
)
WITH_THE_TAB = [
    pytest.mark.browser,
    pytest.mark.skipif(
        not any(point.name == "traceanalyzer" for point in entry_points(group="tensorboard_plugins")),
        reason="PLUGIN NOT INSTALLED: the tab is not tested; install this checkout again (pip install -e '.[test]')",
    ),
]


@dataclass(frozen=True)
class Board:
    """A running TensorBoard."""

    address: str
    logs: Path

    def get(self, route: str, **query: str) -> tuple[int, bytes]:
        """Status and body of one of the tab's routes."""
        url = f"{self.address}data/plugin/traceanalyzer/{route}?{urlencode(query)}"
        try:
            with urlopen(url, timeout=60) as answer:
                return answer.status, answer.read()
        except HTTPError as error:
            with error:
                return error.code, error.read()

    def traces(self) -> list[dict[str, Any]]:
        """What the tab lists."""
        rows: list[dict[str, Any]] = json.loads(self.get("traces")[1])
        return rows


@contextmanager
def tensorboard(logs: Path | str, place: Path, option: str = "--logdir", **variables: str) -> Iterator[Board]:
    """`tensorboard --logdir LOGS` (or another option) while it runs; its log and our cache go to `place`."""
    own = {"TRACEANALYZER_CACHE_DIR": str(place / "cache"), "PYTHONPATH": str(ROOT)}
    environment = os.environ | own | variables
    arguments = [option, str(logs), "--host", "127.0.0.1", "--port", "0"]
    log = place / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(
            [sys.executable, "-c", COMMAND, *arguments], stdout=out, stderr=out, env=environment
        )
    try:
        yield Board(_address(server, log), Path(logs))
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
