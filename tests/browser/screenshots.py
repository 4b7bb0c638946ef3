"""`make reports`: pictures of a report page, in light and dark, wide and on a phone, and of the same page in Chinese.

python tests/browser/screenshots.py PAGE CHINESE_PAGE FOLDER
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import palette
from playwright.sync_api import Browser, sync_playwright

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
RANGE = (
    "const { range, timeline } = traceReport; range.set(timeline.data.end * 0.25, timeline.data.end * 0.4)"
)
TO_MEMORY = "document.querySelector('#memory').scrollIntoView()"
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
    palette.write(tab.locator(section).screenshot() if section else tab.screenshot(), picture)
    tab.close()


def has_chinese() -> bool:
    """Whether a font of this machine has the characters; without one, a picture shows empty boxes."""
    if shutil.which("fc-list") is None:
        return False
    done = subprocess.run(["fc-list", ":lang=zh-cn"], capture_output=True, check=False)
    return bool(done.stdout.strip())


def main(page: Path, chinese: Path, oom: Path, folder: Path) -> None:
    """All pictures of one page, and the post-mortem of another."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        for scheme in ("light", "dark"):
            take(browser, page, folder / f"page-{scheme}.png", scheme, WIDE)
            take(browser, page, folder / f"timeline-{scheme}.png", scheme, WIDE, "#timeline", RANGE)
            take(browser, page, folder / f"memory-{scheme}.png", scheme, WIDE, "#memory")
            take(browser, oom, folder / f"oom-{scheme}.png", scheme, WIDE, do=TO_MEMORY)
        take(browser, page, folder / "phone-light.png", "light", PHONE)
        if has_chinese():
            take(browser, chinese, folder / "page-zh.png", "light", WIDE)
            take(browser, chinese, folder / "timeline-zh.png", "light", WIDE, "#timeline", RANGE)
        else:
            sys.stderr.write("No pictures in Chinese: no font has it. apt install fonts-noto-cjk\n")
        browser.close()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
