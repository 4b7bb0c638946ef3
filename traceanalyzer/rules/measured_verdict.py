"""The verdict on kernels that Nsight Compute measured, where no trace of the program was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.kernel_metrics import BOUND_OF_LABEL
from traceanalyzer.rules.findings import Verdict
from traceanalyzer.rules.wording import count, percent
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.analyzers.kernel_metrics import KernelMetrics
    from traceanalyzer.rules.base import Facts


def measured_verdict(facts: Facts, limits: Mapping[str, Text]) -> Verdict | None:
    """What limits most of the measured time; None unless measurements are all there is.

    Args:
        facts: of the measurements.
        limits: each bound in words that follow "kernels".
    """
    metrics: KernelMetrics | None = facts.results.get("kernel_metrics")
    if not facts.measured_only or metrics is None or not metrics.launches:
        return None
    runs = count(len(metrics.launches), "execution")
    time: dict[str, int] = {}
    for launch in metrics.launches:
        if launch.label is not None and launch.duration_ns:
            bound = BOUND_OF_LABEL[launch.label]
            time[bound] = time.get(bound, 0) + launch.duration_ns
    if not time:
        says = say(
            "Nsight Compute measured {runs} of kernels, but not what limits them: ncu --section SpeedOfLight",
            runs=runs,
        )
        return Verdict("unknown", says, "low")
    top = max(time, key=lambda bound: time[bound])
    share = time[top] / sum(launch.duration_ns or 0 for launch in metrics.launches)
    says = say(
        "Nsight Compute measured {runs} of kernels: {share} of the time goes into kernels {limit}",
        runs=runs,
        share=percent(share),
        limit=limits[top],
    )
    named = share >= thresholds.DOMINANT_SHARE and top != "balanced"
    return Verdict(top if named else "mixed", says, "medium")
