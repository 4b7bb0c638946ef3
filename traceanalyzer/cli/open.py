"""`trace-analyze open`: the page, or the trace for Perfetto's UI, from a server that only this machine reaches."""

from __future__ import annotations

import secrets
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.errors import TraceAnalyzerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions

    Content = tuple[str, Callable[[], Iterable[bytes]]]  # its type, and its bytes in blocks

HTML, SCRIPT, BYTES = "text/html; charset=utf-8", "text/javascript; charset=utf-8", "application/octet-stream"


@click.command(short_help="Show the report page, or the trace in Perfetto, in the browser.")
@reads_inputs
@analysis_options
@click.option("--perfetto", is_flag=True, help="Hand the trace itself to ui.perfetto.dev, in your browser.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def command(
    inputs: Sequence[str], options: LoadOptions, wanted: Wanted, perfetto: bool, no_browser: bool
) -> None:
    """Show the report page in the browser, from memory, until Ctrl+C.

    The address has a random part and is on 127.0.0.1: nobody else reads it. --perfetto loads Perfetto's UI
    from the network; the trace goes from your browser tab to its tab and to no server.
    """
    if perfetto:
        contents = _for_perfetto(inputs, options)
    else:
        from traceanalyzer.reporters import render

        page = render(analyze(inputs, options, wanted), "html").encode()
        contents = {"": (HTML, lambda: [page])}
    serve(contents, with_browser=not no_browser)


def serve(contents: Mapping[str, Content], *, with_browser: bool) -> None:
    """Answer on a free port of 127.0.0.1 until Ctrl+C. `contents` are by name; "" is the page to look at."""
    prefix = f"/{secrets.token_urlsafe(12)}/"  # others on this machine can reach the port, but not guess this
    handler = _handler({prefix + name: content for name, content in contents.items()})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        url = f"http://127.0.0.1:{server.server_port}{prefix}"
        try:
            click.echo(url)
            click.echo("Ctrl+C ends it.", err=True)
            if with_browser:
                import webbrowser

                threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
            server.serve_forever()
        except KeyboardInterrupt:  # the way to end it, so nothing went wrong
            click.echo(err=True)


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
        raise TraceAnalyzerError(f"{inputs[0]}: --perfetto takes one file. Name one trace.")
    assets = files("traceanalyzer.cli").joinpath("perfetto")
    page, script = (assets.joinpath(name).read_bytes() for name in ("page.html", "handover.js"))
    path.open("rb").close()  # what cannot be read is said before a browser opens
    return {
        "": (HTML, lambda: [page]),
        "handover.js": (SCRIPT, lambda: [script]),
        "name": ("text/plain; charset=utf-8", lambda: [path.name.encode()]),
        "trace": (BYTES, lambda: _trace_bytes(path, options)),
    }


def _trace_bytes(path: Path, options: LoadOptions) -> Iterable[bytes]:
    """The file as it is, or inflated where Perfetto could not do it: it reads gzip, but not zstd."""
    from traceanalyzer.ingest.source import Truncated, blocks, compression_of

    with path.open("rb") as file:
        if compression_of(file.read(4)) == "zstd":
            try:
                yield from blocks(path, options)
            except (Truncated, TraceAnalyzerError) as error:  # Perfetto shows what came before
                click.echo(f"{path}: {error}", err=True)
            return
        file.seek(0)
        while block := file.read(1 << 20):
            yield block
