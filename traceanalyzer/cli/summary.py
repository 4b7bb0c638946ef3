"""`trace-analyze summary`: the verdict and where the time went."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.cli.table import Output, print_csv, print_json, prints_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.rules.analysis import Analysis

FINDINGS = 5
_KEYS = ("sources", "verdict", "steps", "breakdown", "findings", "not_assessed")


@click.command(short_help="The verdict and where the time went.")
@prints_table(default_top=FINDINGS)
@analysis_options
@reads_inputs
def command(inputs: Sequence[str], options: LoadOptions, wanted: Wanted, output: Output) -> None:
    """The verdict, where the time went, and the first findings.

    CSV holds one row per device; JSON the same parts as the JSON report.
    """
    from traceanalyzer.reporters import render

    analysis = analyze(inputs, options, wanted)
    if output.form == "text":
        print_summary(analysis, top=output.top)
        return
    content = json.loads(render(analysis, "json", top=output.top or 1))
    if output.form == "json":
        print_json({key: content[key] for key in _KEYS})
        return
    rows = content["breakdown"]
    causes = sorted({cause for row in rows for cause in row["idle_causes"]})
    plain = [key for key, value in rows[0].items() if not isinstance(value, dict | list)] if rows else []
    print_csv(
        [*plain, *(f"idle_{cause}_ns" for cause in causes)],
        ([*(row[key] for key in plain), *(row["idle_causes"].get(c) for c in causes)] for row in rows),
    )


def print_summary(analysis: Analysis, *, top: int | None = None) -> None:
    """Print the summary: in colour and as wide as the terminal on one, as plain text elsewhere."""
    if sys.stdout.isatty():
        from traceanalyzer.reporters.terminal import show

        show(analysis, top=top or FINDINGS)
    else:
        from traceanalyzer.reporters import render

        click.echo(render(analysis, "text", top=top or FINDINGS), nl=False)
