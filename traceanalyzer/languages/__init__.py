"""The languages that people read reports in: English, which the code holds, and catalogues of other ones.

A catalogue is a folder of TOML files, one per room of the product: English template = template in the language.
What programs read (JSON, CSV, SARIF, JUnit) stays English.
"""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from traceanalyzer.text import Text, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

LANGUAGES: Mapping[str, str] = MappingProxyType({"en": "en", "zh": "zh-CN"})
"""The name that `--lang` takes → the tag of BCP 47 that a page carries."""
SCRIPTS = "scripts"  # the room of what the page's scripts say
HELP = "help"  # the room of --help and of wrong usage, which are said without opening another
_TRADITIONAL = frozenset(
    {"tw", "hk", "mo", "hant"}
)  # who asks for these characters is not given the simplified ones
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")  # in the order in which POSIX lets one win over the next

_spoken: ContextVar[str] = ContextVar("language", default="en")


def of_locale(environment: Mapping[str, str] = os.environ) -> str:
    """The language that the user's locale asks for; English where there is no catalogue for it."""
    locale = next((value for name in _VARIABLES if (value := environment.get(name))), "")
    language, *rest = re.split(r"[_.@-]", locale.lower())
    if language == "zh" and "hans" not in rest and not _TRADITIONAL.isdisjoint(rest):
        return "en"
    return language if language in LANGUAGES else "en"


@cache
def room(language: str, name: str) -> Mapping[str, str]:
    """One room of the catalogue, as its file is named; nothing for English."""
    import tomllib

    file = _folder(language).joinpath(f"{name}.toml")
    return tomllib.loads(file.read_text("utf-8")) if file.is_file() else {}


@cache
def rooms(language: str) -> Mapping[str, Mapping[str, str]]:
    """All rooms of the catalogue by name."""
    folder = _folder(language)
    names = sorted(item.name for item in folder.iterdir()) if folder.is_dir() else []
    found = [name.removesuffix(".toml") for name in names if name.endswith(".toml")]
    return {name: room(language, name) for name in found}


def _folder(language: str) -> Traversable:
    from importlib.resources import files

    return files(__name__).joinpath(language)


@cache
def catalogue(language: str) -> Mapping[str, str]:
    """English template → template in the language, of all rooms."""
    return {english: other for words in rooms(language).values() for english, other in words.items()}


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
