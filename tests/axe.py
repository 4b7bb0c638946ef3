"""axe-core in a page, for tests: `make .venv/axe.min.js` fetches it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Frame, Page

AXE = Path(__file__).parents[1] / ".venv/axe.min.js"
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


def violations(page: Page | Frame) -> list[str]:
    """What axe finds, one line per element."""
    page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = page.evaluate("rules => axe.run(document, rules)", RULES)
    return [
        f"{v['id']}: {node['html'][:160]} ({node['failureSummary'].splitlines()[-1].strip()})"
        for v in found["violations"]
        for node in v["nodes"]
    ]
