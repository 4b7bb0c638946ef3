"""`trace-analyze findings`: what the rules say, for people, programs and gates."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.errors import UsageError
from traceanalyzer.languages import spoken
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.text import Text

SEVERITIES = ("info", "low", "medium", "high")


@click.command(short_help="What the rules found, for people, programs and gates.")
@click.option(
    "--select", metavar="CODES", default="", help="Only these codes or beginnings of codes: SYNC,IDLE001."
)
@click.option("--ignore", metavar="CODES", default="", help="Not these codes or beginnings of codes.")
@click.option(
    "--output-format",
    type=click.Choice(["text", "json", "markdown", "sarif", "github", "junit"]),
    default="text",
    show_default=True,
    help="For people, programs, pull requests, code scanning, GitHub workflows or test reports.",
)
@click.option(
    "--fail-on", type=click.Choice(SEVERITIES), help="Leave with exit code 1 from this severity on."
)
@analysis_options
@reads_inputs
def command(
    inputs: Sequence[str],
    options: LoadOptions,
    wanted: Wanted,
    select: str,
    ignore: str,
    output_format: str,
    fail_on: str | None,
) -> int:
    """What the rules found: claim, evidence, fix and saving; then what was fine and what could not be checked.

    `trace-analyze explain CODE` says what a rule looks at.
    """
    from traceanalyzer.reporters.findings import render

    analysis = chosen(analyze(inputs, options, wanted), _codes(select), _codes(ignore))
    sys.stdout.write(render(analysis, output_format))
    if fail_on is None:
        return 0
    bad = [f.code for f in analysis.findings if SEVERITIES.index(f.severity) >= SEVERITIES.index(fail_on)]
    click.echo(spoken(_gate(bad, fail_on, len(analysis.not_assessed))), err=True)
    return 1 if bad else 0


def _gate(bad: Sequence[str], fail_on: str, unchecked: int) -> Text:
    from traceanalyzer.rules.vocabulary import word

    if bad:
        codes = ", ".join(dict.fromkeys(bad))
        return say("The gate failed: {codes} from severity {level} on.", codes=codes, level=word(fail_on))
    return say(
        "The gate passed: nothing found from severity {level} on; {count} {count:rule|rules} could not be checked.",
        level=word(fail_on),
        count=unchecked,
    )


def chosen(analysis: Analysis, select: tuple[str, ...], ignore: tuple[str, ...]) -> Analysis:
    """The analysis with only the rules whose code begins with one of `select` and none of `ignore`.

    Raises:
        UsageError: a beginning fits no rule that looked.
    """
    known = {f.code for f in analysis.findings} | {n.code for n in analysis.not_assessed}
    known |= {p.code for p in analysis.passed}
    for beginning in (*select, *ignore):
        if not any(code.startswith(beginning) for code in known):
            raise UsageError(
                say(
                    "no rule begins with {beginning}; `trace-analyze explain` lists them", beginning=beginning
                )
            )

    def wanted(code: str) -> bool:
        return code.startswith(select or ("",)) and not (ignore and code.startswith(ignore))

    return replace(
        analysis,
        findings=tuple(f for f in analysis.findings if wanted(f.code)),
        not_assessed=tuple(n for n in analysis.not_assessed if wanted(n.code)),
        passed=tuple(p for p in analysis.passed if wanted(p.code)),
    )


def _codes(text: str) -> tuple[str, ...]:
    return tuple(part.strip().upper() for part in text.split(",") if part.strip())
