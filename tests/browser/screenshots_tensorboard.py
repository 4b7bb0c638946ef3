"""`make reports`: pictures of the tab in TensorBoard over the traces in fixtures/, in light and dark.

python tests/browser/screenshots_tensorboard.py FOLDER
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import palette
from playwright.sync_api import Frame, Page, sync_playwright

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from tensorboard_server import tensorboard  # noqa: E402 - found by the line above

ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
RUNS = {
    "train": "gpu/train.plain.trace.json.gz",
    "slow-loader": "gpu/slow_loader.plain.trace.json.gz",
    "small-kernels": "gpu/tiny_kernels.plain.trace.json.gz",
    "small-kernels-compiled": "gpu/tiny_kernels_compiled.plain.trace.json.gz",
    "laptop": "recorded/cpu_train.json.gz",
}


def tab(page: Page) -> Frame:
    """The tab's own frame, with every row done."""
    while not (frames := [frame for frame in page.frames if "plugin_entry" in frame.url]):
        page.wait_for_timeout(100)
    frames[0].wait_for_function(f"document.querySelectorAll('td.verdict').length === {len(RUNS)}")
    return frames[0]


def take(page: Page, address: str, folder: Path, scheme: str) -> None:
    """The runs side by side."""
    page.goto(f"{address}#traceanalyzer")
    page.evaluate("dark => document.body.classList.toggle('dark-mode', dark)", scheme == "dark")
    tab(page)
    page.wait_for_timeout(500)
    palette.write(page.screenshot(), folder / f"tensorboard-{scheme}.png")


def take_comparison(page: Page, folder: Path, scheme: str) -> None:
    """What changed between two of them."""
    frame = tab(page)
    frame.locator("tr", has_text="small-kernels-compiled").get_by_role("button").click()
    frame.locator("#base").select_option(label="small-kernels: rank0.pt.trace.json.gz")
    page.frame_locator("iframe").frame_locator("#report").locator("#diff h1").wait_for()
    page.wait_for_timeout(500)
    palette.write(page.screenshot(), folder / f"diff-{scheme}.png")


def main(folder: Path) -> None:
    """All pictures."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        place = Path(name)
        for run, trace in RUNS.items():
            (place / "logs" / run).mkdir(parents=True)
            shutil.copy(ROOT / "fixtures" / trace, place / "logs" / run / "rank0.pt.trace.json.gz")
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
        with tensorboard(place / "logs", place) as board:
            for scheme in ("light", "dark"):
                page = browser.new_page(viewport={"width": 1280, "height": 760}, color_scheme=scheme)
                take(page, board.address, folder, scheme)
                take_comparison(page, folder, scheme)
                page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
