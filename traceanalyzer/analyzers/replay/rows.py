"""The rows that a replay moves: API calls that launch or wait, and device work, of one rank and stretch of steps.

Everything else the host does only fills the time between these calls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.host import STALLS, HostActivity
from traceanalyzer.analyzers.work import device_work, streams
from traceanalyzer.model.columns import ints
from traceanalyzer.model.tree import nest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.results import Step
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

FREES = re.compile(r"^(cuda|hip)Free(?!.*Async)")  # waits for the whole device


@dataclass(frozen=True)
class Calls:
    """API calls in order of their start, arrays of shape (calls,); times are ns on the trace's axis.

    Call 0 is the beginning of the window, the last call is the end of the last step's host range; `row` is the
    row in `api_calls` (-1 for these two), `crew` the first of the threads whose time is one course of events.
    """

    row: Ints
    thread: Ints
    crew: Ints
    start: Ints
    end: Ints
    syncs: Flags
    frees: Flags
    copies: Flags  # copies for which the host waits


@dataclass(frozen=True)
class Works:
    """Device work in order of its launching call, then of its start; arrays of shape (works,), times in ns.

    `call` is the position in `Calls` of the call that launched it. Work whose launch was not recorded or lies before
    the window (`launched` is false) follows the call of the work before it on its stream.
    """

    row: Ints
    kind: NDArray[np.int8]
    lane: Ints  # numbers the streams of all devices
    device: Ints
    stream: Ints
    call: Ints
    launched: Flags
    start: Ints
    end: Ints


def stretch(sizes: Ints, most_nodes: int) -> tuple[int, int]:
    """First and last step of the longest stretch in the middle that is small enough to replay.

    Args:
        sizes: how many calls and how much device work each step has, shape (steps,).
        most_nodes: how many of them are small enough.
    """
    steps = len(sizes)
    before = np.concatenate(([0], np.cumsum(sizes)))
    if before[-1] <= most_nodes or steps == 1:
        return 0, steps - 1
    first = last = steps // 2
    while True:
        wider = (max(first - 1, 0), min(last + 1, steps - 1))
        if before[wider[1] + 1] - before[wider[0]] > most_nodes:
            return first, last
        first, last = wider


def step_sizes(trace: Trace, steps: Sequence[Step]) -> Ints:
    """How many calls and how much device work begin in each step of one rank, shape (steps,)."""
    tables, rank = (trace.api_calls, trace.kernels, trace.copies), steps[0].rank
    nodes = np.sort(np.concatenate([ints(t, "ts")[ints(t, "rank") == rank] for t in tables]))
    edges = np.array([s.host_start_ns for s in steps] + [steps[-1].end_ns])
    return np.diff(np.searchsorted(nodes, edges))


def select(
    trace: Trace, host: HostActivity, rank: int, begin_ns: int, host_end_ns: int, end_ns: int
) -> tuple[Calls, Works]:
    """The calls of [begin_ns, host_end_ns] and the work that runs or is launched within [begin_ns, end_ns]."""
    api = host.api_calls
    outermost = _outermost(trace, api.thread)
    devices = [d for d in device_work(trace) if d.rank == rank]
    kind = np.concatenate([d.kind for d in devices])
    row = np.concatenate([d.row for d in devices])
    start = np.concatenate([d.start for d in devices])
    end = np.concatenate([d.end for d in devices])
    device = np.repeat([d.device for d in devices], [len(d.row) for d in devices])
    call_row = np.concatenate([d.api_call for d in devices])
    linked = call_row >= 0
    call_row[linked] = outermost[call_row[linked]]
    stream = np.concatenate([streams(d, trace) for d in devices])

    syncs, frees = api.named(STALLS["host_sync"]), api.named(FREES)
    copies = (host.waits | host.copies) & ~syncs
    matters = syncs | frees | copies
    matters[call_row[linked]] = True
    own_rank = ints(trace.api_calls, "rank") == rank
    inside = (api.start >= begin_ns) & (api.end <= host_end_ns) & own_rank
    chosen = np.flatnonzero(matters & inside & (outermost == np.arange(len(outermost))))
    chosen = chosen[np.lexsort((api.end[chosen], api.start[chosen]))]
    main = _main_thread(api.thread[call_row[linked]], api.thread[chosen])
    calls = _framed(host, chosen, main, (begin_ns, host_end_ns), (syncs, frees, copies))
    position = np.full(len(outermost), -1, np.int64)
    position[chosen] = np.arange(1, len(chosen) + 1)
    call = np.where(linked, position[np.maximum(call_row, 0)], -1)
    in_flight = linked & (api.start[np.maximum(call_row, 0)] < begin_ns) & (end > begin_ns)
    unknown = ~linked & (end > begin_ns) & (start < end_ns)
    keep = np.flatnonzero((call >= 0) | in_flight | unknown)
    works = _in_order(row[keep], kind[keep], device[keep], stream[keep], call[keep], start[keep], end[keep])
    return calls, works


def _framed(
    host: HostActivity, chosen: Ints, main: int, window: tuple[int, int], kinds: tuple[Flags, Flags, Flags]
) -> Calls:
    """The chosen calls between the beginning of the window and its end, which are the main thread's."""
    api = host.api_calls
    crew_of = {int(t): min(host.crew(int(t))) for t in np.unique(api.thread[chosen])}
    crew = np.array([crew_of[t] for t in api.thread[chosen].tolist()], np.int64)

    def framed(values: NDArray[np.int64], first: int, last: int) -> Ints:
        return np.concatenate(([first], values, [last])).astype(np.int64)

    syncs, frees, copies = (np.concatenate(([False], kind[chosen], [False])) for kind in kinds)
    return Calls(
        framed(chosen, -1, -1),
        framed(api.thread[chosen], main, main),
        framed(crew, crew_of.get(main, main), crew_of.get(main, main)),
        framed(api.start[chosen], *window),
        framed(api.end[chosen], *window),
        syncs,
        frees,
        copies,
    )


def _outermost(trace: Trace, thread: Ints) -> Ints:
    """For each API call the outermost call around it (a runtime call around the driver's), or itself."""
    parent, depth = nest(thread, ints(trace.api_calls, "ts"), np.maximum(ints(trace.api_calls, "dur", 0), 0))
    top = np.arange(len(parent))
    for level in range(1, int(depth.max(initial=0)) + 1):
        rows = np.flatnonzero(depth == level)
        top[rows] = top[parent[rows]]
    return top


def _main_thread(launching: Ints, others: Ints) -> int:
    """The thread that launches most; the steps are taken to be its own."""
    threads = launching if len(launching) else others
    if not len(threads):
        return -1
    values, count = np.unique(threads, return_counts=True)
    return int(values[np.argmax(count)])


def _in_order(
    row: Ints, kind: NDArray[np.int8], device: Ints, stream: Ints, call: Ints, start: Ints, end: Ints
) -> Works:
    lane = np.unique(np.stack((device, stream)), axis=1, return_inverse=True)[1].reshape(-1)
    launched = call >= 0
    order = np.lexsort((end, start, lane))
    call = np.maximum(call, 0)[order]
    # along a stream no work is launched before the one ahead of it
    firsts = np.flatnonzero(np.diff(lane[order], prepend=-1))
    lifted = call + lane[order] * (int(call.max(initial=0)) + 1)
    call = (
        np.maximum.accumulate(lifted) - lane[order] * (int(call.max(initial=0)) + 1) if len(firsts) else call
    )
    final = np.lexsort((end[order], start[order], call))
    order, call = order[final], call[final]
    return Works(
        row[order], kind[order], lane[order], device[order], stream[order], call, launched[order], start[order],
        end[order],
    )  # fmt: skip
