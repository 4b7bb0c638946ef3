"""`trace-analyze whatif`: what the step would take after a change."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from traceanalyzer.cli.inputs import analysis_options, analyze, reads_inputs
from traceanalyzer.cli.table import print_json, print_text
from traceanalyzer.languages import spoken
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from traceanalyzer.analyzers.replay.ranks import Outcome
    from traceanalyzer.analyzers.replay.whatif import WhatIf
    from traceanalyzer.cli.inputs import Wanted
    from traceanalyzer.ingest.options import LoadOptions
    from traceanalyzer.rules.analysis import Analysis


def _speedups(_context: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> Any:
    """`NAME=2x` as (name, 2.0)."""
    parsed = []
    for text in given:
        name, equals, factor = text.rpartition("=")
        try:
            times = float(factor.removesuffix("x"))
        except ValueError:
            times = 0.0
        if not (name and equals and 0 < times < float("inf")):
            raise click.BadParameter(say("{text!r} is not NAME=FACTORx, such as 'aten::bmm=2x'", text=text))
        parsed.append((name, times))
    return parsed


@click.command(short_help="What the step would take after a change.")
@click.option(
    "--remove",
    metavar="WHAT",
    multiple=True,
    help="Do without what a rule found (its code), or without an op, range or API call of that name or glob.",
)
@click.option(
    "--speedup",
    metavar="NAME=2x",
    multiple=True,
    callback=_speedups,
    help="Run what an op launches, or kernels or copies of that name or glob, so many times as fast.",
)
@click.option(
    "--rank",
    type=int,
    help="Make the changes on this rank alone. Default: on all ranks that collectives join, else on the first.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: ns.")
@analysis_options
@reads_inputs
def command(
    inputs: Sequence[str],
    options: LoadOptions,
    wanted: Wanted,
    remove: tuple[str, ...],
    speedup: list[tuple[str, float]],
    rank: int | None,
    as_json: bool,
) -> None:
    """Replay the recorded steps with changes made: each alone, and all together.

    Without --remove and --speedup the changes are what the findings advise.
    """
    from traceanalyzer.analyzers.replay.whatif import what_if

    analysis = analyze(inputs, options, wanted)
    shortened = _shortened(analysis)
    without = remove or (() if speedup else _advised(analysis, shortened))
    result = what_if(analysis.trace, analysis.results["steps"], without, speedup, rank, shortened)
    if as_json:
        print_json({"what_if": _as_json(result)})
    else:
        _print(result)


def _shortened(analysis: Analysis) -> Mapping[str, Mapping[str, tuple[float, float]]]:
    """What findings do to kernels, by code: the shares of each kernel's time that remain."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for finding in analysis.findings:
        for faster in finding.speedups:
            found.setdefault(finding.code, {})[faster.kernel] = (faster.least, faster.most)
    return found


def _advised(analysis: Analysis, shortened: Iterable[str]) -> tuple[str, ...]:
    """The codes of the findings that can be replayed, in their order."""
    from traceanalyzer.analyzers.replay.fixes import RULES
    from traceanalyzer.analyzers.replay.ranks import OF_ALL_RANKS

    cured = analysis.combined.codes if analysis.combined else ()
    known = {*RULES, *shortened} - {*OF_ALL_RANKS} | {*cured}
    return tuple(dict.fromkeys(f.code for f in analysis.findings if f.code in known))


def _as_json(result: WhatIf) -> Mapping[str, Any]:
    def outcome(found: Outcome) -> Mapping[str, Any]:
        return {**asdict(found), "saving_ns": found.saving_ns(result.measured_ns)}

    return {
        **asdict(result),
        "error_share": result.error_share,
        "changes": [outcome(c) for c in result.changes],
        "together": outcome(result.together) if result.together else None,
    }


def _head(result: WhatIf) -> str:
    from traceanalyzer.rules.wording import count, duration, ranks

    one = say("Rank {rank}, mean of {steps}: measured {measured}, replayed unchanged {replayed} ({error})")
    several = say(
        "Mean of {steps} of the slowest of {ranks}: measured {measured}, replayed unchanged {replayed} ({error})"
    )
    return (one if len(result.ranks) == 1 else several).filled(
        rank=result.rank,
        ranks=ranks(result.ranks),
        steps=count(result.steps, "step"),
        measured=duration(result.measured_ns),
        replayed=duration(result.replayed_ns),
        error=f"{result.error_share:+.1%}",
    )


def _print(result: WhatIf) -> None:
    from traceanalyzer.reporters.names import visible

    for line in filter(None, (_head(result), result.distrust, *result.notes)):
        click.echo(spoken(line))
    if result.distrust:
        return
    outcomes = [*result.changes, *([result.together] if result.together and len(result.changes) > 1 else [])]
    if outcomes:
        click.echo()
        rows = [
            (
                visible(o.change),
                _range(*o.step_ns),
                _range(*o.saving_ns(result.measured_ns)),
                _percent(o.saving_ns(result.measured_ns)[1], result.measured_ns),
            )
            for o in outcomes
        ]
        titles = (say("Change"), say("New step"), say("Saves"), say("At most"))
        print_text([*map(spoken, titles)], (False, True, True, True), rows)
    else:
        click.echo(spoken(say("No finding can be replayed: name a change with --remove or --speedup.")))
    click.echo()
    _print_path(result)


def _print_path(result: WhatIf) -> None:
    from traceanalyzer.analyzers.replay.together import PATH_KINDS
    from traceanalyzer.rules.wording import duration

    after = result.together.path if result.together else None
    more = (say("After"), say("Share")) if after else ()
    titles = [*map(spoken, (say("Critical path"), say("Now"), say("Share"), *more))]
    rows = []
    for kind, meaning in PATH_KINDS.items():
        paths = [result.path, *([after] if after else [])]
        if any(path[kind] for path in paths):
            cells = [
                cell
                for path in paths
                for cell in (duration(path[kind]), _percent(path[kind], sum(path.values())))
            ]
            rows.append((spoken(meaning), *cells))
    print_text(titles, (False, *(True for _ in titles[1:])), rows)


def _range(low: int, high: int) -> str:
    from traceanalyzer.rules.wording import duration

    shown = (duration(low), duration(high))
    return shown[0] if shown[0] == shown[1] else spoken(say("{low} to {high}", low=shown[0], high=shown[1]))


def _percent(part: int, whole: int) -> str:
    from traceanalyzer.rules.wording import percent

    return percent(part / whole) if whole else "-"
