"""Python call paths with the time spent in them and the device time launched from them; equal paths are one node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.device_time import up_the_tree, weighted_count
from traceanalyzer.analyzers.results import PythonStacks, StackNode
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.trace import Capability
from traceanalyzer.model.tree import merged_paths

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

MAX_NODES = 4_000
"""Nodes that are kept; those with the least time are left out, with all that is below them."""


class PythonStacksAnalyzer:
    """Device time counts for the frame whose call launched it; work on several streams at once counts several times."""

    name: ClassVar[str] = "python_stacks"
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.STACKS})

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> PythonStacks:  # noqa: ARG002
        """Nodes in depth-first order, siblings with the most device time first, then the most host time."""
        calls = trace.python_calls
        codes, labels = texts(calls, "name")
        own, unattributed = _launched_by(trace)
        node, parent, label = merged_paths(
            ints(calls, "parent"), ints(calls, "depth"), codes.astype(np.int64), len(labels)
        )
        count = len(parent)
        host = weighted_count(node, ints(calls, "dur", 0), count)
        depth = _depths(parent)
        device = up_the_tree(parent, depth, weighted_count(node, own, count))
        order, left_out = depth_first(parent, depth, device, host)
        place = {old: new for new, old in enumerate(order)}
        rows = tuple(
            StackNode(
                place.get(int(parent[i]), -1),
                int(depth[i]),
                str(labels[label[i]] or ""),
                int(host[i]),
                int(device[i]),
            )
            for i in order
        )
        return PythonStacks(rows, left_out, unattributed)


def _launched_by(trace: Trace) -> tuple[Ints, int]:
    """Device time per Python call, by the launch within it; and that of launches in no Python frame, ns."""
    own, lost = np.zeros(trace.python_calls.num_rows, np.int64), 0
    frame_of_call = np.append(ints(trace.api_calls, "python_call"), -1)
    for name in ("kernels", "copies"):
        table = trace.tables[name]
        frame, duration = frame_of_call[ints(table, "api_call")], ints(table, "dur", 0)
        known = frame >= 0
        own += weighted_count(frame[known], duration[known], len(own))
        lost += int(duration[~known].sum())
    return own, lost


def _depths(parent: Ints) -> Ints:
    """Nodes come after their parents: one pass per level."""
    depth = np.zeros(len(parent), np.int64)
    while True:
        deeper = np.where(parent >= 0, depth[parent] + 1, 0)
        if (deeper == depth).all():
            return depth
        depth = deeper


def depth_first(parent: Ints, depth: Ints, device: Ints, host: Ints) -> tuple[list[int], int]:
    """The largest nodes, each after its parent; and how many were left out."""
    kept = np.lexsort((depth, -host, -device))[:MAX_NODES].tolist()
    children: dict[int, list[int]] = {}
    for i in kept:
        children.setdefault(int(parent[i]), []).append(i)
    ordered, stack = [], children.get(-1, [])[::-1]
    while stack:
        i = stack.pop()
        ordered.append(i)
        stack.extend(children.get(i, [])[::-1])
    return ordered, len(parent) - len(ordered)
