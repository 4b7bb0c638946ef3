"""What Python frames say: file, line and function, and the path of nn.Modules around them.

The profiler writes frames as `torch/nn/modules/module.py(1501): _call_impl`, built-ins as `<built-in method …>` and
module calls as `nn.Module: Linear_0`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from traceanalyzer.model.columns import text_column, texts
from traceanalyzer.model.tree import inherit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

_FRAME = re.compile(r"(?P<file>.+)\((?P<line>\d+)\): (?P<function>.+)", re.DOTALL)
MODULE_PREFIX = "nn.Module: "


def parse_frame(name: str) -> tuple[str | None, int | None, str | None]:
    """(file, line, function) of a frame's name; file and line are None for built-ins and modules."""
    match = _FRAME.fullmatch(name)
    if match is None:
        return None, None, None if name.startswith(MODULE_PREFIX) else name
    line = int(match["line"])
    return match["file"], line if line < 2**31 else None, match["function"]


def frame_columns(calls: pa.Table) -> dict[str, Any]:
    """The columns file, line and function of python_calls; parsed once per distinct name."""
    codes, names = texts(calls, "name")
    parsed = [parse_frame(name) for name in names]
    columns: dict[str, Any] = {}
    for position, column in ((0, "file"), (2, "function")):
        distinct: dict[str, int] = {}
        spelled = [p[position] for p in parsed]
        code = [-1 if s is None else distinct.setdefault(str(s), len(distinct)) for s in spelled]
        columns[column] = text_column(np.array([*code, -1])[codes], list(distinct))
    lines = np.array([*(-1 if p[1] is None else p[1] for p in parsed), -1])[codes]
    columns["line"] = pa.array(lines.astype(np.int32), mask=lines < 0)
    return columns


def module_paths(calls: pa.Table, parent: Ints, depth: NDArray[np.int32]) -> tuple[Ints, list[str]]:
    """The module path around every frame as (codes, paths): `Model_0/Block_1/Linear_3`, -1 for none.

    Args:
        calls: python_calls, sorted.
        parent: parent frame of each row, -1 for none.
        depth: depth of each row.
    """
    codes, names = texts(calls, "name")
    is_module = np.array([*(n.startswith(MODULE_PREFIX) for n in names), False])[codes]
    rows = np.flatnonzero(is_module)
    own = np.full(len(codes), -1, np.int64)
    own[rows] = rows
    nearest = inherit(parent, depth, own)  # the innermost module call around each frame, itself included
    outer = np.full(len(codes), -1, np.int64)
    has_parent = rows[parent[rows] >= 0]
    outer[has_parent] = nearest[parent[has_parent]]
    path = np.full(len(codes), -1, np.int64)
    known: dict[tuple[int, int], int] = {}
    paths: list[str] = []
    for row in rows.tolist():  # sorted by start, so a parent comes before its children; module calls are few
        around = int(path[outer[row]]) if outer[row] >= 0 else -1
        key = (around, int(codes[row]))
        if key not in known:
            known[key] = len(paths)
            own_name = names[codes[row]].removeprefix(MODULE_PREFIX)
            paths.append(f"{paths[around]}/{own_name}" if around >= 0 else own_name)
        path[row] = known[key]
    return np.where(nearest >= 0, path[nearest], -1), paths
