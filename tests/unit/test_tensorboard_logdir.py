"""What of a log directory the TensorBoard tab may see: traces at any depth, late ones too, nothing from outside."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from chrome_files import dump, simple_events, trace

from traceanalyzer.tensorboard import logdir as room
from traceanalyzer.tensorboard.logdir import Logdir, Root, roots_of

if TYPE_CHECKING:
    from pathlib import Path

TRACE = dump(trace(simple_events())).encode()


@pytest.fixture(autouse=True)
def _always_look_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "RESCAN_S", 0.0)


def put(path: Path, content: bytes = TRACE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def finish_scan(logdir: Logdir) -> None:
    scan = logdir._scan
    if scan:
        scan.join()


def listed(logdir: Logdir) -> list[tuple[str, str]]:
    finish_scan(logdir)  # one that began before the last change to the files
    logdir.files()  # what a scan finds is there for the next who asks
    finish_scan(logdir)
    return [(found.run, found.file) for found in logdir.files()]


def test_traces_are_found_at_any_depth_and_told_by_content(tmp_path: Path) -> None:
    put(tmp_path / "a.json")
    put(tmp_path / "exp/plain")
    put(tmp_path / "exp/deep/er/b.pt.trace.json.gz", gzip.compress(TRACE))
    put(tmp_path / "exp/config.json", b'{"lr": 0.1}')
    put(tmp_path / "exp/events.out.tfevents.1.host", TRACE)
    assert listed(Logdir(roots_of(str(tmp_path), None))) == [
        (".", "a.json"),
        ("exp", "plain"),
        ("exp/deep/er", "b.pt.trace.json.gz"),
    ]


def test_what_is_named_like_a_trace_is_listed_even_when_broken(tmp_path: Path) -> None:
    put(tmp_path / "worker.pt.trace.json", b"garbage")
    put(tmp_path / "empty.pt.trace.json", b"")
    assert listed(Logdir(roots_of(str(tmp_path), None))) == [
        (".", "empty.pt.trace.json"),
        (".", "worker.pt.trace.json"),
    ]


def test_a_file_that_appears_or_goes_is_noticed(tmp_path: Path) -> None:
    logdir = Logdir(roots_of(str(tmp_path), None))
    assert listed(logdir) == []
    assert not logdir.has_any()
    late = put(tmp_path / "run/late.json")
    assert listed(logdir) == [("run", "late.json")]
    assert logdir.has_any()
    late.unlink()
    assert listed(logdir) == []


def test_a_plugin_that_fails_on_one_file_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ingester_of(head: bytes, path: Path) -> object:
        if path.name == "odd.json":
            raise KeyError(path)
        return object()

    monkeypatch.setattr("traceanalyzer.ingest.inputs.ingester_of", ingester_of)
    put(tmp_path / "odd.json")
    put(tmp_path / "run.json")
    assert listed(Logdir(roots_of(str(tmp_path), None))) == [(".", "run.json")]


def test_a_rewritten_file_has_another_stamp(tmp_path: Path) -> None:
    path = put(tmp_path / "a.json")
    logdir = Logdir(roots_of(str(tmp_path), None))
    listed(logdir)
    before = logdir.find(".", "a.json")
    path.write_bytes(TRACE + b" ")
    after = None
    while after is None:  # a scan that looks while the file is being written does not take it for a trace
        listed(logdir)
        after = logdir.find(".", "a.json")
    assert before is not None
    assert before.stamp != after.stamp


def test_a_missing_or_remote_log_directory_is_empty(tmp_path: Path) -> None:
    assert listed(Logdir(roots_of(None, None))) == []
    assert listed(Logdir(roots_of(str(tmp_path / "nowhere"), None))) == []
    assert listed(Logdir(roots_of("gs://bucket/logs", None))) == []


def test_a_spec_names_its_directories(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    put(one / "a.json")
    put(two / "sub/b.json")
    spec = f"first:{one},{two}"
    assert roots_of(None, spec) == (Root("first", one.resolve()), Root("", two.resolve()))
    assert listed(Logdir(roots_of(None, spec))) == [("first", "a.json"), ("sub", "b.json")]


def test_links_that_lead_outside_are_neither_listed_nor_opened(tmp_path: Path) -> None:
    secret = put(tmp_path / "outside/secret.pt.trace.json")
    inside = tmp_path / "logs"
    put(inside / "a.json")
    (inside / "link.pt.trace.json").symlink_to(secret)
    (inside / "folder").symlink_to(secret.parent, target_is_directory=True)
    logdir = Logdir(roots_of(str(inside), None))
    assert listed(logdir) == [(".", "a.json")]
    for run, file in ((".", "link.pt.trace.json"), ("folder", "secret.pt.trace.json")):
        assert logdir.find(run, file) is None


@pytest.mark.parametrize(
    ("run", "file"),
    [
        ("..", "outside.json"),
        (".", "../outside.json"),
        ("", "{outside}"),
        (".", "{outside}"),
        ("{parent}", "outside.json"),
        ("%2e%2e", "outside.json"),
        (".", "a.json\0"),
        (".", ""),
        ("./.", "a.json"),
    ],
)
def test_only_listed_names_are_opened(tmp_path: Path, run: str, file: str) -> None:
    outside = put(tmp_path / "outside.json")
    put(tmp_path / "logs/a.json")
    logdir = Logdir(roots_of(str(tmp_path / "logs"), None))
    listed(logdir)
    assert logdir.find(".", "a.json") is not None
    assert logdir.find(run.format(parent=tmp_path), file.format(outside=outside)) is None


def test_a_file_swapped_for_a_link_after_the_scan_is_refused(tmp_path: Path) -> None:
    outside = put(tmp_path / "outside.json")
    listed_file = put(tmp_path / "logs/a.json")
    logdir = Logdir(roots_of(str(tmp_path / "logs"), None))
    listed(logdir)
    listed_file.unlink()
    listed_file.symlink_to(outside)
    assert logdir.find(".", "a.json") is None
