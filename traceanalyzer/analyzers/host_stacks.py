"""Call stacks of native code: what the CPU was sampled in, and who waited in calls into the operating system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.device_time import up_the_tree, weighted_count
from traceanalyzer.analyzers.python_stacks import depth_first
from traceanalyzer.model.columns import ints, texts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace

    Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CallTree:
    """Call paths in depth-first order, as columns; each value is with the frames inside.

    `parent` is -1 at a root; `left_out` counts the smallest paths, which are not kept.
    """

    parent: tuple[int, ...] = ()
    name: tuple[str, ...] = ()
    value: tuple[int, ...] = ()
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class HostStacks:
    """`samples` counts samples; `system_calls` has ns, summed over threads. Both may be empty."""

    samples: CallTree
    system_calls: CallTree


class HostStacksAnalyzer:
    """From the stacks of samples and of system calls, wherever a source has some."""

    name: ClassVar[str] = "host_stacks"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> HostStacks:  # noqa: ARG002
        """Siblings with the largest value first."""
        samples, calls = trace.samples, trace.others
        return HostStacks(
            _tree(trace, samples, np.ones(samples.num_rows, np.int64)),
            _tree(trace, calls, np.maximum(ints(calls, "dur", 0), 0)),
        )


def _tree(trace: Trace, rows: pa.Table, weight: Ints) -> CallTree:
    stack = ints(rows, "stack")
    known = stack >= 0
    if not known.any():
        return CallTree()
    parent, depth = ints(trace.stacks, "parent"), ints(trace.stacks, "depth")
    total = up_the_tree(parent, depth, weighted_count(stack[known], weight[known], len(parent)))
    order, _ = depth_first(parent, depth, total, np.zeros_like(total))
    order = [i for i in order if total[i]]
    place = {old: new for new, old in enumerate(order)}
    frame = ints(trace.stacks, "frame")[order]
    codes, names = texts(trace.frames, "name")
    return CallTree(
        tuple(place.get(above, -1) for above in parent[order].tolist()),
        tuple(names[code] if code >= 0 else "" for code in codes[frame].tolist()),
        tuple(total[order].tolist()),
        int((total > 0).sum()) - len(order),
    )
