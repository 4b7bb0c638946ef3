"""What the tab asks for, over HTTP. Each request names a trace by `run` and `file`; others than listed are 404."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from tensorboard.backend import http_util
from werkzeug.wrappers import Request

from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.languages import LANGUAGES, SCRIPTS, rooms
from traceanalyzer.reporters import assets
from traceanalyzer.tensorboard.jobs import Jobs
from traceanalyzer.tensorboard.logdir import Logdir, roots_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from werkzeug.wrappers import Response

    from traceanalyzer.tensorboard.jobs import Job
    from traceanalyzer.tensorboard.logdir import Found

    Answer = Callable[[Request], Response]
    OfTrace = Callable[[Request, Found], Response]

_TYPES = {"js": "text/javascript", "css": "text/css"}
_OWN_ASSETS = ("index.js", "view.css")


class Routes:
    """The answers; they run in the server's threads."""

    def __init__(self, logdir: str | None, logdir_spec: str | None) -> None:
        self.logdir = Logdir(roots_of(logdir, logdir_spec))
        self._jobs = Jobs()

    def apps(self) -> Mapping[str, Callable[..., Any]]:
        """Path → WSGI application."""
        own = files("traceanalyzer.tensorboard").joinpath("assets")
        texts = {name: own.joinpath(name).read_text("utf-8") for name in _OWN_ASSETS}
        texts |= {name: assets.text(name) for name in (assets.STYLE, *assets.SCRIPTS)}
        answers: dict[str, Answer] = {f"/{name}": partial(_asset, name, text) for name, text in texts.items()}
        answers["/traces"] = self._traces
        answers["/words"] = _words
        answers["/plotly.js"] = _plotly
        of_trace: dict[str, OfTrace] = {
            "/analyze": self._analyze,
            "/page": self._page,
            "/timeline": self._timeline,
            "/report.json": self._report_json,
            "/diff": self._diff,
            "/analyze-diff": self._analyze_diff,
        }
        answers |= {path: partial(self._with_trace, answer) for path, answer in of_trace.items()}
        return {path: Request.application(answer) for path, answer in answers.items()}

    def _with_trace(self, answer: OfTrace, request: Request) -> Response:
        found = self.logdir.find(request.args.get("run", ""), request.args.get("file", ""))
        if found is None:
            return _no_such(request)
        try:
            return answer(request, found)
        except TraceAnalyzerError as error:
            return _respond(request, str(error), "text/plain", code=422)

    def _traces(self, request: Request) -> Response:
        rows = [
            _row(found, self._jobs.known(found, language=_language(request))) for found in self.logdir.files()
        ]
        return _respond(request, rows, "application/json")

    def _analyze(self, request: Request, found: Found) -> Response:
        return _respond(
            request, _row(found, self._jobs.ask(found, language=_language(request))), "application/json"
        )

    def _page(self, request: Request, found: Found) -> Response:
        return _respond(request, self._jobs.page(found, language=_language(request)).page, "text/html")

    def _timeline(self, request: Request, found: Found) -> Response:
        drawn = self._jobs.page(found, language=_language(request)).timeline
        if drawn is None:
            return _respond(request, "the trace holds no events to draw", "text/plain", code=404)
        return _respond(request, drawn, "application/octet-stream")

    def _report_json(self, request: Request, found: Found) -> Response:
        return _respond(
            request,
            self._jobs.page(found, language=_language(request)).report_json,
            "application/octet-stream",
        )

    def _before(self, request: Request) -> Found | None:
        """The trace that a request names to compare with, guarded like the other."""
        return self.logdir.find(request.args.get("base_run", ""), request.args.get("base_file", ""))

    def _analyze_diff(self, request: Request, found: Found) -> Response:
        before = self._before(request)
        if before is None:
            return _no_such(request)
        return _respond(
            request, _work(self._jobs.ask(found, before, language=_language(request))), "application/json"
        )

    def _diff(self, request: Request, found: Found) -> Response:
        before = self._before(request)
        if before is None:
            return _no_such(request)
        return _respond(
            request, self._jobs.page(found, before, language=_language(request)).page, "text/html"
        )


def _language(request: Request) -> str:
    """The language that the tab asks for."""
    asked: str = request.args.get("lang", "en")
    return asked if asked in LANGUAGES else "en"


def _words(request: Request) -> Response:
    """What the tab's script says in that language."""
    return _respond(request, dict(rooms(_language(request)).get(SCRIPTS, {})), "application/json")


def _no_such(request: Request) -> Response:
    return _respond(request, "no such trace below the log directory", "text/plain", code=404)


def _plotly(request: Request) -> Response:
    from traceanalyzer.reporters.html import plotly

    return _respond(request, plotly.script(), _TYPES["js"])


def _asset(name: str, text: str, request: Request) -> Response:
    return _respond(request, text, _TYPES[name.rpartition(".")[2]])


def _respond(request: Request, content: object, content_type: str, code: int = 200) -> Response:
    """An answer with TensorBoard's headers, its content security policy among them."""
    response: Response = http_util.Respond(request, content, content_type, code=code)
    return response


def _work(job: Job | None) -> dict[str, Any]:
    """How far the work is."""
    share = job.done_bytes / job.total_bytes if job and job.total_bytes else None
    return {
        "state": job.state if job else "new",
        "progress": min(share, 1.0) if share is not None else None,
        "error": job.error if job else "",
    }


def _row(found: Found, job: Job | None) -> dict[str, Any]:
    """A line of the overview: the file, and how far the work on it is."""
    return {
        "run": found.run,
        "file": found.file,
        "bytes": found.stamp.bytes,
        "version": f"{found.stamp.modified_ns:x}-{found.stamp.bytes:x}",
        "modified_ms": found.stamp.modified_ns // 1_000_000,
        **_work(job),
        "summary": asdict(job.summary) if job and job.summary else None,
    }
