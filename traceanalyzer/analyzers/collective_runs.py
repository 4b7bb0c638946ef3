"""Which communication kernels of several ranks are one collective.

The arguments that the profiler recorded tell it: the process group and the sequence number in it, else the n-th of its
kind. Where no arguments were recorded it is the n-th kernel of that name on every rank (of each recording, where ranks
were recorded several times). What one rank sends another is told by `sent`. No clock is asked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.groups import turns
from traceanalyzer.analyzers.sent import Sent, messages
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.communication import communication_kernels
from traceanalyzer.model.join import codes_of
from traceanalyzer.model.recordings import recording_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]

# Between two ranks.
POINT_TO_POINT = re.compile(r"send|recv", re.IGNORECASE)


@dataclass(frozen=True)
class CollectiveRuns:
    """Communication kernels in the order of ranks and starts, arrays of shape (kernels,).

    `row` is the row of `kernels`. Those of one `family` do the same in the same process group, or go between the same
    two ranks; those of one `call` are one collective or one message, -1 where that is not known. `size` counts the
    ranks that take part in it: where that was not recorded, all of the trace are `assumed` to. `pairs` send or receive;
    of those that are not `told` the trace does not say between which ranks.
    """

    row: Ints
    rank: Ints
    family: Ints
    call: Ints
    size: Ints
    assumed: Flags
    pairs: Flags
    told: Flags

    def of(self, chosen: Flags) -> CollectiveRuns:
        """Some of them."""
        return CollectiveRuns(
            self.row[chosen],
            self.rank[chosen],
            self.family[chosen],
            self.call[chosen],
            self.size[chosen],
            self.assumed[chosen],
            self.pairs[chosen],
            self.told[chosen],
        )


def collective_runs(trace: Trace) -> CollectiveRuns:
    """All communication kernels of a trace, with what belongs together."""
    row = np.flatnonzero(communication_kernels(trace))
    table = trace.collectives
    linked = ints(table, "kernel")
    arguments = np.full(trace.kernels.num_rows, -1, np.int64)
    arguments[linked[linked >= 0]] = np.flatnonzero(linked >= 0)
    arguments = arguments[row]

    def recorded(column: NDArray[np.integer]) -> Ints:
        return np.append(column, -1).astype(np.int64)[arguments]

    name, names = texts(trace.kernels, "name")
    kind, kinds = texts(table, "collective")
    unnamed = np.where(arguments < 0, name[row], -1)
    pairs = np.where(arguments < 0, _pairs(names)[unnamed], _pairs(kinds)[recorded(kind)])
    sent = Sent.of(table, arguments)
    ends = np.minimum(sent.source, sent.target), np.maximum(sent.source, sent.target)
    group = [recorded(texts(table, column)[0]) for column in ("group", "group_ranks")]
    size = np.where(sent.told, 2, recorded(ints(table, "group_size")))
    family = codes_of(unnamed, np.where(sent.told, -2, recorded(kind)), *group, size, *ends)
    rank = ints(trace.kernels, "rank")[row]
    seq = recorded(ints(table, "seq"))
    counted = recording_at(trace.recordings, rank, ints(trace.kernels, "ts")[row])
    numbered = np.unique(codes_of(family, seq, np.where(seq < 0, counted, 0)), return_inverse=True)[1]
    call = np.unique(codes_of(numbered, turns(codes_of(numbered, rank))), return_inverse=True)[1]
    call = np.where(everywhere_as_often(numbered, rank), call, -1)
    message = messages(sent, codes_of(family, counted))
    call = np.where(pairs & (arguments >= 0), np.where(message >= 0, message + len(call), -1), call)
    assumed = size < 1
    size = np.where(assumed, len(np.unique(ints(trace.kernels, "rank"))), size)
    return CollectiveRuns(row, rank, family, call, size, assumed, pairs, sent.told)


def _pairs(names: Sequence[str]) -> Flags:
    """Which of the names mean that two ranks send and receive; the last is for no name."""
    return np.array([POINT_TO_POINT.search(n) is not None for n in names] + [False])


def everywhere_as_often(kind: Ints, rank: Ints) -> Flags:
    """Whether all ranks that ran a kind ran it as often."""
    if not len(kind):
        return np.empty(0, np.bool_)
    _, first, runs = np.unique(codes_of(kind, rank), return_index=True, return_counts=True)
    kinds = int(kind.max()) + 1
    least, most = np.full(kinds, len(kind) + 1), np.zeros(kinds, np.int64)
    np.minimum.at(least, kind[first], runs)
    np.maximum.at(most, kind[first], runs)
    result: Flags = (least == most)[kind]
    return result
