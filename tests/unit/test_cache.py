"""The cache gives back exactly what was stored, or nothing; it never breaks a run."""

from __future__ import annotations

import hashlib
import os
import stat
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from traceanalyzer.ingest import cache
from traceanalyzer.model.schema import BY_NAME
from traceanalyzer.model.tables import empty, from_rows
from traceanalyzer.model.trace import Capability, Note, Source, Trace

YESTERDAY_S = 1_700_000_000


@pytest.fixture(autouse=True)
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for every test."""
    folder = tmp_path / "user cache"
    monkeypatch.setenv(cache.DIRECTORY_VARIABLE, str(folder))
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return a_file(tmp_path / "run.json", b'{"traceEvents": []}')


def a_file(path: Path, content: bytes, modified_s: int = YESTERDAY_S) -> Path:
    path.write_bytes(content)
    os.utime(path, (modified_s, modified_s))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def a_trace(path: Path, kernels: int = 3) -> Trace:
    rows = [
        {
            "name": f"kernel {i % 2}",
            "rank": 0,
            "ts": 1_000 * i,
            "dur": None if i == 1 else 7,
            "device": 0,
            "stream": 7,
            "grid": None if i == 2 else [i, 1, 1],
            "block": [32, 1, 1],
            "occupancy": 12.5,
        }
        for i in range(kernels)
    ]
    ops = [{"name": "aten::mm", "ts": 5, "dur": 9, "pid": 1, "tid": -1, "input_dims": "[[2,3],[3,4]]"}]
    filled = {"kernels": from_rows("kernels", rows), "ops": from_rows("ops", ops)}
    source = Source(
        path=str(path),
        format="chrome",
        sha256=sha256(path),
        bytes=path.stat().st_size,
        events=kernels + 1,
        rank=3,
        epoch_ns=1_700_000_000_123_456_789,
        metadata={"schemaVersion": 1, "distributedInfo": {"world_size": 8, "ratio": 0.5, "pg": ["a", None]}},
        notes=(Note("partial", "ends at byte 7", "Record again."),),
    )
    tables = {name: filled.get(name, empty(name)) for name in BY_NAME}
    return Trace((source,), tables, frozenset({Capability.SHAPES, Capability.DEVICE_WORK}))


def stored(path: Path, **kwargs: int) -> Trace:
    trace = a_trace(path, **kwargs)
    cache.store(path, sha256(path), trace)
    return trace


def the_entry() -> Path:
    (entry,) = cache.entries()
    return entry.directory


def test_what_comes_back_equals_what_was_stored(file: Path) -> None:
    trace = stored(file)
    again = cache.lookup(file)
    assert again is not None
    assert again.sources == trace.sources
    assert again.capabilities == trace.capabilities
    assert list(again.tables) == list(trace.tables)
    for name, table in trace.tables.items():
        assert again.tables[name].schema == table.schema, name
        assert again.tables[name].equals(table), name
        assert all(column.num_chunks <= 1 for column in again.tables[name].columns), name


def test_an_unknown_file_is_not_found_and_not_hashed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "sha256_of", pytest.fail)
    assert cache.lookup(file) is None


def test_a_file_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    assert cache.lookup(tmp_path / "absent") is None


def test_reopening_does_not_read_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(file)
    monkeypatch.setattr(cache, "sha256_of", pytest.fail)
    assert cache.lookup(file) is not None


def test_a_copy_under_another_name_is_known_by_its_content(file: Path, tmp_path: Path) -> None:
    stored(file)
    copy = a_file(tmp_path / "copy.json", file.read_bytes())
    again = cache.lookup(copy)
    assert again is not None
    assert again.sources[0].path == str(copy)


def test_changed_content_of_the_same_size_is_not_confused(file: Path) -> None:
    stored(file)
    content = file.read_bytes().swapcase()
    a_file(file, content, modified_s=YESTERDAY_S + 60)
    assert cache.lookup(file) is None


def test_a_file_written_a_moment_ago_is_not_known_by_its_stat(file: Path) -> None:
    os.utime(file)
    stored(file)
    was = file.stat()
    file.write_bytes(file.read_bytes().swapcase())
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))  # as a clock too coarse to tell would leave it
    assert cache.lookup(file) is None


@pytest.mark.parametrize("victim", ["header", "kernels.parquet"])
@pytest.mark.parametrize("damage", ["cut", "emptied", "removed", "flipped"])
def test_a_damaged_entry_is_dropped_and_can_be_rebuilt(file: Path, victim: str, damage: str) -> None:
    trace = stored(file)
    part = the_entry() / victim
    content = part.read_bytes()
    match damage:
        case "cut":
            part.write_bytes(content[: len(content) // 2])
        case "emptied":
            part.write_bytes(b"")
        case "removed":
            part.unlink()
        case "flipped" if victim == "header":
            part.write_bytes(content.replace(b'"rank": 3', b'"rank": 4'))
        case _:
            middle = content.index(b"kernel 1")  # a page's payload: only a checksum can tell
            part.write_bytes(content[:middle] + b"kernel 7" + content[middle + 8 :])
    assert cache.lookup(file) is None
    assert cache.entries() == []
    cache.store(file, sha256(file), trace)
    assert cache.lookup(file) is not None


def test_another_parser_version_finds_nothing(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored(file)
    monkeypatch.setattr(cache, "_version", lambda: "another")
    assert cache.lookup(file) is None


def test_the_least_recently_used_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (a_file(tmp_path / f"{n}.json", b"x" * n) for n in (1, 2, 3))
    stored(first)
    one = cache.entries()[0].bytes
    stored(second)
    for entry, used_s in zip(reversed(cache.entries()), (10, 20), strict=True):
        os.utime(entry.directory, (used_s, used_s))
    assert cache.lookup(first) is not None  # so `second` was not used for longest
    monkeypatch.setenv(cache.MAX_BYTES_VARIABLE, str(one * 2 + one // 2))
    stored(third)
    assert cache.lookup(second) is None
    assert cache.lookup(first) is not None
    assert cache.lookup(third) is not None


def test_clear_says_how_many_it_removed(file: Path, root: Path) -> None:
    stored(file)
    assert cache.clear() == 1
    assert cache.lookup(file) is None
    assert [p for p in root.rglob("*") if p.is_file()] == []
    assert cache.clear() == 0


def test_clear_touches_nothing_but_the_cache(file: Path, root: Path) -> None:
    root.mkdir()
    (root / "thesis.tex").write_text("years")
    stored(file)
    cache.clear()
    assert (root / "thesis.tex").read_text() == "years"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_nobody_else_may_look(file: Path, root: Path) -> None:
    stored(file)
    for folder in (root, root / "entries", root / "seen", the_entry()):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_entries_tell_what_is_kept(file: Path) -> None:
    stored(file)
    (entry,) = cache.entries()
    assert (entry.path, entry.sha256, entry.events) == (str(file), sha256(file), 4)
    assert entry.bytes == sum(f.stat().st_size for f in entry.directory.iterdir())


def test_a_cache_that_cannot_be_written_is_passed_by(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "a file"
    in_the_way.write_text("not a folder")
    monkeypatch.setenv(cache.DIRECTORY_VARIABLE, str(in_the_way))
    stored(file)
    assert cache.lookup(file) is None
    assert cache.entries() == []
    assert cache.clear() == 0


def test_a_full_disk_leaves_nothing_half_written(
    file: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache, "_write_table", full)
    stored(file)
    assert cache.lookup(file) is None
    assert [p for p in root.rglob("*") if p.is_file()] == []


def _store_and_look(path: str) -> bool:
    cache.store(Path(path), sha256(Path(path)), a_trace(Path(path), kernels=1000))
    found = cache.lookup(Path(path))
    return found is not None and found.kernels.num_rows == 1000


def test_processes_may_store_the_same_file_at_once(file: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        assert all(pool.map(_store_and_look, [str(file)] * 12))
    assert len(cache.entries()) == 1
