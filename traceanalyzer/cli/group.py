"""A click group that knows its commands by name and imports one only when it runs."""

from __future__ import annotations

import os
import shlex
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.cli.help import SpokenContext
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence


class ReaderGoneError(Exception):
    """Whoever read our output stopped reading, such as `| head`."""


class LazyGroup(click.Group):
    """Commands live in modules of their own beside this one: `--help` imports none of them.

    Args:
        lazy_commands: (name, one line of help) pairs in the order in which help lists them.
    """

    context_class = SpokenContext

    def __init__(self, *args: Any, lazy_commands: Sequence[tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._help_by_name = dict(lazy_commands)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """The names in their literal order, not by alphabet."""
        return list(self._help_by_name)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command of that name, imported now."""
        if cmd_name not in self._help_by_name:
            return None
        command: click.Command = import_module(f"traceanalyzer.cli.{cmd_name}").command
        command.context_class = SpokenContext
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands from the literal names and helps."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._help_by_name.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that was asked for, or an error that names the nearest one."""
        name = args[0]
        if name in self._help_by_name or name.startswith("-"):
            return super().resolve_command(ctx, args)
        close = get_close_matches(name, self._help_by_name, n=1)
        if close:
            hint = say("Did you mean '{name}'?", name=close[0])
        elif os.path.exists(name):  # noqa: PTH110 - pathlib is not loaded yet
            hint = say("It is a file: say trace-analyze report {name}", name=shlex.quote(name))
        else:
            hint = say("Commands: {names}.", names=", ".join(self._help_by_name))
        raise click.UsageError(say("No such command '{name}'. {hint}", name=name, hint=hint), ctx)

    def invoke(self, ctx: click.Context) -> Any:
        """Run, and tell a closed pipe from other failures: click would make it exit code 1."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            raise ReaderGoneError from None
        return result
