"""Named ranges and Python functions by name: how often they ran on the host, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from traceanalyzer.analyzers.device_time import weighted_count
from traceanalyzer.model.columns import ints, texts

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

    from traceanalyzer.model.trace import Capability, Trace


@dataclass(frozen=True, slots=True)
class RangeRow:
    """All executions of one annotation or Python frame on the host; `total_ns` counts nested ones each."""

    name: str
    count: int
    total_ns: int
    table: str = "annotations"  # or python_calls


@dataclass(frozen=True, slots=True)
class Ranges:
    """Annotations and Python frames by name, in the order of names."""

    annotations: tuple[RangeRow, ...]
    frames: tuple[RangeRow, ...]

    def annotated(self, pattern: re.Pattern[str]) -> list[RangeRow]:
        """The annotations in whose names the pattern is found."""
        return [row for row in self.annotations if pattern.search(row.name)]

    def called(self, pattern: re.Pattern[str]) -> list[RangeRow]:
        """The Python frames in whose names the pattern is found."""
        return [row for row in self.frames if pattern.search(row.name)]


class RangesAnalyzer:
    """Counts per name."""

    name: ClassVar[str] = "ranges"
    requires: ClassVar[frozenset[Capability]] = frozenset()

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Ranges:  # noqa: ARG002
        """The ranges of all ranks, over the whole trace; what was projected on a device is left out."""
        on_gpu = np.array(trace.annotations.column("on_gpu").fill_null(False).to_numpy(), np.bool_)
        return Ranges(_rows(trace, "annotations", ~on_gpu), _rows(trace, "python_calls", None))


def _rows(trace: Trace, name: str, chosen: Any) -> tuple[RangeRow, ...]:
    table = trace.tables[name]
    codes, names = texts(table, "name")
    duration = np.maximum(ints(table, "dur", 0), 0)
    if chosen is not None:
        codes, duration = codes[chosen], duration[chosen]
    known = codes >= 0
    count = np.bincount(codes[known], minlength=len(names)).tolist()
    total = weighted_count(codes[known].astype(np.int64), duration[known], len(names)).tolist()
    found = (RangeRow(n, c, t, name) for n, c, t in zip(names, count, total, strict=True) if c)
    return tuple(sorted(found, key=lambda row: row.name))
