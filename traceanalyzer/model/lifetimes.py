"""Which release belongs to which allocation: the life of each block of memory in a recorded window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]

ALLOC, FREE_REQUESTED, FREE_COMPLETED = "alloc", "free_requested", "free_completed"


@dataclass(frozen=True)
class Lifetimes:
    """Blocks by address, then time; all columns have shape (blocks,), -1 where the window does not show it.

    A block without `alloc` was allocated before the window; one without `completed` is live at its end.
    """

    address: Ints
    alloc: Ints  # position of the entry
    requested: Ints  # position of free_requested
    completed: Ints  # position of free_completed

    def live_after(self, entry: int) -> NDArray[np.bool_]:
        """Whether each block is active after an entry (-1: before the first)."""
        return (self.alloc <= entry) & ((self.completed < 0) | (self.completed > entry))


def lifetimes(action: NDArray[np.integer], actions: list[str], address: Ints) -> Lifetimes:
    """Pair entries by address.

    Args:
        action: codes into `actions`, shape (entries,), in the order of recording.
        actions: texts of the codes.
        address: address of each entry, shape (entries,).
    """
    kinds = np.array(
        [*(
            {ALLOC: 0, FREE_REQUESTED: 1, FREE_COMPLETED: 2}.get(a, -1) for a in actions
        ), -1]
    )  # fmt: skip
    kind = kinds[action]
    rows = np.flatnonzero(kind >= 0)
    order = rows[np.argsort(address[rows], kind="stable")]
    at, what = address[order], kind[order]
    begins = np.ones(len(order), np.bool_)
    # a new block begins with another address, with an allocation, and after a completed release
    begins[1:] = (at[1:] != at[:-1]) | (what[1:] == 0) | (what[:-1] == 2)
    block = np.cumsum(begins) - 1
    count = int(begins.sum())
    columns = np.full((3, count), -1, np.int64)
    columns[what, block] = order
    return Lifetimes(at[begins], columns[0], columns[1], columns[2])
