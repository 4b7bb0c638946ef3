"""Idle time per line of the program: every gap that the host caused, at the frame that was open in its middle.

A gap that a wait caused belongs to the line of the wait, which is open where the gap begins. The frame is the
innermost one of the user's own code; where none is the user's, the innermost one of an installed package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.evidence import origin
from traceanalyzer.analyzers.groups import group_rows
from traceanalyzer.analyzers.idle import CAUSES, CODE, HOST_CAUSES
from traceanalyzer.analyzers.results import IdleLine
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.tree import enclosing, inherit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.host import HostActivity
    from traceanalyzer.analyzers.idle import Gaps
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

_WAITS = [CODE["host_sync"], CODE["host_copy"]]


def idle_lines(gaps: Sequence[Gaps], trace: Trace, host: HostActivity) -> tuple[IdleLine, ...]:
    """Idle time by cause and line, most first; empty without stacks.

    Time in gaps whose line is not known is a row with `python` None, so that the rows sum to what the host caused.
    """
    if not trace.python_calls.num_rows:
        return ()
    caused = [CODE[cause] for cause in HOST_CAUSES]
    chosen = [(g, np.flatnonzero(np.isin(g.cause, caused) & (g.call >= 0))) for g in gaps]
    cause = np.concatenate([g.cause[rows] for g, rows in chosen] or [np.zeros(0, np.int8)])
    if not len(cause):
        return ()
    start = np.concatenate([g.start[rows] for g, rows in chosen])
    length = np.concatenate([(g.end - g.start)[rows] for g, rows in chosen])
    middle = np.concatenate([(g.start + g.host_end)[rows] // 2 for g, rows in chosen])
    thread = host.api_calls.thread[np.concatenate([g.call[rows] for g, rows in chosen])]
    at = np.where(np.isin(cause, _WAITS), start, middle)
    frame = _frames(trace, host, thread, at)
    lost = np.flatnonzero((frame < 0) & np.isin(cause, _WAITS))  # the wait ended before the gap began
    frame[lost] = _frames(trace, host, thread[lost], middle[lost])
    return _rows(trace, cause, length, frame)


def _frames(trace: Trace, host: HostActivity, thread: Ints, at: Ints) -> Ints:
    """The frame to show for each moment: on the launching thread, else on a thread of its crew."""
    calls = host.python_calls
    parent = ints(trace.python_calls, "parent")
    shown = shown_frames(trace)
    result = np.full(len(at), -1, np.int64)
    for launcher in np.unique(thread).tolist():
        crew = sorted(host.crew(launcher), key=lambda t: (t != launcher, t))
        for mate in crew:
            todo = np.flatnonzero((thread == launcher) & (result < 0))
            lane = np.full(len(todo), mate, np.int64)
            found = enclosing(calls.thread, calls.start, calls.end - calls.start, parent, lane, at[todo])
            result[todo] = np.where(found >= 0, shown[found], -1)
    return result


def shown_frames(trace: Trace) -> Ints:
    """For every frame, the innermost frame of the user around it, else of a package; -1 for neither."""
    table = trace.python_calls
    codes, files = texts(table, "file")
    parent, depth = ints(table, "parent"), ints(table, "depth")
    rows = np.arange(len(codes))
    nearest = []
    for wanted in ("user", "package"):
        fits = np.array([*(origin(path) == wanted for path in files), False])[codes]
        nearest.append(inherit(parent, depth, np.where(fits, rows, -1)))
    return np.where(nearest[0] >= 0, nearest[0], nearest[1])


def _rows(trace: Trace, cause: NDArray[np.int8], length: Ints, frame: Ints) -> tuple[IdleLine, ...]:
    table = trace.python_calls
    codes, files = texts(table, "file")
    lines, function = ints(table, "line"), texts(table, "function")
    known = frame >= 0
    file_code = np.where(known, codes[frame], -1).astype(np.int64)
    line = np.where(known, lines[frame], -1)
    found = []
    for rows in group_rows(cause.astype(np.int64), file_code, line):
        first = rows[0]
        at = int(frame[first])
        found.append(
            IdleLine(
                cause=tuple(CAUSES)[cause[first]],
                python=f"{files[file_code[first]]}:{line[first]}" if at >= 0 else None,
                function=function[1][function[0][at]] if at >= 0 and function[0][at] >= 0 else None,
                total_ns=int(length[rows].sum()),
                gaps=len(rows),
            )
        )
    found.sort(key=lambda row: (-row.total_ns, row.cause, row.python or ""))
    return tuple(found)
