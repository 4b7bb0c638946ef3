"""The templates' environment: everything escaped, unknown names are errors, one filter per kind of value."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemBytecodeCache, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from traceanalyzer import languages
from traceanalyzer.languages import spoken
from traceanalyzer.reporters import names, timeline, units
from traceanalyzer.reporters.facts import PARTS, cause_text
from traceanalyzer.reporters.html import cells, charts, plotly, proofs
from traceanalyzer.rules import vocabulary
from traceanalyzer.text import inflected, say

if TYPE_CHECKING:
    from jinja2.bccache import Bucket

TEMPLATES = Path(__file__).parent.with_name("templates")
LINE_LIMIT = 400  # characters of a sentence: rules write shorter ones, hostile names longer ones


@cache
def get() -> Environment:
    """The environment, made once."""
    environment = Environment(
        loader=FileSystemLoader(str(TEMPLATES)),
        bytecode_cache=Compiled(TEMPLATES / "__pycache__"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=spoken,
    )
    environment.filters |= {
        "duration": units.duration,
        "size": units.size,
        "count": units.count,
        "share": units.share,
        "saving": units.saving,
        "name": names.cut,
        "kernel": names.kernel,
        "full": names.full,
        "prose": names.prose,
        "rich": cells.rich,
        "advice": cells.advice,
        "inline": lambda text: cells.inline(names.cut(text, LINE_LIMIT)),
        "heading": lambda text: cells.heading(names.cut(text, LINE_LIMIT)),
        "located": lambda text, links: cells.located(names.cut(text, LINE_LIMIT), links),
        "cause": cause_text,
        "searched": lambda name: names.cut(name, timeline.NAME_LIMIT),
        "word": lambda key: spoken(vocabulary.word(key)),
        "capability": lambda key: spoken(vocabulary.capability(key)),
        "json_text": _json_text,
    }
    environment.globals |= {
        "say": _sentence,
        "language_tag": lambda: languages.LANGUAGES[languages.current()],
        "script_words": _script_words,
        "figure": cells.figure,
        "link": cells.link,
        "cells": cells.rows,
        "anchor_of": proofs.anchor_of,
        "plotly_styles": plotly.style_ids,
        "PARTS": PARTS,
        "CHART": (charts.CHART_WIDTH, charts.CHART_HEIGHT),
    }
    return environment


class Compiled(FileSystemBytecodeCache):
    """Templates that were compiled before, kept as Python keeps our modules: beside the source, where that is allowed.

    To compile them takes longer than to make the page of a small trace.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(str(folder), f"%s.{sys.implementation.cache_tag}-jinja{version('jinja2')}")

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take what is kept, if there is any."""
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it, if the folder takes it."""
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                Path(self.directory).mkdir(exist_ok=True)
                super().dump_bytecode(bucket)


def _sentence(template: str, /, **values: Any) -> Markup:
    """A sentence of a template in the language spoken; its words may hold tags, what is put into them is escaped."""
    words = spoken(say(template))
    if not values:
        return Markup(words)
    return Markup(inflected(words, values)).format(**{name: spoken(value) for name, value in values.items()})


def _script_words() -> str:
    """What the scripts say in the language spoken, as JSON; empty for their own, English."""
    room = languages.rooms(languages.current()).get(languages.SCRIPTS)
    return json.dumps(room, ensure_ascii=False, separators=(",", ":")) if room else ""


def _json_text(text: str) -> Markup:
    """JSON as the text of a script element: nothing in it can end the element."""
    return Markup(text.replace("<", "\\u003c"))
