"""`open` serves to this machine alone, under an address that cannot be guessed, and ends with Ctrl+C."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import webbrowser
from http.server import ThreadingHTTPServer
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import zstandard
from chrome_files import dump, simple_events, trace

from traceanalyzer.cli.command_line import run
from traceanalyzer.cli.open import HTML, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "run.json").write_text(dump(trace(simple_events())))
    return tmp_path


@pytest.fixture
def serving(place: Path) -> Iterator[Callable[..., str]]:
    """Start `open` and give its address; at the end Ctrl+C must end it well."""
    processes = []

    def start(*arguments: str) -> str:
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from traceanalyzer.cli import main; main()",
                "open",
                "--no-browser",
                *arguments,
            ],
            cwd=place,
            env=os.environ | {"PYTHONPATH": str(ROOT), "TRACEANALYZER_CACHE_DIR": str(place / "cache")},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip()

    yield start
    for process in processes:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "Traceback" not in errors


def get(url: str) -> bytes:
    with urlopen(url, timeout=30) as answer:
        body: bytes = answer.read()
        return body


def test_the_page_is_served_on_this_machine_only(serving: Callable[..., str], place: Path) -> None:
    address = serving("run.json")
    assert address.startswith("http://127.0.0.1:")
    assert get(address).startswith(b"<!doctype html>")
    assert sorted(p.name for p in place.iterdir()) == ["cache", "run.json"], "no report is written"


def test_where_nobody_has_a_browser_it_says_how_to_reach_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.1 50000 192.0.2.2 22")
    for display in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(display, raising=False)
    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", interrupted)
    serve({"": (HTML, lambda: [b""])}, with_browser=True)
    out, err = capsys.readouterr()
    port = out.split("/")[2].split(":")[1]
    assert f"ssh -N -L {port}:127.0.0.1:{port} " in err


def test_where_there_is_a_browser_it_gets_the_address(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: SimpleQueue[str] = SimpleQueue()
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setattr(webbrowser, "get", lambda: SimpleNamespace(open=shown.put))
    monkeypatch.setattr(ThreadingHTTPServer, "serve_forever", interrupted)
    serve({"": (HTML, lambda: [b""])}, with_browser=True)
    out, err = capsys.readouterr()
    assert shown.get(timeout=10) == out.strip()
    assert "ssh" not in err


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str], place: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert run(["open", str(place / "run.json"), "--port", str(port), "--no-browser"]) == 2
    assert f"port {port}: " in capsys.readouterr().err


def interrupted(_server: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("path", ["", "run.json", "../run.json", "trace"])
def test_nothing_is_served_without_the_whole_address(serving: Callable[..., str], path: str) -> None:
    root = serving("run.json").split("/", 3)
    with pytest.raises(HTTPError) as told:
        get("/".join([*root[:3], path]))
    with told.value:
        assert told.value.code == 404


def test_perfetto_gets_the_bytes_of_the_file(serving: Callable[..., str], place: Path) -> None:
    address = serving("run.json", "--perfetto")
    assert b"handover.js" in get(address)
    assert get(address + "name") == b"run.json"
    assert get(address + "trace") == (place / "run.json").read_bytes()


def test_perfetto_gets_zstd_inflated(serving: Callable[..., str], place: Path) -> None:
    content = (place / "run.json").read_bytes()
    (place / "run.json.zst").write_bytes(zstandard.compress(content))
    assert get(serving("run.json.zst", "--perfetto") + "trace") == content


def test_perfetto_gets_what_is_good_of_a_damaged_zstd(serving: Callable[..., str], place: Path) -> None:
    whole = zstandard.compress((place / "run.json").read_bytes())
    (place / "cut.zst").write_bytes(whole[: len(whole) // 2])
    assert (place / "run.json").read_bytes().startswith(get(serving("cut.zst", "--perfetto") + "trace"))


def damaged() -> bytes:
    frame = zstandard.ZstdCompressor(write_checksum=True).compress(b"trace")
    return frame[:-1] + bytes([frame[-1] ^ 1])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(damaged(), "压缩数据", id="damaged"),
        pytest.param(zstandard.compress(bytes(70 << 20)), "--max-ratio", id="inflates without end"),
    ],
)
def test_what_ends_a_trace_early_is_told_in_the_language_of_the_command(
    content: bytes,
    told: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def asked_once(contents: dict[str, Any], **_: Any) -> None:
        answer = Thread(target=lambda: list(contents["trace"][1]()))  # as the server does
        answer.start()
        answer.join()

    monkeypatch.setattr("traceanalyzer.cli.open.serve", asked_once)
    monkeypatch.chdir(place)
    Path("bad.zst").write_bytes(content)
    assert run(["open", "--perfetto", "--lang", "zh", "bad.zst"]) == 0
    line = capsys.readouterr().err
    assert told in line
    assert line.count("bad.zst") == 1
    assert "compressed data" not in line
    assert "inflates" not in line


@pytest.mark.parametrize("inputs", [["run.json", "run.json"], ["."], ["-"], ["missing.json"]])
def test_perfetto_takes_one_file(
    inputs: list[str], place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    assert run(["open", "--perfetto", *inputs]) == 2
    assert "--perfetto takes one file" in capsys.readouterr().err
