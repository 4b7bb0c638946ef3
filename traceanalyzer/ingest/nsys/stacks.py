"""Call chains → stacks and frames: of the samples of the CPU, and of calls into the operating system.

A row of a chain is one frame, `stackDepth` 0 the innermost. A frame without a symbol is known by its module alone: its
name would be an address, and no two samples have the same. What nsys puts below chains that it could not follow to
their beginning is kept as a frame, since it says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from traceanalyzer.ingest.nsys.build import ABSENT
from traceanalyzer.model.columns import nullable, text_column, texts
from traceanalyzer.model.join import codes_of, first_match
from traceanalyzer.model.tables import complete, finish
from traceanalyzer.model.tree import merged_paths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.ingest.nsys.database import Strings, Tables

    Ints = NDArray[np.int64]

SAMPLES, SYSTEM_CALLS = "SAMPLING_CALLCHAINS", "OSRT_CALLCHAINS"
_TABLES = (SAMPLES, SYSTEM_CALLS)
_COLUMNS = ("id", "symbol", "module", "unresolved", "stackDepth")


class Stacks:
    """The call chains of one export, equal beginnings told once; `stacks` and `frames` are the model's tables."""

    def __init__(self, database: Tables, strings: Strings) -> None:
        parts = [database.read(table, _COLUMNS) for table in _TABLES]
        chain = np.concatenate(
            [_number(table, rows.ints("id")) for table, rows in zip(_TABLES, parts, strict=True)]
        )
        depth, module = (np.concatenate([rows.ints(c) for rows in parts]) for c in ("stackDepth", "module"))
        symbol = np.concatenate([np.where(r.ints("unresolved", 0) == 1, -1, r.ints("symbol")) for r in parts])
        _, example, frame = np.unique(codes_of(symbol, module), return_index=True, return_inverse=True)
        self.frames = _frames(strings.of(symbol[example]), strings.of(module[example]))
        order = _outermost_first(chain, depth, symbol, frame)
        chain, frame = chain[order], frame[order]
        first = np.flatnonzero(np.diff(chain, prepend=chain[:1] - 1))
        end = np.append(first[1:], len(chain)) if len(chain) else first
        row = np.arange(len(chain))
        level = row - np.repeat(first, end - first)
        node, parent, frame_of = merged_paths(
            np.where(level == 0, -1, row - 1), level, frame, max(len(example), 1)
        )
        self._chains, self._innermost = chain[end - 1], node[end - 1]
        depth_of = np.zeros(len(parent), np.int64)
        depth_of[node] = level
        columns = {"parent": nullable(parent), "frame": pa.array(frame_of), "depth": pa.array(depth_of)}
        self.stacks = finish("stacks", [complete("stacks", columns, len(parent))])

    def of(self, table: str, ids: Ints) -> Ints:
        """The innermost frame, a row of `stacks`, of each chain; `ABSENT` for one that is not there."""
        found = first_match((_number(table, ids),), (self._chains,))
        return np.where(found >= 0, np.append(self._innermost, 0)[found], ABSENT)


def _number(table: str, ids: Ints) -> Ints:
    """Chains are numbered per table; this is one numbering for all."""
    return ids * len(_TABLES) + _TABLES.index(table)


def _outermost_first(chain: Ints, depth: Ints, symbol: Ints, frame: Ints) -> Ints:
    """The rows in the order of their chain, its outermost frame first.

    Of frames in a row that only their module tells, one is kept: it says it all.
    """
    order = np.lexsort((-depth, chain))
    outer, inner = order[:-1], order[1:]
    again = (chain[inner] == chain[outer]) & (frame[inner] == frame[outer]) & (symbol[inner] < 0)
    return order[~np.append(False, again)] if len(order) else order


def _frames(names: pa.DictionaryArray, files: pa.DictionaryArray) -> pa.Table:
    """One row per symbol and module; the name of one without a symbol is that of its module."""
    codes, known = texts(pa.table({"name": names}), "name")
    file_codes, paths = texts(pa.table({"name": files}), "name")
    modules = [path.replace("\\", "/").rsplit("/", 1)[-1] for path in paths]
    own = np.where(codes >= 0, codes, np.where(file_codes >= 0, file_codes + len(known), -1))
    columns = {"name": text_column(own, [*known, *modules]), "file": text_column(file_codes, paths)}
    return finish("frames", [complete("frames", columns, len(codes))])
