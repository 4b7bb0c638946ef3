"""Where the evidence of a finding lies: rules name what proves it, this finds when, in which lane and by which line."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints, texts
from traceanalyzer.rules.launched import LAUNCHED, line_of
from traceanalyzer.text import say

if TYPE_CHECKING:
    import pyarrow as pa

    from traceanalyzer.model.trace import Trace
    from traceanalyzer.rules.findings import Evidence, Finding

_LANES = {
    **dict.fromkeys(("kernels", "copies"), ("device", "stream")),
    **dict.fromkeys(("ops", "api_calls", "annotations", "python_calls"), ("pid", "tid")),
}
"""The columns that tell the lane, beside the rank, by table."""


def placed(trace: Trace, finding: Finding) -> Finding:
    """The finding with the time and the lane of each of its pieces of evidence, where its row or its name tells."""
    return replace(finding, evidence=tuple(_placed(trace, evidence) for evidence in finding.evidence))


def _placed(trace: Trace, evidence: Evidence) -> Evidence:
    lane = _LANES.get(evidence.table or "")
    if lane is None or evidence.start_ns is not None:
        return evidence
    table = trace.tables[evidence.table or ""]
    row = _longest(table, evidence) if evidence.row is None else evidence.row
    if row is None or not 0 <= row < table.num_rows:  # a rule of a third party may give any number
        return evidence
    cells = {column: table.column(column)[row].as_py() for column in ("rank", *lane)}
    length = table.column("dur")[row].as_py() if evidence.duration_ns is None else evidence.duration_ns
    start = table.column("ts")[row].as_py()
    return _with_line(
        trace, replace(evidence, row=row, start_ns=start, duration_ns=max(length or 0, 0), **cells)
    )


def _with_line(trace: Trace, evidence: Evidence) -> Evidence:
    """The evidence with the user's line behind its row, where stacks tell and its text does not yet."""
    line = evidence.python
    if line is None and evidence.table in LAUNCHED and evidence.row is not None:
        line = line_of(trace, evidence.table, evidence.row)
    if line is None or line in evidence.text:
        return replace(evidence, python=line)
    return replace(evidence, python=line, text=say("{text}, from {line}", text=evidence.text, line=line))


def _longest(table: pa.Table, evidence: Evidence) -> int | None:
    """The row of the longest one of that name, on that rank where it is told; None where there is none."""
    codes, names = texts(table, "name")
    if evidence.name not in names:
        return None
    mine = codes == names.index(evidence.name)
    if evidence.rank is not None:
        mine &= ints(table, "rank") == evidence.rank
    if "on_gpu" in table.column_names:
        mine &= ~np.asarray(table.column("on_gpu").fill_null(False).to_numpy(), np.bool_)
    rows = np.flatnonzero(mine)
    return int(rows[ints(table, "dur", 0)[rows].argmax()]) if len(rows) else None
