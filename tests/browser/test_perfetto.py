"""The page that hands a trace to Perfetto's UI, against a stand-in that answers as the UI is documented to."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from traceanalyzer.cli import open as opening
from traceanalyzer.ingest.options import LoadOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser

STAND_IN = """<!doctype html><title>stand-in</title><script>
let pings = 0;
addEventListener("message", (event) => {
  if (event.data === "PING" && (pings += 1) > 2) event.source.postMessage("PONG", event.origin);
  else if (event.data.perfetto) window.got = {
    title: event.data.perfetto.title,
    text: new TextDecoder().decode(event.data.perfetto.buffer),
  };
});
</script>"""
CONTENT = '{"traceEvents": []}'
HOSTILE = "<img src=x onerror=alert(1)>.json"


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / HOSTILE).write_text(CONTENT)
    contents = opening._for_perfetto([str(tmp_path / HOSTILE)], LoadOptions())
    handler = opening._handler({f"/{name}": content for name, content in contents.items()})
    with opening.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_the_trace_is_handed_over_when_perfetto_answers(browser: Browser, address: str) -> None:
    context = browser.new_context()
    context.route(
        "https://ui.perfetto.dev/**", lambda route: route.fulfill(body=STAND_IN, content_type="text/html")
    )
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    if len(context.pages) == 1:  # where pop-ups need a click
        with context.expect_page():
            page.get_by_role("button", name="Open in Perfetto").click()
    perfetto = context.pages[1]
    perfetto.wait_for_function("window.got")
    assert perfetto.evaluate("window.got") == {"title": HOSTILE, "text": CONTENT}
    page.get_by_text("Perfetto has the trace.").wait_for()
    assert page.locator("#name").inner_text() == HOSTILE, "a file's name is text"
    assert errors == []
    context.close()
