"""Which line of the user's code a kernel, a copy, a runtime call, an op or a function comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.analyzers.evidence import origin, text_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceanalyzer.model.trace import Trace

LAUNCHED = frozenset({"kernels", "copies", "api_calls", "ops", "python_calls"})
"""The tables whose rows a line of Python leads to."""


def line_of(trace: Trace, table: str, row: int) -> str | None:
    """`file:line` of the innermost frame of the user's code around what made this row; None where none is known.

    Where no frame is the user's, the innermost one in an installed package. Work of the backward pass has the line
    of its forward op.
    """
    in_package = None
    for frame in _frames(trace, table, row):
        file = text_at(trace.python_calls, "file", frame)
        made_by = origin(file) if file else "core"
        if made_by == "user":
            return f"{file}:{_number(trace, 'python_calls', 'line', frame)}"
        if in_package is None and made_by == "package":
            in_package = f"{file}:{_number(trace, 'python_calls', 'line', frame)}"
    return in_package


def _frames(trace: Trace, table: str, row: int) -> Iterator[int]:
    """Rows of python_calls from the innermost outwards."""
    frame = _innermost(trace, table, row)
    while frame is not None:
        yield frame
        frame = _number(trace, "python_calls", "parent", frame)


def _innermost(trace: Trace, table: str, row: int) -> int | None:
    if table == "python_calls":  # of a function, what calls it
        return _number(trace, "python_calls", "parent", row)
    op = row if table == "ops" else _number(trace, table, "op", row)
    while op is not None:  # what autograd runs has no frame, but the op whose gradient it computes
        for of in (op, _number(trace, "ops", "forward", op)):
            frame = None if of is None else _number(trace, "ops", "python_call", of)
            if frame is not None:
                return frame
        op = _number(trace, "ops", "parent", op)
    if table == "ops":
        return None
    call = row if table == "api_calls" else _number(trace, table, "api_call", row)
    return None if call is None else _number(trace, "api_calls", "python_call", call)


def _number(trace: Trace, table: str, column: str, row: int) -> int | None:
    found: int | None = trace.tables[table].column(column)[row].as_py()
    return found
