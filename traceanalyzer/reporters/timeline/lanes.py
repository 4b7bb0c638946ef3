"""Events as columns, the lanes they lie in, and which of them are drawn one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

MAX_LANES = (
    24  # per side (device streams, host threads); of the ranks that the report shows whole, the busiest first
)


@dataclass(frozen=True)
class Events:
    """Columns of equal length, ns; `lane` numbers the lanes of one side, `name` indexes `words`."""

    start: Ints
    dur: Ints
    lane: Ints
    kind: Ints
    name: Ints
    row: Ints  # in the table of its kind

    def take(self, rows: NDArray[Any]) -> Events:
        """The events at these row numbers, or where a mask is true."""
        return Events(*(getattr(self, f)[rows] for f in self.__dataclass_fields__))

    def __len__(self) -> int:
        return len(self.start)

    @staticmethod
    def join(parts: Sequence[Events]) -> Events:
        """All events of all parts, in the parts' order."""
        if not parts:
            return Events(*(np.zeros(0, np.int64) for _ in Events.__dataclass_fields__))
        return Events(*(np.concatenate([getattr(p, f) for p in parts]) for f in Events.__dataclass_fields__))


class Words:
    """The dictionaries of several columns as one list of names, each once."""

    def __init__(self) -> None:
        self._index: dict[str, int] = {}

    @property
    def all(self) -> list[str]:
        """Every name once, by index."""
        return list(self._index)

    def add(self, codes: NDArray[np.int32], dictionary: list[str]) -> Ints:
        """The codes as indexes into the joint list; -1 stays -1."""
        joint = np.array([*(self._index.setdefault(name, len(self._index)) for name in dictionary), -1])
        return joint[codes]


@dataclass(frozen=True)
class Side:
    """The devices or the host: lanes with labels, the events drawn and the short rest."""

    labels: tuple[str, ...]
    drawn: Events
    rest: Events
    lanes_left_out: int

    @property
    def longest_summed_ns(self) -> int | None:
        """Every event shorter than this may be part of a sum; None when all are drawn."""
        return int(self.rest.dur.max()) if len(self.rest) else None


def split(
    events_and_lanes: tuple[Events, Ints],
    label: Callable[[int, int, int], str],
    budget: int,
    whole: Sequence[int] = (),
) -> Side:
    """Number the lanes, keep MAX_LANES of them, split the longest events from the rest.

    Args:
        events_and_lanes: the events, and their lanes as (rank, …), shape (events, 3).
        label: names a lane.
        budget: how many events are drawn one by one.
        whole: ranks whose lanes stay first, the busiest before the others; then come the other ranks, one by one.
    """
    events, keys = events_and_lanes
    if not len(events):
        return Side((), events, events, 0)
    codes, lanes = _number(keys)
    time = np.bincount(codes, weights=events.dur, minlength=len(lanes))
    turn = np.where(np.isin(lanes[:, 0], whole), -1, lanes[:, 0])
    kept = np.lexsort((-time, turn))[:MAX_LANES]
    kept = kept[np.lexsort((-time[kept], lanes[kept, 1], lanes[kept, 0], turn[kept]))]
    position = np.full(len(lanes), -1, np.int64)
    position[kept] = np.arange(len(kept))
    events = replace(events, lane=position[codes])
    if len(kept) < len(lanes):
        events = events.take(events.lane >= 0)
    drawn = _longest(events.dur, budget)
    return Side(
        tuple(label(*map(int, lanes[i])) for i in kept),
        events.take(drawn),
        events.take(~drawn),
        len(lanes) - len(kept),
    )


def _number(keys: Ints) -> tuple[Ints, Ints]:
    """Rows of keys as codes into the distinct rows, without sorting the rows."""
    combined = np.zeros(len(keys), np.int64)
    for column in keys.T:
        codes, distinct = _factorize(column)
        combined = combined * max(1, distinct) + codes
    codes, distinct = _factorize(combined)
    first = np.zeros(distinct, np.int64)
    first[codes[::-1]] = np.arange(len(keys))[::-1]  # the last write is the first row of its kind
    return codes, keys[first]


def _factorize(values: Ints) -> tuple[Ints, int]:
    """Codes of the values in the order of their first appearance, and how many values are distinct."""
    encoded = pa.array(values).dictionary_encode()
    return np.asarray(encoded.indices).astype(np.int64), len(encoded.dictionary)


def _longest(dur: Ints, budget: int) -> NDArray[np.bool_]:
    """A mask of at most `budget` events that holds all the longest ones; equal durations share one fate."""
    mask: NDArray[np.bool_]
    if len(dur) <= budget:
        return np.ones(len(dur), bool)
    if budget <= 0:
        return np.zeros(len(dur), bool)
    threshold = np.partition(dur, len(dur) - budget)[len(dur) - budget]
    mask = dur > threshold
    if not mask.any():  # all alike: an even sample is better than nothing
        mask[:: -(-len(dur) // budget)] = True
    return mask


def nesting(events: Events) -> tuple[Events, Ints]:
    """The events sorted by lane and start, and how many events of the lane are around each."""
    order = np.lexsort((-events.dur, events.start, events.lane))
    events = events.take(order)
    depth = np.zeros(len(events), np.int64)
    for lane in np.unique(events.lane):
        here = np.flatnonzero(events.lane == lane)
        start = events.start[here]
        # An instant counts as 1 ns long, so that it does not end before what starts with it.
        ended = np.sort(start + np.maximum(events.dur[here], 1))
        depth[here] = np.arange(len(here)) - np.searchsorted(ended, start, side="right")
    return events, depth
