"""A headless Chromium of the system, and pages written from the hand-made analyses."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest
from opened import Opened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext

    from traceanalyzer.rules.analysis import Analysis

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium; a skip that says what is missing when there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    path = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    if path is None:
        pytest.skip("NO BROWSER: the page is not tested; install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Write an analysis as a page and open it from its file."""
    contexts: list[BrowserContext] = []

    def opener(analysis: Analysis, *, width: int = 1280, top: int = 50, **options: Any) -> Opened:
        from traceanalyzer.reporters import render

        path = tmp_path / f"report{len(contexts)}.html"
        path.write_text(render(analysis, "html", top=top), "utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.goto(path.as_uri())
        if options.get("java_script_enabled", True):
            opened.page.wait_for_function("document.readyState === 'complete'")
            opened.page.wait_for_timeout(150)
        return opened

    yield opener
    for context in contexts:
        context.close()
