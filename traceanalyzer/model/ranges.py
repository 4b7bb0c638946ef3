"""NVTX ranges as a module tree, for recordings without Python frames: what the program pushed around its work.

Ranges of libraries are no part of the program. Iterations of a loop, `step_12` or `Batch 7`, are one module, and so are
`Compute 10` and `Compute 20`, of which no range holds two: layers, of which one pass holds many, stay apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.tree import enclosing, merged_paths, nest

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

LIBRARIES = frozenset({"nccl", "cublas", "cudnn", "cufft", "cusparse", "cusolver", "cccl", "thrust", "nvshmem", "ucx",
                       "tensorrt", "libcudf", "libkvikio", "pytorch"})  # fmt: skip
"""Domains, and beginnings of names where a cut export does not name the domain, that are not the program's own."""
_ITERATION = re.compile(r"(?P<what>.*?\b(?:step|iter|iteration|batch|epoch))[\s_#:.-]*\d.*", re.IGNORECASE)


MANY = 4
"""Different numbers behind a name from which on they can be a counter."""


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
    own_name = _without_counters(parent, lane[rows], of_name[codes[rows]], spelled)
    node, above, label = merged_paths(parent, depth, own_name, max(len(spelled), 1))
    own, paths = list(spelled), list[str]()
    for i in range(len(above)):
        paths.append(f"{paths[above[i]]}/{own[label[i]]}" if above[i] >= 0 else own[label[i]])
    return RangeModules(rows, parent, node, paths, lane[rows], start, duration)


def _without_counters(parent: Ints, lane: Ints, name: Ints, spelled: dict[str, int]) -> Ints:
    """The name of each range, without its number where that only counts; names that are new are added to `spelled`.

    A number only counts when it never comes again, and no range holds two of the same name but for it.
    """
    stems: dict[str, int] = {}
    stem_of = np.array(
        [*(stems.setdefault(s, len(stems)) if (s := _stem(n)) else -1 for n in spelled), -1], np.int64
    )
    stem = stem_of[name]
    numbered = np.flatnonzero(stem >= 0)
    if not len(numbered):
        return name
    counts = np.bincount(stem_of[np.unique(name[numbered])], minlength=len(stems)) >= MANY
    counts[stem[_repeated(numbered, parent, stem) | _repeated(numbered, lane, name)]] = False
    counts[stem[(stem >= 0) & (parent < 0)]] = False
    target = np.array(
        [spelled.setdefault(s, len(spelled)) if counts[i] else -1 for s, i in stems.items()], np.int64
    )
    return np.where((stem >= 0) & (target[stem] >= 0), target[stem], name)


def _repeated(rows: Ints, *key: Ints) -> NDArray[np.bool_]:
    """Which of all rows are among `rows` and share their key with another one of them."""
    found = np.zeros(len(key[0]), bool)
    _, group, times = np.unique(codes_of(*(k[rows] for k in key)), return_inverse=True, return_counts=True)
    found[rows] = times[group] > 1
    return found


def _stem(name: str) -> str:
    """The name without the number at its end; nothing for one without a number."""
    stem = name.rstrip("0123456789")
    return stem.rstrip(" _#:.-") if len(stem) < len(name) else ""


def _module(name: str) -> str:
    """The module that a range's name stands for: a slash would make two of one."""
    iteration = _ITERATION.fullmatch(name)
    return (iteration["what"] if iteration else name).replace("/", "∕")  # noqa: RUF001 - another slash
