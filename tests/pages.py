"""Waiting for a page whose policy forbids what Playwright's own wait_for_function does: evaluating text in the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page

STEP_MS = 25


def until(page: Page | Frame, expression: str, arg: Any = None, *, limit_ms: int = 15_000) -> Any:
    """What an expression or function gives once it gives something."""
    for _ in range(0, limit_ms, STEP_MS):
        found = page.evaluate(expression, arg)
        if found:
            return found
        page.wait_for_timeout(STEP_MS)
    raise AssertionError(f"not within {limit_ms} ms: {expression}")
