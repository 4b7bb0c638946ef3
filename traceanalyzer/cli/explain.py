"""`trace-analyze explain`: what a rule looks at, why it matters and what it needs."""

from __future__ import annotations

from difflib import get_close_matches

import click

from traceanalyzer.cli.language import speaks
from traceanalyzer.errors import UsageError
from traceanalyzer.languages import current, spoken
from traceanalyzer.text import say


@click.command(short_help="What a rule looks at and why; without a code, all of them.")
@speaks
@click.argument("codes", metavar="[CODE]...", nargs=-1)
def command(codes: tuple[str, ...]) -> None:
    """What a rule looks at, why it matters and what it needs. Without a CODE, a line for every rule."""
    from traceanalyzer.rules.explain import page_of, pages

    if not codes:
        for page in pages():
            click.echo(f"{page.code:<12}{spoken(page.title)}")
        return
    for code in codes:
        found = page_of(code)
        if found is None:
            known = [page.code for page in pages()]
            close = get_close_matches(code.upper(), known, n=1, cutoff=0.5)
            hint = (
                say("Did you mean {name}?", name=close[0])
                if close
                else say("Rules: {names}.", names=", ".join(known))
            )
            raise UsageError(say("no rule {code}. {hint}", code=code, hint=hint))
        click.secho(f"{found.code}  {spoken(found.title)}", bold=True)
        in_english = current() == "en"  # as it stands in the source, with its line ends
        click.echo("\n" + (found.text if in_english else "\n\n".join(map(spoken, found.paragraphs))))
        for need in found.needs:
            click.echo("\n" + spoken(say("Needs: {what}.", what=need)))
