"""`make reports`: pictures of a report page, in light and dark, wide and on a phone.

python tests/browser/screenshots.py PAGE FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
RANGE = (
    "const { range, timeline } = traceReport; range.set(timeline.data.end * 0.25, timeline.data.end * 0.4)"
)
WIDE, PHONE = {"width": 1280, "height": 960}, {"width": 390, "height": 844}


def take(
    browser: Browser,
    page: Path,
    picture: Path,
    scheme: str,
    size: dict[str, int],
    section: str = "",
    do: str = "",
) -> None:
    """One picture: the first screen, or one section of the page after something was done there."""
    tab = browser.new_page(viewport=size, color_scheme=scheme)
    tab.goto(page.resolve().as_uri())
    tab.wait_for_timeout(800)  # the timeline unpacks itself
    if do:
        tab.evaluate(do)
        tab.wait_for_timeout(400)
    if section:
        tab.locator(section).screenshot(path=picture)
    else:
        tab.screenshot(path=picture)
    tab.close()


def main(page: Path, folder: Path) -> None:
    """All pictures of one page."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        for scheme in ("light", "dark"):
            take(browser, page, folder / f"page-{scheme}.png", scheme, WIDE)
            take(browser, page, folder / f"timeline-{scheme}.png", scheme, WIDE, "#timeline", RANGE)
            take(browser, page, folder / f"memory-{scheme}.png", scheme, WIDE, "#memory")
        take(browser, page, folder / "phone-light.png", "light", PHONE)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
