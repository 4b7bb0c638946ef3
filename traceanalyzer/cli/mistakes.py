"""Wrong usage, said in the language that was asked for: the sentences that click makes, recognized and translated."""

from __future__ import annotations

import re

import click

from traceanalyzer.cli.help import told
from traceanalyzer.cli.table import printable
from traceanalyzer.languages import current
from traceanalyzer.text import Text, said, say

# click fills these in before we see them. The first that fits wins, so what says more stands first.
_SENTENCES = (
    say("No such option {name}. Did you mean {others}?"),
    say("No such option {name}. (Did you mean one of: {others}?)"),
    say("No such option {name}."),
    say("No such option: {name} Did you mean {others}?"),  # as click 8.1 has it
    say("No such option: {name} (Possible options: {others})"),
    say("No such option: {name}"),
    say("Missing argument {name}."),
    say("Missing option {name}."),
    say("Missing command."),
    say("Invalid value for {name}: {problem}"),
    say("Invalid value: {problem}"),
    say("{value} is not in the range {range}."),
    say("{value} is not one of {choices}."),
    say("{value} is not a valid {kind}."),
    say("Option {name} requires an argument."),
    say("Option {name} does not take a value."),
    say("Got unexpected extra argument ({names})"),
    say("Got unexpected extra arguments ({names})"),
)
_PLACE = re.compile(r"\\{(\w+)\\}")


def show(error: click.ClickException) -> None:
    """Print it as click does: how the command is used, where its help is, what is wrong."""
    if current() == "en":
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        click.echo(context.get_usage(), err=True)
        hint = say("Try '{command} --help' for help.", command=context.command_path)
        click.echo(told(hint) + "\n", err=True)
    click.echo(printable(say("Error: {message}", message=_message(error))), err=True)


def _message(error: click.ClickException) -> Text:
    if isinstance(error, click.BadParameter) and isinstance(error.message, Text):  # ours, which click glues
        name = error.param.get_error_hint(error.ctx) if error.param and error.ctx else ""
        return say("Invalid value for {name}: {problem}", name=name, problem=error.message)
    if isinstance(error.message, Text):
        return error.message
    return recognized(error.format_message())


def recognized(message: str) -> Text:
    """A sentence of click with its parts; any other as it is."""
    for sentence in _SENTENCES:
        pattern = _PLACE.sub(r"(?P<\1>.+)", re.escape(sentence.template))
        if found := re.fullmatch(pattern, message, re.DOTALL):
            values = {
                name: recognized(v) if name == "problem" else v for name, v in found.groupdict().items()
            }
            return sentence.filled(**values)
    return said(message)
