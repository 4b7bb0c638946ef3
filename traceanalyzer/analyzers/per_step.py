"""What every kernel, copy, collective, op, module and API call takes in each step: what two runs are compared by.

A row belongs to the step in which it was launched (host rows: in which they began); what lies outside all steps
is left out, so that a run with more steps, or with a longer way to the first, is not a slower one.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.attributed import kernel_modules, kernel_ops
from traceanalyzer.model.columns import has_any, ints, texts
from traceanalyzer.model.communication import communication_kernels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.results import Step, Steps
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]
    Key = tuple[str, str | None]
    """A name, and the input shapes where ops are told apart by them."""


@dataclass(frozen=True, slots=True)
class PerStep:
    """One name in every step of every rank; arrays of shape (steps,)."""

    ns: Ints
    count: Ints

    def __add__(self, other: PerStep) -> PerStep:
        return PerStep(self.ns + other.ns, self.count + other.count)


def per_step(trace: Trace, steps: Steps) -> dict[str, dict[Key, PerStep]]:
    """By subject, then by key.

    `kernels`, `copies` and `collectives` are by their own name; `ops`, `ops_by_shape` and `modules` are the device
    time launched by each itself; `host_ops` is the ops' own time on the host, `api_calls` the runtime's functions.
    A subject that was not recorded is empty.
    """
    size = len(steps.steps)
    kernels, copies = (
        _step_at(ints(trace.tables[table], "rank"), steps.launched_ns[table], steps.steps)
        for table in ("kernels", "copies")
    )
    kernel_ns, copy_ns = ints(trace.kernels, "dur", 0), ints(trace.copies, "dur", 0)
    name, names = texts(trace.kernels, "name")
    moves = communication_kernels(trace)
    ops = _host(trace, "ops", steps.steps)
    op_names, module_names = kernel_ops(trace), kernel_modules(trace)
    found = {
        "kernels": _grouped(name, names, kernel_ns, kernels, size),
        "copies": _grouped(*texts(trace.copies, "name"), copy_ns, copies, size),
        "collectives": _grouped(name[moves], names, kernel_ns[moves], kernels[moves], size),
        "ops": _merged(
            _grouped(*op_names, kernel_ns, kernels, size, "(no op)"),
            _grouped(*_op_column(trace, "copies", "name"), copy_ns, copies, size, "(no op)"),
        ),
        "modules": _merged(
            _grouped(*module_names, kernel_ns, kernels, size, "(no module)"),
            _grouped(*texts(trace.copies, "module"), copy_ns, copies, size, "(no module)"),
        ),
        "host_ops": _grouped(*texts(trace.ops, "name"), ints(trace.ops, "self_dur", 0), ops, size),
        "api_calls": _grouped(
            *texts(trace.api_calls, "name"),
            ints(trace.api_calls, "dur", 0),
            _host(trace, "api_calls", steps.steps),
            size,
        ),
    }
    if set(found["modules"]) <= {("(no module)", None)}:
        found["modules"] = {}
    found["ops_by_shape"] = _by_shape(trace, kernels, kernel_ns, size)
    return found


def _by_shape(trace: Trace, step: Ints, ns: Ints, size: int) -> dict[Key, PerStep]:
    """Kernels by the name and the input shapes of their op."""
    if not has_any(trace.ops, "input_dims"):
        return {}
    (name, names), (dims, shapes) = (_op_column(trace, "kernels", c) for c in ("name", "input_dims"))
    base = len(shapes) + 1
    pair, code = np.unique(name * base + dims + 1, return_inverse=True)
    keys = [
        (names[n] if n >= 0 else "(no op)", shapes[d - 1] if d else None)
        for n, d in zip((pair // base).tolist(), (pair % base).tolist(), strict=True)
    ]
    return _sums(code, keys, ns, step, size)


def _op_column(trace: Trace, table: str, column: str) -> tuple[Ints, list[str]]:
    """A text column of the op that launched each row, -1 where that is not known."""
    op = ints(trace.tables[table], "op")
    codes, words = texts(trace.ops, column)
    found = np.full(len(op), -1, np.int64)
    found[op >= 0] = codes[op[op >= 0]]
    return found, words


def _host(trace: Trace, table: str, steps: Sequence[Step]) -> Ints:
    rows = trace.tables[table]
    return _step_at(ints(rows, "rank"), ints(rows, "ts"), steps)


def _step_at(rank: Ints, when: Ints, steps: Sequence[Step]) -> Ints:
    """Index into `steps` (of all ranks) of each moment on the host, -1 outside.

    A step lasts to the next one's start, the last one of a recording to its end.
    """
    found = np.full(len(when), -1, np.int64)
    for r in sorted({s.rank for s in steps}):
        own = [(i, s) for i, s in enumerate(steps) if s.rank == r]
        start = np.array([s.host_start_ns for _, s in own], np.int64)
        last = [b is None or b[1].recording != a[1].recording for a, b in zip_longest(own, own[1:])]
        end = np.where(last, [s.window_end_ns for _, s in own], np.append(start[1:], 0))
        rows = np.flatnonzero(rank == r)
        at = np.searchsorted(start, when[rows], side="right") - 1
        inside = (at >= 0) & (when[rows] < end[at])
        found[rows[inside]] = np.array([i for i, _ in own], np.int64)[at[inside]]
    return found


def _grouped(
    code: NDArray[np.integer],
    names: Sequence[str | None],
    ns: Ints,
    step: Ints,
    size: int,
    nameless: str = "(no name)",
) -> dict[Key, PerStep]:
    keys = [*((n if n is not None else nameless, None) for n in names), (nameless, None)]
    return _sums(np.where(code < 0, len(names), code).astype(np.int64), keys, ns, step, size)


def _sums(code: Ints, keys: Sequence[Key], ns: Ints, step: Ints, size: int) -> dict[Key, PerStep]:
    """Sums and counts by key and step, of the rows that lie in a step."""
    rows = np.flatnonzero(step >= 0)
    present, code = np.unique(code[rows], return_inverse=True)
    cell = code * size + step[rows]
    length = len(present) * size
    time = np.bincount(cell, weights=np.maximum(ns[rows], 0), minlength=length).astype(np.int64)
    count = np.bincount(cell, minlength=length)
    time, count = time.reshape(-1, size), count.reshape(-1, size)
    return {keys[c]: PerStep(time[i], count[i]) for i, c in enumerate(present.tolist())}


def _merged(one: Mapping[Key, PerStep], other: Mapping[Key, PerStep]) -> dict[Key, PerStep]:
    merged = dict(one)
    for key, values in other.items():
        merged[key] = merged[key] + values if key in merged else values
    return merged
