"""Analyses in the background: one at a time, each file once, the rendered pages kept within bounds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Literal

from traceanalyzer.errors import TraceAnalyzerError

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.reporters.html import Served
    from traceanalyzer.tensorboard.logdir import Found, Stamp
    from traceanalyzer.tensorboard.summary import Summary

MAX_PAGES = 16
MAX_PAGE_BYTES = 256 << 20

State = Literal["new", "waiting", "reading", "analyzing", "done", "failed"]


@dataclass
class Job:
    """The work on one file as it is now; also ingest's Progress. Written by the working thread alone."""

    found: Found
    state: State = "waiting"
    total_bytes: int | None = None
    done_bytes: int = 0
    error: str = ""
    summary: Summary | None = None
    ended: threading.Event = field(default_factory=threading.Event)

    def start(self, path: str, total_bytes: int | None) -> None:  # noqa: ARG002 - the protocol's
        """The file is opened."""
        self.total_bytes, self.done_bytes = total_bytes, 0

    def advance(self, count: int) -> None:
        """`count` more bytes have been read."""
        self.done_bytes += count

    def finish(self) -> None:
        """The file is read."""
        self.state = "analyzing"


class Jobs:
    """Every file's latest job by path, and the pages used last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[Path, Job] = {}
        self._pages: OrderedDict[tuple[Path, Stamp], Served] = OrderedDict()
        self._queue: SimpleQueue[Job] = SimpleQueue()
        self._worker: threading.Thread | None = None

    def known(self, found: Found) -> Job | None:
        """The job of a file as it is on disk; None when it was not asked for, or has changed since."""
        job = self._jobs.get(found.path)
        return job if job and job.found.stamp == found.stamp else None

    def ask(self, found: Found) -> Job:
        """The file's job; it is queued when there is none."""
        with self._lock:
            return self.known(found) or self._queued(found)

    def page(self, found: Found) -> Served:
        """The rendered page, made (again) when it is not at hand.

        Raises:
            TraceAnalyzerError: the one line that says why there is none.
        """
        while True:
            with self._lock:
                page = self._pages.get((found.path, found.stamp))
                if page is not None:
                    self._pages.move_to_end((found.path, found.stamp))
                    return page
                job = self.known(found)
                if job is None or job.state == "done":  # its page made room for others
                    job = self._queued(found)
            job.ended.wait()
            if job.state == "failed":
                raise TraceAnalyzerError(job.error)

    def _queued(self, found: Found) -> Job:
        job = self._jobs[found.path] = Job(found)
        self._queue.put(job)
        if self._worker is None:  # a daemon: Ctrl+C ends TensorBoard at once, whatever is being read
            self._worker = threading.Thread(target=self._work, name="traceanalyzer-work", daemon=True)
            self._worker.start()
        return job

    def _work(self) -> None:
        while True:
            job = self._queue.get()
            try:
                page, summary = _analyze(job)
            except Exception as error:  # whatever one file does, the others go on
                job.error = _in_a_line(error, job.found)
                job.state = "failed"
            else:
                job.summary = summary
                with self._lock:
                    self._keep(job.found, page)
                    job.state = "done"
            job.ended.set()

    def _keep(self, found: Found, page: Served) -> None:
        self._pages[found.path, found.stamp] = page
        while len(self._pages) > 1 and (
            len(self._pages) > MAX_PAGES or sum(map(_size, self._pages.values())) > MAX_PAGE_BYTES
        ):
            self._pages.popitem(last=False)


def _analyze(job: Job) -> tuple[Served, Summary]:
    from traceanalyzer import pipeline
    from traceanalyzer.reporters.html import serve
    from traceanalyzer.tensorboard.summary import summarize

    job.state = "reading"
    trace = pipeline.load(job.found.path, progress=job)
    job.state = "analyzing"
    analysis = pipeline.analyze(trace)
    return serve(analysis), summarize(analysis)


def _in_a_line(error: Exception, found: Found) -> str:
    """The error without the server's folders: the page names the file already."""
    text = (
        str(error) if isinstance(error, TraceAnalyzerError) else f"unexpected {type(error).__name__}: {error}"
    )
    return " ".join(text.replace(str(found.path), found.file).split())


def _size(page: Served) -> int:
    return len(page.page) + len(page.timeline or b"") + len(page.report_json)
