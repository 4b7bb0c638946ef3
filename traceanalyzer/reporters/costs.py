"""What the figures of kernels rest on, in sentences for every reporter: costs, and a second trace of the program."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from traceanalyzer.reporters import names, units
from traceanalyzer.reporters.phases import phase_lines
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from traceanalyzer.analyzers.kernel_metrics import KernelMetrics
    from traceanalyzer.analyzers.mapped_results import Mapped
    from traceanalyzer.analyzers.results import Kernels
    from traceanalyzer.analyzers.roofline_results import Coverage, Roofline


def work_lines(results: Mapping[str, Any]) -> tuple[Text, ...]:
    """Phases and costs, one sentence each; none without kernels."""
    return (*phase_lines(results), *cost_lines(results))


def cost_lines(results: Mapping[str, Any]) -> tuple[Text, ...]:
    """What is known of the work of kernels, one sentence each; none without kernels."""
    roofline: Roofline | None = results.get("roofline")
    if roofline is None or not roofline.rows:
        return ()
    return (
        _coverage(roofline.coverage),
        *_origins(roofline.coverage),
        *_unverified(roofline),
        *_mapping(results.get("mapping")),
        *_measured(results.get("kernel_metrics"), results.get("kernels")),
    )


def _measured(metrics: KernelMetrics | None, kernels: Kernels | None) -> Iterator[Text]:
    """What Nsight Compute was asked, found again in the trace, and sees otherwise."""
    if metrics is None or not metrics.launches:
        return
    found = Counter(launch.match for launch in metrics.launches)
    yield say(
        "Nsight Compute profiled {count} {count:launch|launches}: {matched} {matched:is|are} found in the trace, "
        "{ambiguous} may be one of several, {unmatched} {unmatched:is|are} not there. What it measured wins over the "
        "roofline.",
        count=len(metrics.launches),
        matched=found["matched"],
        ambiguous=found["ambiguous"],
        unmatched=found["unmatched"],
    )
    for row in kernels.rows if kernels else ():
        if row.measured_bound and row.rated_bound and row.measured_bound != row.rated_bound:
            yield say(
                "{kernel} is limited by {measured} as measured, by {rated} as rated.",
                kernel=names.kernel(row.name),
                measured=row.measured_bound.replace("_", " "),
                rated=row.rated_bound.replace("_", " "),
            )


def _coverage(coverage: Coverage) -> Text:
    unknown = coverage.unknown + coverage.communication - coverage.messages
    parts = [say("Work is known for {share} of the kernel time", share=units.share(coverage.costed))]
    if coverage.name_only:
        parts.append(say("{share} is labelled by kernel names alone", share=units.share(coverage.name_only)))
    if unknown > 1e-9:  # not what rounding left
        parts.append(say("{share} is unknown", share=units.share(unknown)))
    return say("{parts}.", parts=join("; ", parts))


def _origins(coverage: Coverage) -> Iterator[Text]:
    if coverage.blocks_only:
        yield say(
            "{share} of the kernel time is labelled by blocks too few for half of the GPU.",
            share=units.share(coverage.blocks_only),
        )
    if coverage.messages:
        yield say(
            "{share} of the kernel time is communication whose message sizes are known.",
            share=units.share(coverage.messages),
        )
    if coverage.mapping:
        yield say(
            "{share} of the kernel time has its cost from the second trace.",
            share=units.share(coverage.mapping),
        )
    if coverage.replayed:
        yield say(
            "{share} of the kernel time has its FLOPs from torch, which ran the ops on its meta device.",
            share=units.share(coverage.replayed),
        )


def _unverified(roofline: Roofline) -> Iterator[Text]:
    """Which peaks, of those that roofs here rest on, nobody could check."""
    for gpu in sorted({row.gpu for row in roofline.rows if row.gpu and row.unverified}):
        figures = {name for row in roofline.rows if row.gpu == gpu for name in row.unverified}
        yield say(
            "Of the {gpu}, these figures are unverified, as no published source was found: {figures}; --peak "
            "overrides them.",
            gpu=gpu,
            figures=", ".join(sorted(figures)),
        )


def _mapping(mapped: Mapped | None) -> Iterator[Text]:
    if mapped is None:
        return
    if mapped.none is None:
        yield say("The second trace was not needed: every kernel has an op of its own.")
        return
    yield say(
        "{share} of the time of kernels without an op was found in {source}: {order} by order, {grid} by name and "
        "grid, {name} by name alone; {none} stays inside a CUDA graph or unlinked.",
        share=units.share(mapped.matched),
        source=names.cut(mapped.source, 60),
        order=units.share(mapped.order),
        grid=units.share(mapped.grid),
        name=units.share(mapped.name),
        none=units.share(mapped.none),
    )
