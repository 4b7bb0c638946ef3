"""The page in Chinese: nothing of it is left in English, nothing runs over the edge, and it works as the other does."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import report_cases as cases

import traceanalyzer as ta
from traceanalyzer.languages import speaking

if TYPE_CHECKING:
    from collections.abc import Callable

    from opened import Opened
    from playwright.sync_api import Page

    from traceanalyzer.rules.analysis import Analysis

pytestmark = pytest.mark.browser

FIXTURES = Path(__file__).parents[2] / "fixtures"
RUNS = {
    "a training run": ["simulated/sim_training_mixed.json.gz"],
    "two ranks": ["simulated/sim_straggler_rank0.json.gz", "simulated/sim_straggler_rank1.json.gz"],
    "a CPU alone": ["cpu/train.plain.trace.json.gz"],
    "an out-of-memory error": ["snapshots/oom.pickle.gz"],
}
# Texts of the page outside of names and code that hold a word of three letters but nothing Chinese.
UNTRANSLATED = r"""() => {
  const kept = "script, style, noscript, code, pre, bdi, .code, .code-link, .proves, .brand, .plot";
  const found = new Set();
  const look = (text, element) => {
    if (/[A-Za-z]{3,}/.test(text) && !/[\u4e00-\u9fff]/.test(text) && !element.closest(kept)) found.add(text.trim());
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) look(node.textContent, node.parentElement);
  for (const name of ["title", "aria-label", "placeholder"]) {
    document.querySelectorAll(`[${name}]`).forEach((element) => look(element.getAttribute(name), element));
  }
  return [...found];
}"""
# Three English words in a row, or a small one, amid Chinese: something glued together.
MIXED = r"""() => {
  const found = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const text = node.textContent.trim();
    if (node.parentElement.closest("script, style, noscript, code, pre, bdi, .code")) continue;
    const english = /\b(the|is|are|and|with|calls?|times|gaps?|kernels|steps)\b/.test(text);
    if (english && /[\u4e00-\u9fff]/.test(text)) found.add(text);
  }
  return [...found];
}"""
NAMES = {
    "Roofline",
    "Kernel",
    "Step",
    "Rank",
    "SHA-256",
    "CUDA",
    "Stream",
    "Python",
    "FLOPs",
    "PyTorch",
    "NCCL",
    "CPU",
}


def analysis_of(run: str) -> Analysis:
    return ta.analyze(ta.load(*(FIXTURES / name for name in RUNS[run])))


def is_name(text: str) -> bool:
    """What engineers say in English in Chinese, too, or what is no words at all."""
    words = [word.strip("，：· ") for word in text.replace("driver", "").split()]
    unit = all(word in {"KiB", "MiB", "GiB", "bytes", "TFLOP/s"} or not word.isalpha() for word in words)
    return unit or all(word in NAMES or not word.isalpha() for word in words) or "SHA-256" in text


@pytest.mark.parametrize("run", RUNS)
def test_nothing_on_the_chinese_page_is_left_in_english(open_page: Callable[..., Opened], run: str) -> None:
    with speaking("zh"):
        opened = open_page(analysis_of(run))
    page = opened.page
    assert page.evaluate("document.documentElement.lang") == "zh-CN"
    page.evaluate("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    assert [text for text in page.evaluate(UNTRANSLATED) if not is_name(text)] == []
    assert page.evaluate(MIXED) == []
    assert (opened.errors, opened.console) == ([], [])


@pytest.mark.parametrize("run", RUNS)
def test_chinese_fits_a_phone(open_page: Callable[..., Opened], run: str) -> None:
    with speaking("zh"):
        page = open_page(analysis_of(run), width=390).page
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_the_scripts_speak_chinese(open_page: Callable[..., Opened]) -> None:
    with speaking("zh"):
        page: Page = open_page(cases.training()).page
    page.get_by_role("button", name="主题：自动").click()
    assert page.get_by_role("button", name="主题：浅色").is_visible()
    assert "当前显示" in page.locator("#timeline-status").inner_text()
    page.get_by_placeholder("查找名称，按 Enter 跳到下一个").fill("aten::mm")
    assert "找到" in page.locator("#timeline-found").inner_text()
    assert page.get_by_role("button", name="复制为 CSV").count() > 3


def test_the_english_page_holds_nothing_chinese(open_page: Callable[..., Opened]) -> None:
    page = open_page(cases.training()).page
    assert page.evaluate("/[\\u4e00-\\u9fff]/.test(document.documentElement.outerHTML)") is False
