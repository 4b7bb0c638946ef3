"""Kernels inside CUDA graphs with the op, module and line that a second trace gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.attributed import kernel_modules, kernel_ops
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.lines import shown_frames
from traceanalyzer.analyzers.mapped_results import Mapped, MappedRow
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.mapping import Match

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace


class MappedAnalyzer:
    """None unless a second trace was given."""

    name: ClassVar[str] = "mapping"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Mapped | None:  # noqa: ARG002
        """How much of the kernel time without an op was found there, and where it belongs."""
        mapping = trace.mapping
        if mapping is None:
            return None
        duration = np.maximum(ints(trace.kernels, "dur", 0), 0)
        wanted = mapping.wanted
        total = int(duration[wanted].sum())
        share: dict[Match, float | None] = {
            match: int(duration[wanted & (mapping.how == match)].sum()) / total if total else None
            for match in Match
        }
        return Mapped(
            source=mapping.trace.sources[0].path,
            wanted_ns=total,
            order=share[Match.ORDER],
            grid=share[Match.GRID],
            name=share[Match.NAME],
            none=share[Match.NONE],
            rows=_rows(trace, duration, np.flatnonzero(wanted)),
        )


def _rows(trace: Trace, duration: NDArray[np.int64], wanted: NDArray[np.int64]) -> tuple[MappedRow, ...]:
    assert trace.mapping is not None
    name, names = texts(trace.kernels, "name")
    (op, ops), (module, modules) = kernel_ops(trace), kernel_modules(trace)
    line, lines = _lines(trace.mapping.trace)
    row, how = trace.mapping.kernel[wanted], trace.mapping.how[wanted]
    found = row >= 0  # what was not found is inside a graph, whatever launched that
    keys = [np.where(found, of[wanted], -1) for of in (op, module)]
    keys.append(np.where(found, line[row], -1) if len(line) else np.full(len(row), -1))
    kernel = name[wanted].astype(np.int64)
    made = []
    for rows in group_rows(kernel, *keys, how):
        k, o, m, at = (int(of[rows[0]]) for of in (kernel, *keys))
        made.append(
            MappedRow(
                kernel=names[k] if k >= 0 else "(no name)",
                op=ops[o] if o >= 0 else None,
                module=modules[m] if m >= 0 else None,
                python=lines[at] if at >= 0 else None,
                how=Match(int(how[rows[0]])).name.lower(),
                count=len(rows),
                total_ns=int(duration[wanted[rows]].sum()),
            )
        )
    made.sort(key=lambda r: (-r.total_ns, r.kernel, r.op or "", r.module or "", r.python or "", r.how))
    return tuple(made)


def _lines(trace: Trace) -> tuple[NDArray[np.int64], list[str]]:
    """The line of each kernel's op as (codes, `file:line`); -1 where no frame of the user was open."""
    op = ints(trace.kernels, "op")
    frame = np.full(len(op), -1, np.int64)
    if trace.python_calls.num_rows and trace.ops.num_rows:
        frame = np.where(op >= 0, ints(trace.ops, "python_call")[op], -1)
        frame = np.where(frame >= 0, shown_frames(trace)[frame], -1)
    files, names = texts(trace.python_calls, "file")
    line = ints(trace.python_calls, "line")
    distinct, code = np.unique(frame, return_inverse=True)
    numbers: dict[str, int] = {}
    known = [
        numbers.setdefault(f"{names[files[f]]}:{line[f]}", len(numbers)) if f >= 0 else -1
        for f in distinct.tolist()
    ]
    return np.array(known, np.int64)[code] if len(op) else frame, list(numbers)
