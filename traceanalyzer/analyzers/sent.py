"""Which send of one rank and which receive of another are one message.

What one rank sends another in a process group arrives in the order in which it was sent, as NCCL has it. So the n-th
send to a rank and its n-th receive are one message, where both ranks recorded as many, of the same sizes. Sequence
numbers do not tell: each rank counts all that it sends and receives.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers.groups import turns
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.join import codes_of

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Sent:
    """Who sends to whom, arrays of one shape; -1 where that was not recorded, or nothing is sent to another rank.

    `about` is a number for what both sides record alike: how many elements, and of which type.
    """

    sends: Flags
    source: Ints
    target: Ints
    about: Ints

    @classmethod
    def of(cls, table: pa.Table, rows: Ints) -> Sent:
        """What these rows of `collectives` tell; -1 is no row.

        PyTorch records the receiver with a send (`Dst Rank`) and the sender with a receive (`Src Rank`).
        """
        kind, kinds = texts(table, "collective")
        sends, receives = (
            np.array([*(k.lower() == end for k in kinds), False])[kind] for end in ("send", "recv")
        )
        own, source, target = (ints(table, column) for column in ("rank", "src_rank", "dst_rank"))
        source, target = np.where(sends, own, source), np.where(sends, target, own)
        told = (sends | receives) & (source >= 0) & (target >= 0) & (source != target)
        about = codes_of(ints(table, "out_elements"), texts(table, "dtype")[0].astype(np.int64))
        columns = (np.where(told, column, -1) for column in (source, target, about))
        return cls(np.append(sends, False)[rows], *(np.append(column, -1)[rows] for column in columns))

    @property
    def told(self) -> Flags:
        """Where it is known."""
        return self.source >= 0


def messages(sent: Sent, within: Ints) -> Ints:
    """The number of each message, the same for its send and its receive, from 0; -1 where they do not go together.

    Args:
        sent: in the order of time on each rank.
        within: a number for the process group and the recording; shape (ends of messages,).
    """
    found = np.full(len(within), -1, np.int64)
    channel = codes_of(within, sent.source, sent.target)[sent.told]
    sends, about = sent.sends[sent.told], sent.about[sent.told]
    message = np.unique(
        codes_of(channel, turns(codes_of(channel, sends.astype(np.int64)))), return_inverse=True
    )[1]
    count = int(message.max(initial=-1)) + 1
    whole = np.ones(count, np.bool_)
    for side in (sends, ~sends):
        whole &= np.bincount(message[side], minlength=count) == 1
    least, most = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(least, message, about)
    np.maximum.at(most, message, about)
    whole &= least == most
    number = np.unique(channel, return_inverse=True)[1]
    broken = np.bincount(number, ~whole[message])
    found[sent.told] = np.where(broken[number] == 0, message, -1)
    return found
