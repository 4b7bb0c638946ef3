"""Analyses in the background: one at a time, each file (or pair of files) once, the pages kept within bounds."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal

from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.languages import speaking

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.reporters.html import Served
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.tensorboard.logdir import Found
    from traceanalyzer.tensorboard.summary import Summary

MAX_PAGES = 16
MAX_PAGE_BYTES = 256 << 20

State = Literal["new", "waiting", "reading", "analyzing", "done", "failed"]


Files = tuple["Found", ...]  # one: its report; two, AFTER and BEFORE: what changed
Task = tuple[Files, str]  # and the language to say it in


@dataclass
class Job:
    """The work on files as they are now; also ingest's Progress. Written by the working thread alone."""

    files: Files
    language: str = "en"
    state: State = "waiting"
    total_bytes: int | None = None
    done_bytes: int = 0
    error: str = ""
    summary: Summary | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def start(self, path: str, total_bytes: int | None) -> None:  # noqa: ARG002 - the protocol's
        """The file is opened."""
        self.state, self.total_bytes, self.done_bytes = "reading", total_bytes, 0

    def advance(self, count: int) -> None:
        """`count` more bytes have been read."""
        self.done_bytes += count

    def finish(self) -> None:
        """The file is read."""
        self.state = "analyzing"


class Jobs:
    """Every file's latest job by path, and the pages used last. All take one file, or AFTER and BEFORE."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[tuple[tuple[Path, ...], str], Job] = {}
        self._pages: OrderedDict[Task, Served] = OrderedDict()
        self._queue: SimpleQueue[Job] = SimpleQueue()
        self._worker: threading.Thread | None = None

    def known(self, *files: Found, language: str = "en") -> Job | None:
        """The job of files as they are on disk; None when it was not asked for, or one has changed since."""
        job = self._jobs.get((_paths(files), language))
        return job if job and job.files == files else None

    def ask(self, *files: Found, language: str = "en") -> Job:
        """The files' job; it is queued when there is none."""
        with self._lock:
            return self.known(*files, language=language) or self._queued((files, language))

    def page(self, *files: Found, language: str = "en") -> Served:
        """The rendered page, made (again) when it is not at hand.

        Raises:
            TraceAnalyzerError: the one line that says why there is none.
        """
        task = (files, language)
        while True:
            with self._lock:
                page = self._pages.get(task)
                if page is not None:
                    self._pages.move_to_end(task)
                    return page
                job = self.known(*files, language=language)
                if job is None or job.state == "done":  # its page made room for others
                    job = self._queued(task)
            job.ended.wait()
            if job.state == "failed":
                raise TraceAnalyzerError(job.error)

    def _queued(self, task: Task) -> Job:
        files, language = task
        job = self._jobs[_paths(files), language] = Job(files, language)
        self._queue.put(job)
        if self._worker is None:  # a daemon: Ctrl+C ends TensorBoard at once, whatever is being read
            self._worker = threading.Thread(target=self._work, name="traceanalyzer-work", daemon=True)
            self._worker.start()
        return job

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            try:
                with speaking(job.language):
                    page, summary = _analyze(job) if len(job.files) == 1 else (_compare(job), None)
            except Exception as error:  # whatever one file does, the others go on
                job.error = _in_a_line(error, job.files)
                job.state = "failed"
            else:
                job.summary = summary
                with self._lock:
                    self._keep((job.files, job.language), page)
                    job.state = "done"
            job.ended.set()

    def _keep(self, task: Task, page: Served) -> None:
        self._pages[task] = page
        while len(self._pages) > 1 and (
            len(self._pages) > MAX_PAGES or sum(map(_size, self._pages.values())) > MAX_PAGE_BYTES
        ):
            self._pages.popitem(last=False)


def _paths(files: Files) -> tuple[Path, ...]:
    return tuple(found.path for found in files)


def _analyze(job: Job) -> tuple[Served, Summary]:
    from traceanalyzer.reporters.html import serve
    from traceanalyzer.tensorboard.summary import summarize

    analysis = _analysis(job, job.files[0])
    return serve(analysis), summarize(analysis)


def _compare(job: Job) -> Served:
    """What changed; both are read again, from the cache of files read before, rather than kept in memory."""
    from traceanalyzer.reporters.comparison import as_json
    from traceanalyzer.reporters.html import Served, comparison
    from traceanalyzer.rules.comparison import compare

    after, before = (_analysis(job, found) for found in job.files)
    found = compare(before, after)
    of_after, of_before = (f"{file.run}: {file.file}" for file in job.files)
    page = comparison.serve(found, titles=(of_before, of_after))
    return Served(page, None, zlib.compress(as_json(found).encode()))


def _analysis(job: Job, found: Found) -> Analysis:
    from traceanalyzer import pipeline
    from traceanalyzer.source_links import from_environment

    job.state = "reading"
    trace = pipeline.load(found.path, progress=job)
    job.state = "analyzing"
    return replace(pipeline.analyze(trace), source_links=from_environment())


def _in_a_line(error: Exception, files: Files) -> str:
    """The error without the server's folders: the page names the file already."""
    text = (
        str(error) if isinstance(error, TraceAnalyzerError) else f"unexpected {type(error).__name__}: {error}"
    )
    for found in files:
        text = text.replace(str(found.path), found.file)
    return " ".join(text.split())


def _size(page: Served) -> int:
    return len(page.page) + len(page.timeline or b"") + len(page.report_json)
