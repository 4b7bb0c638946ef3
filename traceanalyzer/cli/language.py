"""`--lang`: the language of what a command says to people."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.languages import LANGUAGES, of_locale, speaking

if TYPE_CHECKING:
    from collections.abc import Callable


def speaks(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --lang; while it runs, that language is spoken, or else the one of the locale."""

    @wraps(command)
    def with_language(*, lang: str | None, **rest: Any) -> Any:
        with speaking(lang or of_locale()):
            return command(**rest)

    option = click.option(
        "--lang",
        type=click.Choice(list(LANGUAGES)),
        help="Language of sentences and pages. Default: as the locale (LC_ALL, LC_MESSAGES, LANG) asks. "
        "JSON, CSV and what other programs read stay English.",
    )
    return option(with_language)
