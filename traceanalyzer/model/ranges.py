"""NVTX ranges as a module tree, for recordings without Python frames: what the program pushed around its work.

Ranges of libraries are no part of the program. Iterations of a loop, `step_12` or `Batch 7`, are one module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.tree import enclosing, merged_paths, nest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

LIBRARIES = frozenset({"nccl", "cublas", "cudnn", "cufft", "cusparse", "cusolver", "cccl", "thrust", "nvshmem", "ucx",
                       "tensorrt", "libcudf", "libkvikio", "pytorch"})  # fmt: skip
"""Domains, and beginnings of names where a cut export does not name the domain, that are not the program's own."""
_ITERATION = re.compile(r"(?P<what>.*?\b(?:step|iter|iteration|batch|epoch))[\s_#:.-]*\d.*", re.IGNORECASE)


@dataclass(frozen=True)
class RangeModules:
    """`rows` of `annotations` that are the program's own, with their place in the tree and the path of each."""

    rows: Ints
    parent: Ints
    path: Ints
    paths: list[str]
    lane: Ints
    start: Ints
    duration: Ints

    def around(self, lane: Ints, at: Ints) -> Ints:
        """The path around each time on each lane, -1 for none; lanes are numbered like `lane`."""
        found = enclosing(self.lane, self.start, self.duration, self.parent, lane, at)
        return np.where(found >= 0, self.path[found], -1) if len(self.path) else found


def own_ranges(annotations: pa.Table) -> Ints:
    """Rows of the ranges that the program itself pushed and popped, and named."""
    styles, known = texts(annotations, "style")
    pushed = np.array([*(s == "push_pop" for s in known), False])[styles]
    codes, domains = texts(annotations, "domain")
    library = np.array([*(d.lower() in LIBRARIES for d in domains), False])[codes]
    codes, names = texts(annotations, "name")
    called = np.array([*(n.lower().startswith("nccl") for n in names), False])[codes]
    return np.flatnonzero(pushed & ~library & ~called & (codes >= 0))


def range_modules(annotations: pa.Table, lane: Ints) -> RangeModules:
    """The tree of the program's own ranges; `lane` numbers the thread of every annotation."""
    rows = own_ranges(annotations)
    start, duration = ints(annotations, "ts")[rows], ints(annotations, "dur", 0)[rows]
    parent, depth = nest(lane[rows], start, duration)
    codes, names = texts(annotations, "name")
    spelled: dict[str, int] = {}
    of_name = np.array([*(spelled.setdefault(_module(n), len(spelled)) for n in names), -1], np.int64)
    node, above, label = merged_paths(parent, depth, of_name[codes[rows]], max(len(spelled), 1))
    own, paths = list(spelled), list[str]()
    for i in range(len(above)):
        paths.append(f"{paths[above[i]]}/{own[label[i]]}" if above[i] >= 0 else own[label[i]])
    return RangeModules(rows, parent, node, paths, lane[rows], start, duration)


def _module(name: str) -> str:
    """The module that a range's name stands for: a slash would make two of one."""
    iteration = _ITERATION.fullmatch(name)
    return (iteration["what"] if iteration else name).replace("/", "∕")  # noqa: RUF001 - another slash
