"""The languages that people read reports in: English, which the code holds, and catalogues of other ones.

A catalogue is a folder of TOML files, one per room of the product: English template = template in the language.
What programs read (JSON, CSV, SARIF, JUnit) stays English.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from traceanalyzer.text import Text, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "en", "zh": "zh-CN"})
"""The name that `--lang` takes → the tag of BCP 47 that a page carries."""
SCRIPTS = "scripts"  # the room of what the page's scripts say
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")  # in the order in which POSIX lets one win over the next

_spoken: ContextVar[str] = ContextVar("language", default="en")


def of_locale(environment: Mapping[str, str] = os.environ) -> str:
    """The language that the user's locale asks for; English where there is no catalogue for it."""
    locale = next((value for name in _VARIABLES if (value := environment.get(name))), "")
    language = locale.partition("_")[0].partition(".")[0].lower()
    return language if language in LANGUAGES else "en"


@cache
def rooms(language: str) -> Mapping[str, Mapping[str, str]]:
    """The catalogue by room, as its files are named; nothing for English."""
    import tomllib
    from importlib.resources import files

    folder = files(__name__).joinpath(language)
    if not folder.is_dir():
        return {}
    found = {item.name: item.read_text("utf-8") for item in folder.iterdir() if item.name.endswith(".toml")}
    return {name.removesuffix(".toml"): tomllib.loads(found[name]) for name in sorted(found)}


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """English template → template in the language, of all rooms."""
    return {english: other for room in rooms(language).values() for english, other in room.items()}


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """What is rendered within speaks this language, in this thread."""
    before = _spoken.set(language if language in LANGUAGES else "en")
    try:
        yield
    finally:
        _spoken.reset(before)


def current() -> str:
    """The language that is spoken now, as in `LANGUAGES`."""
    return _spoken.get()


def spoken(value: Any) -> Any:
    """A sentence in the language spoken now; anything else as it is."""
    return translated(value, catalogue(current())) if isinstance(value, Text) else value
