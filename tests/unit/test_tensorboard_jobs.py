"""The work behind the TensorBoard tab: once per file, within bounds, and one file's failure is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chrome_files import dump, simple_events, trace

from traceanalyzer import pipeline
from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.tensorboard import jobs as room
from traceanalyzer.tensorboard.jobs import Jobs
from traceanalyzer.tensorboard.logdir import Logdir, roots_of

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.tensorboard.logdir import Found


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files that were read, in order."""
    monkeypatch.setenv("TRACEANALYZER_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    names: list[str] = []
    load = pipeline.load

    def counted(path: Path, **options: object) -> object:
        names.append(path.name)
        return load(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "load", counted)
    return names


def found(tmp_path: Path, name: str, content: str | None = None) -> Found:
    (tmp_path / name).write_text(dump(trace(simple_events())) if content is None else content)
    logdir = Logdir(roots_of(str(tmp_path), None))
    logdir.files()
    result = logdir.find(".", name)
    assert result is not None
    return result


def test_a_file_is_read_once_however_often_it_is_asked_for(tmp_path: Path, reads: list[str]) -> None:
    jobs, one = Jobs(), found(tmp_path, "a.json")
    first = jobs.ask(one)
    assert jobs.ask(one) is first
    page = jobs.page(one)
    assert jobs.page(one) is page
    assert first.state == "done"
    assert first.summary is not None
    assert reads == ["a.json"]


def test_a_file_that_changed_is_read_again(tmp_path: Path, reads: list[str]) -> None:
    jobs = Jobs()
    jobs.page(found(tmp_path, "a.json"))
    changed = found(tmp_path, "a.json", dump(trace(simple_events())) + "\n")
    assert jobs.known(changed) is None
    jobs.page(changed)
    assert reads == ["a.json", "a.json"]


def test_few_pages_are_kept_and_the_others_made_again(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MAX_PAGES", 2)
    jobs, files = Jobs(), [found(tmp_path, name) for name in ("a.json", "b.json", "c.json")]
    for file in files:
        jobs.page(file)
    assert len(jobs._pages) == 2
    assert "a.json" in jobs.page(files[0]).page
    assert reads == ["a.json", "b.json", "c.json", "a.json"]
    known = jobs.known(files[1])
    assert known is not None, "the row stays when the page had to go"
    assert known.summary is not None


def test_one_large_page_is_kept(tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "MAX_PAGE_BYTES", 10)
    jobs, one = Jobs(), found(tmp_path, "a.json")
    assert jobs.page(one) is jobs.page(one)


def test_a_broken_file_says_why_in_a_line_without_the_server_s_folders(
    tmp_path: Path, reads: list[str]
) -> None:
    jobs = Jobs()
    broken = found(tmp_path, "broken.pt.trace.json", "gar\nbage")
    with pytest.raises(TraceAnalyzerError) as told:
        jobs.page(broken)
    text = str(told.value)
    assert text.startswith("broken.pt.trace.json: ")
    assert str(tmp_path) not in text
    assert "\n" not in text
    assert jobs.ask(broken).state == "failed"
    jobs.page(found(tmp_path, "fine.json"))
    assert reads == ["broken.pt.trace.json", "fine.json"], "the broken one once, and the others go on"


def test_an_unexpected_error_is_a_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "load", lambda *_, **__: 1 / 0)
    with pytest.raises(TraceAnalyzerError, match="unexpected ZeroDivisionError"):
        Jobs().page(found(tmp_path, "a.json"))


def test_reading_is_told_as_progress(tmp_path: Path) -> None:
    job = room.Job((found(tmp_path, "a.json"),))
    job.start("a.json", 200)
    job.advance(50)
    assert (job.done_bytes, job.total_bytes) == (50, 200)
    job.finish()
    assert job.state == "analyzing"
