"""The options that say where sources are, for commands that write pages."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.source_links import ROOT_VARIABLE, URL_VARIABLE, source_links

if TYPE_CHECKING:
    from collections.abc import Callable


def source_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --source-root and --source-url; it gets `sources`, or None without them."""

    @wraps(command)
    def with_sources(*, source_root: str | None, source_url: str | None, **rest: Any) -> Any:
        return command(sources=source_links(source_root, source_url), **rest)

    root = click.option(
        "--source-root",
        metavar="FOLDER",
        type=click.Path(),
        envvar=ROOT_VARIABLE,
        help="Lines of code in the page open in VS Code, from the sources in this folder.",
    )
    url = click.option(
        "--source-url",
        metavar="URL",
        envvar=URL_VARIABLE,
        help="They lead to this address instead, with {path} and {line}: "
        "https://github.com/ORG/REPOSITORY/blob/COMMIT/{path}#L{line}",
    )
    decorated: Callable[..., Any] = root(url(with_sources))
    return decorated
