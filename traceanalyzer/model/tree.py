"""Nesting of intervals on their lanes: parents, depths, self time, and who was running when.

A lane is one thread of one process of one rank. Host intervals of one lane form a tree; clocks with microsecond
resolution let a child outlast its parent by a tick, so a child is clipped to its parent before the next look.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    HalfTicks = NDArray[np.uint64]

_CLIPPING_PASSES = 4


def nest(lane: Ints, start: Ints, duration: Ints) -> tuple[Ints, NDArray[np.int32]]:
    """Parent row (-1 for a root) and depth of every interval.

    Args:
        lane: lane of each row.
        start: start of each row, ns; rows must be sorted by start, longest first, within a lane.
        duration: duration of each row, ns, not negative.
    """
    order = np.argsort(lane, kind="stable")
    parent = np.full(len(lane), -1, np.int64)
    depth = np.zeros(len(lane), np.int32)
    bounds = np.flatnonzero(np.diff(lane[order], prepend=-1, append=-1))
    for first, last in pairwise(bounds):
        rows = order[first:last]
        local_parent, local_depth = _nest_lane(start[rows], start[rows] + duration[rows])
        parent[rows] = np.where(local_parent >= 0, rows[local_parent], -1)
        depth[rows] = local_depth
    return parent, depth


def _nest_lane(start: Ints, end: Ints) -> tuple[Ints, NDArray[np.int32]]:
    # A zero-length interval must not end before it starts: ends of those count half a tick later.
    begin, finish = ((time - start[:1]).astype(np.uint64) * 2 for time in (start, end))
    finish = np.where(end > start, finish, begin + 1)
    for _ in range(_CLIPPING_PASSES):
        depth = np.arange(len(begin)) - np.searchsorted(np.sort(finish), begin, side="right")
        parent = _parents(depth)
        until = np.where(parent >= 0, finish[np.maximum(parent, 0)], np.iinfo(np.uint64).max)
        outlasting = finish > until
        if not outlasting.any():
            return parent, depth.astype(np.int32)
        # below an interval that is still to be clipped nothing is certain yet: top down, one look at a time
        sure = outlasting & ~_below(outlasting, parent, depth)
        finish = np.where(sure & (until > begin), until, finish)
    return _nest_by_stack(begin, finish)


def _below(marked: NDArray[np.bool_], parent: Ints, depth: Ints) -> NDArray[np.bool_]:
    """Which rows have a marked row above them."""
    below = np.zeros(len(marked), bool)
    for level in range(1, int(depth.max(initial=0)) + 1):
        rows = np.flatnonzero((depth == level) & (parent >= 0))
        below[rows] = below[parent[rows]] | marked[parent[rows]]
    return below


def _parents(depth: Ints) -> Ints:
    """The last row before each one that is one level up."""
    parent = np.full(len(depth), -1, np.int64)
    by_depth = np.argsort(depth, kind="stable")
    levels = np.flatnonzero(np.diff(depth[by_depth], prepend=depth[by_depth[0]] - 1 if len(depth) else -1))
    bounds = [*levels.tolist(), len(depth)]
    for above, here, end in zip(bounds[:-2], bounds[1:-1], bounds[2:], strict=True):
        candidates, rows = by_depth[above:here], by_depth[here:end]
        found = np.searchsorted(candidates, rows) - 1
        parent[rows] = np.where(found >= 0, candidates[found], -1)
    return parent


def _nest_by_stack(begin: HalfTicks, finish: HalfTicks) -> tuple[Ints, NDArray[np.int32]]:
    """The same, one interval after the other: for lanes where intervals overlap without nesting."""
    parent, depth = np.full(len(begin), -1, np.int64), np.zeros(len(begin), np.int32)
    stack: list[tuple[int, int]] = []
    ends = finish.tolist()
    for row, at in enumerate(begin.tolist()):
        while stack and stack[-1][1] <= at:
            stack.pop()
        if stack:
            parent[row], depth[row] = stack[-1][0], len(stack)
            ends[row] = min(ends[row], stack[-1][1])
        stack.append((row, ends[row]))
    return parent, depth


def self_times(parent: Ints, duration: Ints) -> Ints:
    """Duration without the children's, not below 0."""
    inside = np.bincount(
        np.maximum(parent, 0), weights=np.where(parent >= 0, duration, 0), minlength=len(parent)
    )
    return np.maximum(duration - inside[: len(duration)].astype(np.int64), 0)


def merged_paths(parent: Ints, depth: NDArray[Any], code: Ints, labels: int) -> tuple[Ints, Ints, Ints]:
    """The tree of paths: level by level, intervals of one label below one node become one node.

    Args:
        parent: parent of each interval, from `nest`.
        depth: depth of each interval, from `nest`.
        code: label of each interval, from 0.
        labels: how many labels there are.

    Returns:
        The node of each interval, shape (intervals,), and parent and label of each node, shape (nodes,); a node
        comes after its parent.
    """
    node = np.full(len(parent), -1, np.int64)
    parents, codes = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    made = 0
    by_depth = np.argsort(depth, kind="stable")
    bounds = np.searchsorted(depth[by_depth], np.arange(int(depth.max(initial=-1)) + 2))
    for first, last in pairwise(bounds):
        rows = by_depth[first:last]
        above = np.where(parent[rows] >= 0, node[parent[rows]], -1)
        keys, of_row = np.unique((above + 1) * labels + code[rows], return_inverse=True)
        node[rows] = made + of_row
        parents.append(keys // max(labels, 1) - 1)
        codes.append(keys % max(labels, 1))
        made += len(keys)
    return node, np.concatenate(parents), np.concatenate(codes)


def enclosing(
    lane: Ints, start: Ints, duration: Ints, parent: Ints, query_lane: Ints, query_at: Ints
) -> Ints:
    """The innermost interval that covers each query point, -1 for none.

    Args:
        lane: lane of each interval; the same numbering as `query_lane`.
        start: start of each interval, ns, sorted within each lane.
        duration: of each interval, ns.
        parent: parent of each interval, from `nest`.
        query_lane: lane of each query.
        query_at: time of each query, ns.
    """
    if not len(lane) or not len(query_lane):
        return np.full(len(query_lane), -1, np.int64)
    order = np.argsort(lane, kind="stable")
    sorted_lane = lane[order]
    result = np.full(len(query_lane), -1, np.int64)
    query_order = np.argsort(query_lane, kind="stable")
    query_sorted = query_lane[query_order]
    for number in np.unique(query_sorted):
        rows = order[slice(*np.searchsorted(sorted_lane, [number, number + 1]))]
        queries = query_order[slice(*np.searchsorted(query_sorted, [number, number + 1]))]
        if len(rows):
            result[queries] = _covering(rows, start, start + duration, parent, query_at[queries])
    return result


def _covering(rows: Ints, start: Ints, end: Ints, parent: Ints, at: Ints) -> Ints:
    last = np.searchsorted(start[rows], at, side="right") - 1
    found = np.where(last >= 0, rows[last], -1)
    # climb from the last interval that started until one is still open; trees are shallow
    while True:
        closed = (found >= 0) & (end[found] <= at) & ~((end[found] == at) & (start[found] == at))
        if not closed.any():
            return found
        found = np.where(closed, parent[found], found)


def inherit(parent: Ints, depth: NDArray[Any], own: Ints) -> Ints:
    """The nearest value (≥ 0) on the way to the root: a row's own, else its parent's, and so on."""
    result = own.copy()
    for level in range(1, int(depth.max(initial=0)) + 1):
        rows = np.flatnonzero((depth == level) & (result < 0))
        result[rows] = result[parent[rows]]
    return result
