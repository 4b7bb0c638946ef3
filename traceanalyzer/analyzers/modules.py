"""The nn.Module tree with host and device time; backward work counts for the module whose forward caused it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.attributed import kernel_modules
from traceanalyzer.analyzers.device_time import weighted_count
from traceanalyzer.analyzers.results import ModuleRow, Modules
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.frames import MODULE_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Capability, Trace


class ModulesAnalyzer:
    """Paths come from nn.Module frames (stacks), in old traces from the module hierarchy of each op."""

    name: ClassVar[str] = "modules"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Modules:  # noqa: ARG002
        """The tree in depth-first order, siblings with the most device time first."""
        table, chosen = module_calls(trace)
        calls, host = _counted(table, chosen)
        source = "nn_module" if table is trace.python_calls else "annotations"
        own, lost = _device_time(trace)
        paths = {ancestor for path in {*calls, *own} for ancestor in _with_ancestors(path)}
        inside: dict[str, int] = defaultdict(int)
        for path, duration in own.items():
            for ancestor in _with_ancestors(path):
                inside[ancestor] += duration
        rows = [
            ModuleRow(
                path,
                path.rsplit("/", 1)[-1],
                path.count("/"),
                calls.get(path, 0),
                host.get(path, 0),
                inside.get(path, 0),
                own.get(path, 0),
            )
            for path in _depth_first(paths, inside, host)
        ]
        return Modules((source if calls else "module_hierarchy") if rows else None, tuple(rows), lost)


def module_calls(trace: Trace) -> tuple[pa.Table, NDArray[np.int64]]:
    """The calls of modules on the host as rows of a table: frames of nn.Modules, else NVTX ranges that are the tree."""
    codes, names = texts(trace.python_calls, "name")
    frames = np.flatnonzero(np.array([*(n.startswith(MODULE_PREFIX) for n in names), False])[codes])
    if len(frames):
        return trace.python_calls, frames
    module, _ = texts(trace.annotations, "module")
    return trace.annotations, np.flatnonzero(module >= 0)


def _counted(table: pa.Table, chosen: NDArray[np.int64]) -> tuple[dict[str, int], dict[str, int]]:
    """Number of calls and host time per path."""
    module, paths = texts(table, "module")
    rows = module[chosen].astype(np.int64)
    count = np.bincount(rows, minlength=len(paths))
    time = weighted_count(rows, ints(table, "dur", 0)[chosen], len(paths))
    called = np.flatnonzero(count)
    return {paths[i]: int(count[i]) for i in called}, {paths[i]: int(time[i]) for i in called}


def _device_time(trace: Trace) -> tuple[dict[str, int], int]:
    own: dict[str, int] = defaultdict(int)
    lost = 0
    for name in ("kernels", "copies"):
        table = trace.tables[name]
        module, paths = kernel_modules(trace) if name == "kernels" else texts(table, "module")
        duration = ints(table, "dur", 0)
        known = module >= 0
        for code, total in enumerate(
            weighted_count(module[known].astype(np.int64), duration[known], len(paths)).tolist()
        ):
            if total:
                own[paths[code]] += total
        lost += int(duration[~known].sum())
    return own, lost


def _with_ancestors(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[: i + 1]) for i in range(len(parts))]


def _depth_first(paths: set[str], device: Mapping[str, int], host: Mapping[str, int]) -> list[str]:
    children: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        children[path.rpartition("/")[0]].append(path)
    for siblings in children.values():
        siblings.sort(key=lambda p: (-device.get(p, 0), -host.get(p, 0), p))
    ordered, stack = [], children[""][::-1]
    while stack:
        path = stack.pop()
        ordered.append(path)
        stack.extend(children[path][::-1])
    return ordered
