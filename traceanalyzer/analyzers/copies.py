"""Copies and fills by kind, direction and the memory at both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.groups import group_rows, heaviest
from traceanalyzer.analyzers.results import Copies, CopyRow
from traceanalyzer.analyzers.work import COMMUNICATION, COMPUTE, COPY, device_work
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.intervals import covered, union

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace


class CopiesAnalyzer:
    """One row per kind, direction and memory kinds, most time first.

    A copy is exposed while no kernel runs on its device; two copies at a time are counted once within a row.
    """

    name: ClassVar[str] = "copies"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Copies:  # noqa: ARG002
        """The copies of all ranks and devices, over the whole trace."""
        table = trace.copies
        keys = {name: texts(table, name) for name in ("kind", "direction", "src_kind", "dst_kind")}
        duration = np.maximum(ints(table, "dur", 0), 0)
        nbytes = ints(table, "bytes")
        op = ints(table, "op")
        op_name, op_names = texts(trace.ops, "name")
        op_of_row = np.full(len(op), -1, np.int64)
        op_of_row[op >= 0] = op_name[op[op >= 0]]
        groups = list(group_rows(*(codes for codes, _ in keys.values())))
        exposed = _exposed(trace, groups)
        rows = []
        for group, exposed_ns in zip(groups, exposed, strict=True):
            label = {name: _text(names, int(codes[group[0]])) for name, (codes, names) in keys.items()}
            known = nbytes[group] >= 0
            main_op = heaviest(op_of_row[group], duration[group])
            rows.append(
                CopyRow(
                    kind=label["kind"] or "memcpy",
                    direction=label["direction"],
                    src_kind=label["src_kind"],
                    dst_kind=label["dst_kind"],
                    count=len(group),
                    bytes=int(nbytes[group][known].sum()) if known.any() else None,
                    total_ns=int(duration[group].sum()),
                    exposed_ns=exposed_ns,
                    op=None if main_op is None else op_names[main_op],
                    longest=int(group[duration[group].argmax()]),
                )
            )
        rows.sort(key=lambda r: (-r.total_ns, r.kind, r.direction or "", r.src_kind or "", r.dst_kind or ""))
        return Copies(tuple(rows))


def _exposed(trace: Trace, groups: list[NDArray[np.int64]]) -> list[int]:
    """Per group, the time in which its copies ran and no kernel did, summed over devices."""
    group_of_row = np.empty(trace.copies.num_rows, np.int64)
    for i, rows in enumerate(groups):
        group_of_row[rows] = i
    exposed = [0] * len(groups)
    for work in device_work(trace):
        kernels = work.busy(COMPUTE, COMMUNICATION)
        copies = np.flatnonzero(work.kind == COPY)
        group = group_of_row[work.row[copies]]
        for i in np.unique(group).tolist():
            mine = copies[group == i]
            when = union(work.start[mine], work.end[mine])
            hidden = covered(kernels, when.start, when.end)
            exposed[i] += int((when.end - when.start - hidden).sum())
    return exposed


def _text(names: list[str], code: int) -> str | None:
    return names[code] if code >= 0 else None
