"""The pages of `trace-analyze explain`: the docstrings of the rules, and a reference made of them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceanalyzer.model.trace import remedies
from traceanalyzer.rules import ALL_RULES
from traceanalyzer.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.rules.base import Rule


@dataclass(frozen=True, slots=True)
class Page:
    """What is known of one rule; `summary` is the docstring's first sentence, `text` the whole of it."""

    code: str
    title: Text
    summary: str
    text: str
    needs: tuple[Text, ...]

    @property
    def paragraphs(self) -> tuple[Text, ...]:
        """The text as sentences of the catalogues: a paragraph each, in one line."""
        return tuple(Text(" ".join(part.split()), {}) for part in self.text.split("\n\n"))


def pages(rules: Sequence[Rule] = ALL_RULES) -> tuple[Page, ...]:
    """A page per rule, by code."""
    return tuple(sorted(map(_page, rules), key=lambda page: page.code))


def page_of(code: str) -> Page | None:
    """The page of one rule; None when there is no such rule."""
    return next((page for page in pages() if page.code == code.upper()), None)


def _page(rule: Rule) -> Page:
    text = inspect.getdoc(type(rule)) or rule.title
    summary = " ".join(text.split("\n\n", 1)[0].split())
    needs = remedies(sorted(rule.requires), ())
    return Page(rule.code, rule.title, summary, text, needs)


def reference() -> str:
    """The rule reference as Markdown, generated from the rules."""
    lines = ["# Rules", "", "Written by `make reports` from the rules themselves; do not edit.", ""]
    lines += ["| Code | Finds | Because |", "| --- | --- | --- |"]
    lines += [f"| [{p.code}](#{p.code.lower()}) | {p.title} | {p.summary} |" for p in pages()]
    for page in pages():
        lines += ["", f"## {page.code}", "", f"**{page.title}.** {page.text}"]
        if page.needs:
            lines += ["", *(f"Needs: {need}." for need in page.needs)]
    return "\n".join(lines) + "\n"
