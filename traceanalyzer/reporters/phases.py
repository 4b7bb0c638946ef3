"""Phases, use of the peak and torch.compile, in sentences for every reporter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceanalyzer.reporters import names, units
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from traceanalyzer.analyzers.phases_results import Compiled, PhaseRow, Phases, Utilisation

SHOWN_BREAKS = 5
SHOWN_SHARE = 0.0005  # less is shown as 0


def phase_lines(results: Mapping[str, Any]) -> tuple[Text, ...]:
    """One sentence each; none where the trace tells of no phase, compiled code or peak."""
    phases: Phases | None = results.get("phases")
    if phases is None:
        return ()
    return tuple(_lines(phases))


def _lines(phases: Phases) -> Iterator[Text]:
    if phases.rows:
        listed = _listed(phases)
        head = {
            "training": say("Device time by phase of training: {phases}.", phases=listed),
            "inference": say("Device time by phase of inference: {phases}.", phases=listed),
        }
        yield head[phases.kind or "inference"]
    if phases.recompute_share:
        yield say(
            "{share} of the device time recomputes the forward pass (activation checkpointing).",
            share=units.share(phases.recompute_share),
        )
    if phases.utilisation:
        yield _utilisation(phases.utilisation)
    if phases.compiled and phases.compiled.share:
        yield from _compiled(phases.compiled)
    if phases.graph_share:
        yield say(
            "{share} of the kernel time is launched as CUDA graphs.", share=units.share(phases.graph_share)
        )


def _listed(phases: Phases) -> Text:
    several = say("several at a time {share}", share=units.share(phases.several_share))
    shown = phases.several_share >= SHOWN_SHARE
    return join(", ", [*map(_row, phases.rows), *([several] if shown else [])])


def _row(row: PhaseRow) -> Text:
    if row.limit is None:
        return say("{phase} {share}", phase=word(row.phase), share=units.share(row.share))
    return say(
        "{phase} {share} ({bound})",
        phase=word(row.phase),
        share=units.share(row.share),
        bound=word(row.limit.bound),
    )


def _utilisation(use: Utilisation) -> Text:
    again = (
        say(", {hardware} with recomputed work", hardware=units.share(use.hardware))
        if use.hardware > use.model
        else ""
    )
    return say(
        "Model FLOPs utilisation is at least {model} of the {dtype} peak{again} (FLOPs are known for {costed} of the "
        "kernel time).",
        model=units.share(use.model),
        dtype=use.dtype,
        again=again,
        costed=units.share(use.costed),
    )


def _compiled(found: Compiled) -> Iterator[Text]:
    yield say(
        "torch.compile: compiled regions {regions}, calls {calls}, {share} of the kernel time.",
        regions=units.count(found.regions),
        calls=units.count(found.calls),
        share=units.share(found.share),
    )
    if found.breaks:
        yield say(
            "Graph breaks resume in: {functions}.",
            functions=", ".join(
                f"{names.cut(b.function, 60)} ({b.calls})" for b in found.breaks[:SHOWN_BREAKS]
            ),
        )
