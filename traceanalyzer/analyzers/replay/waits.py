"""Waiting that is not order: streams that wait for events of other streams, and calls that wait for the device."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from traceanalyzer.analyzers.thresholds import LAUNCH_GAP_NS, US
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import first_match
from traceanalyzer.model.recordings import part_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.analyzers.replay.rows import Calls, Works
    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

CLOCK_SKEW_NS = 2 * US  # host and device clocks are aligned by the profiler, not perfectly


class Edges(NamedTuple):
    """The target waits for the end of the source, and then `lag` ns; shape (edges,), sorted by target."""

    target: Ints
    source: Ints
    lag: Ints


def previous_on_stream(works: Works) -> Ints:
    """The work ahead of each one on its stream, -1 for the first."""
    order = np.argsort(works.lane, kind="stable")
    same = np.diff(works.lane[order], prepend=-1) == 0
    previous = np.full(len(order), -1, np.int64)
    previous[order[same]] = order[np.flatnonzero(same) - 1]
    return previous


def event_edges(trace: Trace, calls: Calls, works: Works, previous: Ints, rank: int) -> tuple[Edges, int]:
    """Waits between streams: those that the trace records, else those that only timing suggests (their number).

    Suggested is a wait when work begins later than its launch and its stream explain, and work of another stream of
    the device, launched before, ended just then.
    """
    target, source = _recorded(trace, calls, works, rank)
    explained = np.maximum(calls.start[works.call] + 10 * US, np.where(previous >= 0, works.end[previous], 0))
    np.maximum.at(explained, target, works.end[source])
    more_target, more_source = _suggested(works, explained)
    both = np.concatenate((target, more_target)), np.concatenate((source, more_source))
    order = np.argsort(both[0], kind="stable")
    return Edges(both[0][order], both[1][order], np.zeros(len(order), np.int64)), len(more_target)


def _recorded(trace: Trace, calls: Calls, works: Works, rank: int) -> tuple[Ints, Ints]:
    table = trace.syncs
    codes, names = texts(table, "kind")
    waiting = np.array([n == "Stream Wait Event" for n in names] + [False])[codes] & (
        ints(table, "rank") == rank
    )
    rows = np.flatnonzero(waiting)
    api = trace.api_calls
    keys = (_part(trace, api), ints(api, "correlation"))
    part = _part(trace, table)[rows]
    wait = first_match((part, ints(table, "correlation")[rows]), keys)
    record = first_match((part, ints(table, "waits_on_correlation")[rows]), keys)
    known = (wait >= 0) & (record >= 0)
    rows, wait, record = rows[known], wait[known], record[known]
    at = ints(api, "ts")
    lanes = {
        (d, s): n
        for d, s, n in zip(works.device.tolist(), works.stream.tolist(), works.lane.tolist(), strict=True)
    }
    device, stream = ints(table, "device")[rows].tolist(), ints(table, "stream")[rows].tolist()
    other = ints(table, "waits_on_stream")[rows].tolist()
    into = np.array([lanes.get(k, -1) for k in zip(device, stream, strict=True)], np.int64)
    out_of = np.array([lanes.get(k, -1) for k in zip(device, other, strict=True)], np.int64)
    target, source = np.full(len(rows), -1), np.full(len(rows), -1)
    launched = calls.start[works.call]
    for number in np.unique(works.lane):
        members = np.flatnonzero(works.lane == number)
        for which, times, found in ((into, at[wait], target), (out_of, at[record], source)):
            mine = which == number
            index = np.searchsorted(launched[members], times[mine]) - (found is source)
            inside = (index >= 0) & (index < len(members))
            found[mine] = np.where(inside, members[np.clip(index, 0, len(members) - 1)], -1)
    good = (target >= 0) & (source >= 0) & (source < target)
    good &= works.end[source] <= works.start[target] + CLOCK_SKEW_NS
    return target[good], source[good]


def _suggested(works: Works, explained: Ints) -> tuple[Ints, Ints]:
    targets, sources = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for device in np.unique(works.device):
        rows = np.flatnonzero(works.device == device)
        by_end = rows[np.argsort(works.end[rows], kind="stable")]
        late = rows[works.start[rows] > explained[rows] + LAUNCH_GAP_NS]
        found = np.searchsorted(works.end[by_end], works.start[late], side="right") - 1
        candidate = by_end[np.maximum(found, 0)]
        good = (found >= 0) & (candidate < late) & (works.end[candidate] > explained[late])
        good &= works.lane[candidate] != works.lane[late]
        targets.append(late[good])
        sources.append(candidate[good])
    return np.concatenate(targets), np.concatenate(sources)


def host_waits(trace: Trace, calls: Calls, works: Works) -> tuple[Edges, Ints]:
    """Which work each call waited for, and what each call costs without waiting.

    Work that was still running when the call returned was not waited for, whatever the call is named.
    """
    pairs = [_last_before(works, *wanted) for wanted in _wanted(trace, calls, works)]
    copied = np.flatnonzero(calls.copies[works.call] & works.launched)
    target = np.concatenate([p[0] for p in pairs] + [works.call[copied]])
    source = np.concatenate([p[1] for p in pairs] + [copied])
    ended = works.end[source] <= calls.end[target] + CLOCK_SKEW_NS
    target, source = target[ended], source[ended]
    order = np.lexsort((works.end[source], target))
    target, source = target[order], source[order]
    lag = calls.end[target] - works.end[source]
    last = np.append(np.diff(target) != 0, True) if len(target) else np.empty(0, np.bool_)
    binding = last & (works.end[source] > calls.start[target])
    typical = int(np.median(lag[binding])) if binding.any() else 0
    lag = np.where(binding, lag, np.minimum(lag, max(typical, 0)))
    cost = calls.end - calls.start
    blocked = np.zeros(len(cost), np.bool_)
    blocked[target[binding]] = True
    waits = calls.syncs | calls.frees
    for kind, fallback in ((waits, 3 * US), (~waits, 3 * US)):
        free = kind & ~blocked & (calls.row >= 0)
        least = int(np.median(cost[free])) if free.any() else fallback
        cost = np.where(kind & blocked, np.minimum(cost, least), cost)
    return Edges(target, source, lag), cost


def _wanted(trace: Trace, calls: Calls, works: Works) -> list[tuple[int, Ints]]:
    """Per stream (its lane) the calls that wait for it."""
    rows = np.flatnonzero(calls.syncs)
    api, syncs = trace.api_calls, trace.syncs
    correlation = ints(api, "correlation")[calls.row[rows]]
    part = np.where(calls.row[rows] >= 0, np.append(_part(trace, api), -1)[calls.row[rows]], -1)
    row = first_match((part, correlation), (_part(trace, syncs), ints(syncs, "correlation")))
    row = np.where(correlation >= 0, row, -1)
    stream = np.append(ints(syncs, "stream"), -1)[row]
    codes, names = texts(api, "name")
    of_stream = np.array(["StreamSync" in n for n in names] + [False])[codes][calls.row[rows]]
    # a wait for one stream whose row is missing is for the stream that the host used last
    before = np.searchsorted(works.call, rows) - 1
    used = np.where(before >= 0, works.stream[np.maximum(before, 0)], -1) if len(works.call) else stream
    stream = np.where(of_stream & ~((row >= 0) & (stream >= 0)), used, np.where(of_stream, stream, -1))
    every = np.flatnonzero(calls.frees)
    lanes, first = np.unique(works.lane, return_index=True)
    return [
        (int(lane), np.sort(np.concatenate((rows[(stream < 0) | (stream == works.stream[at])], every))))
        for lane, at in zip(lanes, first, strict=True)
    ]


def _part(trace: Trace, table: pa.Table) -> Ints:
    return part_of(trace.recordings, ints(table, "rank"), ints(table, "ts"))


def _last_before(works: Works, lane: int, waiting: Ints) -> tuple[Ints, Ints]:
    """The last work of a stream that was launched before each waiting call."""
    members = np.flatnonzero(works.lane == lane)
    index = np.searchsorted(works.call[members], waiting) - 1
    found = index >= 0
    return waiting[found], members[index[found]]
