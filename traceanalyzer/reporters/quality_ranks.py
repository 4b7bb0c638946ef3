"""What is not known of some ranks though it is of others, and which ranks of the job were not given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints
from traceanalyzer.model.trace import Capability, how_to_capture
from traceanalyzer.reporters.quality import MISSING, Quality
from traceanalyzer.rules.wording import ranks
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceanalyzer.model.trace import Trace
    from traceanalyzer.reporters.facts import ReportFacts

_TIMED = ("ops", "api_calls", "kernels", "copies", "annotations", "python_calls")


def lacks_of_ranks(facts: ReportFacts) -> Iterator[Quality]:
    """What one rank lacks and another has; nothing of a single rank but that others were not given."""
    trace = facts.analysis.trace
    given = sorted({s.rank for s in trace.sources if s.format == "chrome"})
    yield from _not_given(facts, given)
    if len(given) < 2:
        return
    recorded = set[int]().union(*(_ranks_in(trace, table) for table in _TIMED))
    if silent := [rank for rank in given if rank not in recorded]:
        message = say("Of {ranks} nothing was recorded", ranks=ranks(silent))
        yield Quality("partial", message, say("Record it again."))
    for capability, having in _having(facts).items():
        lacking = [rank for rank in given if rank in recorded and rank not in having]
        if having and lacking:
            what, so = MISSING[capability]
            of = ranks(lacking)
            yield Quality(
                "missing",
                say("Not recorded of {ranks}: {what}; {so}", ranks=of, what=what, so=so),
                how_to_capture(trace.sources)[capability],
                say("{what} of {ranks}", what=what, ranks=of),
                so,
            )


def _not_given(facts: ReportFacts, given: list[int]) -> Iterator[Quality]:
    told = [s.metadata.get("distributedInfo") for s in facts.analysis.trace.sources]
    sizes = [size for t in told if isinstance(t, dict) and isinstance(size := t.get("world_size"), int)]
    if sizes and max(sizes) > len(given) and facts.collectives and facts.collectives.rows:
        message = say(
            "{given} of {all} {all:rank|ranks} {given:was|were} given: whether others hold {given:it|them} up is not "
            "known",
            given=len(given),
            all=max(sizes),
        )
        yield Quality("info", message, say("Give the traces of all ranks together."))


def _having(facts: ReportFacts) -> dict[Capability, set[int]]:
    """The ranks of which each of these was recorded."""
    trace = facts.analysis.trace
    by_steps = facts.steps is not None and facts.steps.kind != "window"
    return {
        Capability.DEVICE_WORK: _ranks_in(trace, "kernels") | _ranks_in(trace, "copies"),
        Capability.STEPS: {s.rank for s in facts.steps.steps} if facts.steps and by_steps else set(),
        Capability.SHAPES: _ranks_in(trace, "ops", "input_dims"),
        Capability.STACKS: _ranks_in(trace, "python_calls"),
        Capability.MEMORY: _ranks_in(trace, "allocations"),
    }


def _ranks_in(trace: Trace, name: str, column: str | None = None) -> set[int]:
    """The ranks with rows in a table; with a value in a column, where one is named."""
    table = trace.tables[name]
    rank = ints(table, "rank")
    if column is not None:
        rank = rank[np.asarray(table.column(column).is_valid())]
    return set(np.unique(rank).tolist())
