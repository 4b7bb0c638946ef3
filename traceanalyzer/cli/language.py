"""`--lang`: the language of what the command line says to people, before the command's name or after it."""

from __future__ import annotations

from functools import wraps
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.languages import LANGUAGES, current, of_locale, speaking

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_NAME = "--lang"

language_option = click.option(
    _NAME,
    type=click.Choice(list(LANGUAGES)),
    help="Language of sentences and pages. Default: as the locale (LC_ALL, LC_MESSAGES, LANG) asks. "
    "JSON, CSV and what other programs read stay English.",
)


def asked_for(arguments: Sequence[str]) -> str:
    """The language of a command line that is not parsed yet: help and mistakes are told in it, too."""
    given = [value for name, value in pairwise([*arguments, ""]) if name == _NAME]
    given += [a.removeprefix(f"{_NAME}=") for a in arguments if a.startswith(f"{_NAME}=")]
    return next((language for language in given if language in LANGUAGES), of_locale())


def speaks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --lang; while it runs, that language is spoken, or else the one spoken already."""

    @wraps(command)
    def with_language(*, lang: str | None, **rest: Any) -> Any:
        with speaking(lang or current()):
            return command(**rest)

    return language_option(with_language)
