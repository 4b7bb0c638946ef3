"""Threads that launched device work and of which no operator was recorded: the profiler does not see every thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.kernels import launched_by_graphs
from traceanalyzer.model.columns import ints
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.trace import Capability
from traceanalyzer.reporters.quality import Quality
from traceanalyzer.rules.wording import percent
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceanalyzer.model.trace import Trace
    from traceanalyzer.reporters.facts import ReportFacts

NOT_SEEN = 0.05
"""Part of the kernel time from which on it is said (own judgement; of 14 recorded traces none has any)."""
_HOW = say(
    "Start the profiler in the thread that runs the model, with ProfilerActivity.CPU, or record all threads: "
    "experimental_config=torch._C._profiler._ExperimentalConfig(profile_all_threads=True)"
)


def lacks_of_threads(facts: ReportFacts) -> Iterator[Quality]:
    """What is not known of device work for want of operators; nothing where another profiler recorded."""
    trace = facts.analysis.trace
    if facts.of_nsys or facts.memory_only or Capability.DEVICE_WORK not in trace.capabilities:
        return
    share = _without_ops(trace)
    if share < NOT_SEEN:
        return
    if not trace.ops.num_rows:
        what, so = say("operators"), say("nothing tells what launched the kernels")
        yield Quality("missing", say("Not recorded: {what}; {so}", what=what, so=so), _HOW, what, so)
        return
    message = say(
        "{share} of the kernel time was launched by threads of which no operator was recorded",
        share=percent(share),
    )
    yield Quality("missing", message, _HOW)


def _without_ops(trace: Trace) -> float:
    """Part of the time of kernels with a known launch that threads without any op launched.

    A graph is launched without an operator: its kernels are none of them.
    """
    calls = trace.api_calls.num_rows
    lanes = (
        np.concatenate([ints(t, c) for t in (trace.api_calls, trace.ops)]) for c in ("rank", "pid", "tid")
    )
    thread = codes_of(*lanes)
    call, duration = ints(trace.kernels, "api_call"), np.maximum(ints(trace.kernels, "dur", 0), 0)
    known = call >= 0
    unseen = ~np.isin(np.append(thread[:calls], -1)[call], np.unique(thread[calls:])) & ~launched_by_graphs(
        trace
    )
    whole = int(duration[known].sum())
    return int(duration[known & unseen].sum()) / whole if whole else 0.0
