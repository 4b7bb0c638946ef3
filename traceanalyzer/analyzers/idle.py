"""Why a device had nothing to do: a cause for every gap between two pieces of work.

A gap begins when the last stream falls silent and ends when some stream starts work k. What was missing
shows in the API call L that launched k:

* L began after the gap did: **the host was late**. The gap takes the name of what the launching threads did
  most between its start and that of L: one of the stalls of `host.STALLS` or ordinary work, which is
  `optimizer`, `autograd` or `dispatch`. When the gap begins while the host waits inside a synchronising call
  or a pageable copy, then that wait has drained the queue. Without it the host would have begun its ordinary
  work earlier by as long as it waited; so that much of the ordinary work counts as `host_sync` or
  `host_copy`. (When L is itself slow, the time inside it counts too.)
* L had begun before: **the work was on its way**. A gap below 3 us is the device's own `launch_latency`, and so
  is a longer one that ends with L when L launches a whole graph; any other is a
  `dependency`: an event, another stream, a collective that waits for its peers. But when L is
  slow (50 us and more, or a call that waits or copies pageable memory) and fills at least half of a gap of
  3 us or more, and k is the first work that it launched, the host was late after all and is judged as above.
* No work follows in the window: the stall that fills most of the gap on the threads that launched before, else
  `no_more_work`. The launch of k was not recorded: `unknown`.

Only time in which the device is idle is counted, so the part of a synchronising call during which the
device works costs nothing here.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.host import ORDINARY, STALLS, HostActivity
from traceanalyzer.model.intervals import Intervals, covered, gaps, started_before
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.analyzers.work import DeviceWork

CAUSES: Mapping[str, Text] = MappingProxyType(
    {
        "host_sync": say("the host waits for the device and then has to fill an empty queue"),
        "dataloader": say("the host waits for the next batch"),
        "host_copy": say("the host is inside a copy of pageable memory"),
        "allocator": say("the host allocates or frees device memory"),
        "host_communication": say("the host waits for other ranks"),
        "gc": say("Python collects garbage"),
        "compile": say("the host compiles or loads code"),
        "autograd": say("the autograd engine prepares the next kernel too slowly"),
        "optimizer": say("the optimizer prepares the next kernel too slowly"),
        "dispatch": say("Python and the dispatcher launch too slowly"),
        "launch_latency": say("the device's own latency between two launches"),
        "dependency": say("launched in time, but waiting for other work"),
        "no_more_work": say("nothing was launched any more"),
        "unknown": say("the launch of the next work was not recorded"),
    }
)
CODE: Mapping[str, int] = MappingProxyType({cause: i for i, cause in enumerate(CAUSES)})
_STALLED = tuple(CODE[cause] for cause in STALLS if cause != "host_sync")
"""What can hold the host up after the last work; a wait for the device is over by then."""
HOST_CAUSES: frozenset[str] = frozenset((*STALLS, *ORDINARY, "dispatch"))


@dataclass(frozen=True)
class Gaps:
    """The idle gaps of one device; arrays of shape (gaps,), in order of time.

    `next_work` indexes `work`, `call` is the row of the API call that launched it, of the last launch where nothing
    follows; -1 for none. The host is looked at from `start` to `host_end`.
    """

    work: DeviceWork
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    next_work: NDArray[np.int64]
    call: NDArray[np.int64]
    host_end: NDArray[np.int64]
    cause: NDArray[np.int8]  # codes of CAUSES


def explain(work: DeviceWork, busy: Intervals, window: tuple[int, int], host: HostActivity) -> Gaps:
    """Every gap of a device within the window, with its cause. `busy` is when the device had work."""
    start, end = gaps(busy, *window)
    follower = np.searchsorted(work.start, end, side="left")
    followed = (follower < len(work.start)) & (work.start[np.minimum(follower, len(work.start) - 1)] == end)
    follower = np.where(followed, follower, -1)
    call = np.where(followed, work.api_call[follower], -1)
    known = call >= 0

    cause = np.full(len(start), CODE["unknown"], np.int8)
    cause[~followed] = CODE["no_more_work"]
    call_start = np.where(known, host.api_calls.start[call] if len(host.api_calls.start) else 0, end)
    call_end = np.where(known, host.api_calls.end[call] if len(host.api_calls.end) else 0, end)
    slow = call_end - call_start >= thresholds.SLOW_CALL_NS
    slow[known] |= (host.copies | host.waits)[call[known]]
    host_end = np.clip(np.where(slow, call_end, call_start), start, end)

    late = known & (call_start > start)
    duration = end - start
    on_its_way = known & ~late
    cause[on_its_way] = CODE["dependency"]
    short = duration < thresholds.LAUNCH_GAP_NS
    first = _first_of_call(work, follower)
    launching_many = first & (_work_per_call(work)[call] > 1) & (end <= call_end + thresholds.LAUNCH_GAP_NS)
    cause[on_its_way & (short | launching_many)] = CODE["launch_latency"]
    inside = on_its_way & slow & ~short & (2 * (host_end - start) >= duration) & first

    call[~followed] = _last_launch(work, start[~followed])
    judged = np.flatnonzero(late | inside | (~followed & (call >= 0)))
    thread = host.api_calls.thread[call[judged]]
    for value in np.unique(thread).tolist():
        rows = judged[thread == value]
        cause[rows] = _host_cause(host, host.crew(value), start[rows], host_end[rows])
    cause[~followed & ~np.isin(cause, _STALLED)] = CODE["no_more_work"]
    return Gaps(work, start, end, follower, call, host_end, cause)


def _work_per_call(work: DeviceWork) -> NDArray[np.int64]:
    """How much work each API call launched, and 0 at the end for the call that is not known (-1)."""
    return np.append(np.bincount(work.api_call[work.api_call >= 0]), 0)


def _first_of_call(work: DeviceWork, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows of the work are the first that their API call launched, shape (rows,)."""
    linked = np.flatnonzero(work.api_call >= 0)[::-1]
    first = np.full(int(work.api_call.max(initial=-1)) + 2, -1, np.int64)
    first[work.api_call[linked]] = linked  # the earliest is written last
    result: NDArray[np.bool_] = first[work.api_call[rows]] == rows
    return result


def _last_launch(work: DeviceWork, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """The API call that launched the last work before each moment; -1 where none is known, shape (moments,)."""
    launched = np.flatnonzero(work.api_call >= 0)
    last = np.searchsorted(work.start[launched], at, side="left") - 1
    return np.where(last >= 0, work.api_call[launched[last]], -1) if len(launched) else np.full(len(at), -1)


def _host_cause(
    host: HostActivity, crew: frozenset[int], start: NDArray[np.int64], end: NDArray[np.int64]
) -> NDArray[np.int8]:
    """What the crew did most in each window, as codes of CAUSES, shape (windows,)."""
    spent = np.zeros((len(CAUSES), len(start)), np.int64)
    activity = host.activity(crew)
    for kind, when in activity.items():
        spent[CODE[kind]] = covered(when, start, end)
    spent[CODE["dispatch"]] = end - start - spent.sum(axis=0)
    for wait in ("host_copy", "host_sync"):
        waited = start - started_before(activity[wait], start)
        for kind in (*ORDINARY, "dispatch"):
            charged = np.minimum(waited, spent[CODE[kind]])
            spent[CODE[wait]] += charged
            spent[CODE[kind]] -= charged
            waited -= charged
    most: NDArray[np.int8] = spent.argmax(axis=0).astype(np.int8)
    return most
