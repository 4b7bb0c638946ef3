"""`trace-analyze open`: the page, or the trace for Perfetto's UI, from a server that only this machine reaches."""

from __future__ import annotations

import os
import secrets
import threading
from contextlib import suppress
from dataclasses import replace
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.cli.sources import source_options
from traceanalyzer.cli.table import printable
from traceanalyzer.errors import TraceAnalyzerError
from traceanalyzer.languages import current, speaking, spoken
from traceanalyzer.text import say

if TYPE_CHECKING:
    import webbrowser
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.source_links import SourceLinks
    from traceanalyzer.text import Text

    Content = tuple[str, Callable[[], Iterable[bytes]]]  # its type, and its bytes in blocks

HTML, SCRIPT, BYTES = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "application/octet-stream"


@click.command(short_help="Show the report page, or the trace in Perfetto, in the browser.")
@source_options
@click.option("--perfetto", is_flag=True, help="Hand the trace itself to ui.perfetto.dev, in your browser.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=0, help="Serve there. Default: any port that is free."
)
@analysis_options
@reads_inputs
def command(
    inputs: Sequence[str],
    options: LoadOptions,
    wanted: Wanted,
    sources: SourceLinks | None,
    perfetto: bool,
    no_browser: bool,
    port: int,
) -> None:
    """Show the report page in the browser, from memory, until Ctrl+C.

    The address has a random part and is on 127.0.0.1: nobody else reads it. --perfetto loads Perfetto's UI
    from the network; the trace goes from your browser tab to its tab and to no server. Where this machine has
    no browser, it says how to reach it from one that has.
    """
    if perfetto:
        contents = _for_perfetto(inputs, options)
    else:
        from traceanalyzer.reporters import render

        analysis = replace(analyze(inputs, options, wanted), source_links=sources)
        page = render(analysis, "html").encode()
        contents = {"": (HTML, lambda: [page])}
    serve(contents, with_browser=not no_browser, port=port)


def serve(contents: Mapping[str, Content], *, with_browser: bool, port: int = 0) -> None:
    """Answer on a port of 127.0.0.1 until Ctrl+C. `contents` are by name; "" is the page to look at.

    Raises:
        TraceAnalyzerError: the port is taken.
    """
    prefix = f"/{secrets.token_urlsafe(12)}/"  # others on this machine can reach the port, but not guess this
    handler = _handler({prefix + name: content for name, content in contents.items()})
    with _listening(port, handler) as server:
        server.daemon_threads = True
        url = f"http://127.0.0.1:{server.server_port}{prefix}"
        try:
            click.echo(url)
            click.echo(spoken(say("Ctrl+C ends it.")), err=True)
            browser = _browser()
            if browser is None:
                click.echo(from_elsewhere(server.server_port), err=True)
            elif with_browser:
                threading.Thread(target=browser.open, args=(url,), daemon=True).start()
            server.serve_forever()
        except KeyboardInterrupt:  # the way to end it, so nothing went wrong
            click.echo(err=True)


def _listening(port: int, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    try:
        return ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise TraceAnalyzerError(
            say("port {port}: {problem}. Name another with --port.", port=port, problem=error.strerror)
        ) from None


def _browser() -> webbrowser.BaseBrowser | None:
    """This machine's browser; None where there is none, or where nobody sits in front of it."""
    import webbrowser

    remote = (
        "SSH_CONNECTION" in os.environ and "DISPLAY" not in os.environ and "WAYLAND_DISPLAY" not in os.environ
    )
    try:
        return None if remote else webbrowser.get()
    except webbrowser.Error:
        return None


def from_elsewhere(port: int) -> str:
    """How a browser on another machine gets here: the address is only good on this one."""
    import getpass
    import socket

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        user = "USER"
    command = f"ssh -N -L {port}:127.0.0.1:{port} {user}@{socket.gethostname()}"
    return "\n".join(
        (
            spoken(say("No browser here. On the machine where you have one, run")),
            f"  {command}",
            spoken(say("and open the address above there.")),
        )
    )


def _handler(contents: Mapping[str, Content]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = contents.get(self.path)
            if content is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            kind, blocks = content
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            with suppress(ConnectionError):  # the tab was closed meanwhile
                for block in blocks():
                    self.wfile.write(block)

        def log_message(self, *_: object) -> None:
            """Nobody reads a log of one's own clicks."""

    return Handler


def _for_perfetto(inputs: Sequence[str], options: LoadOptions) -> dict[str, Content]:
    """The page that hands over, its script, and the trace."""
    path = Path(inputs[0])
    if len(inputs) > 1 or not path.is_file():
        raise TraceAnalyzerError(say("{name}: --perfetto takes one file. Name one trace.", name=inputs[0]))
    assets = files("traceanalyzer.cli").joinpath("perfetto")
    page, script = (assets.joinpath(name).read_bytes() for name in ("page.html", "handover.js"))
    path.open("rb").close()  # what cannot be read is said before a browser opens
    language = current()  # the server's threads speak none yet
    return {
        "": (HTML, lambda: [page]),
        "handover.js": (SCRIPT, lambda: [script]),
        "name": ("text/plain; charset=utf-8", lambda: [path.name.encode()]),
        "trace": (BYTES, lambda: _trace_bytes(path, options, language)),
    }


def _trace_bytes(path: Path, options: LoadOptions, language: str) -> Iterable[bytes]:
    """The file as it is, or inflated where Perfetto could not do it: it reads gzip, but not zstd."""
    from traceanalyzer.ingest.source import Truncated, blocks, compression_of

    with path.open("rb") as file:
        if compression_of(file.read(4)) == "zstd":
            try:
                yield from blocks(path, options)
            except (Truncated, TraceAnalyzerError) as error:  # Perfetto shows what came before
                with speaking(language):
                    click.echo(printable(_ended_early(path, error)), err=True)
            return
        file.seek(0)
        while block := file.read(1 << 20):
            yield block


def _ended_early(path: Path, error: Exception) -> Text:
    if isinstance(error, TraceAnalyzerError):
        return error.message
    problem = say("the compressed data is damaged or cut off: {error}", error=str(error))
    return say("{path}: {problem}", path=path, problem=problem)
