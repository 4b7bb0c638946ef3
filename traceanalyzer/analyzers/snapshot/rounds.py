"""Rounds of a loop that nobody marked as steps, told by call stacks that come again in the same company."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.analyzers import thresholds
from traceanalyzer.analyzers.groups import group_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.analyzers.snapshot.device import DeviceState

    Ints = NDArray[np.int64]

_CANDIDATES = 50
_MOMENTS = 32
_FOREVER = np.iinfo(np.int64).max


def rounds(state: DeviceState) -> Ints:
    """The round of each entry, shape (entries,); -1 where it is in none or in one that did not end.

    A round begins with a stack, the rarest that does, after which always the same stacks follow until it comes
    again. What runs inside a forward pass, layer after layer, is no round, and neither is what never releases
    anything: that builds something up.
    """
    none = np.full(len(state.rows), -1, np.int64)
    made = state.positions("alloc")
    stack = state.stack[made]
    if not len(made) or not len(state.positions("free_completed")):
        return none
    kinds, which, times = np.unique(stack, return_inverse=True, return_counts=True)
    first, last = _first_and_last(which, len(kinds))
    forward = _in_one_forward_from(state, kinds, last)
    often = np.flatnonzero((kinds >= 0) & (times >= 3) & (first < forward))
    # where an error cuts the last round off, stacks before it occur once more than those behind
    rarest = (times[often] - times[often].min(initial=_FOREVER)) // 2
    for kind in often[np.lexsort((first[often], rarest))][:_CANDIDATES].tolist():
        begin, count = first[kind], int(times[kind])
        present = last >= begin
        if count * int(present.sum()) > 4 * (len(which) - begin):
            continue  # rounds that hold most of the stacks would have more allocations
        number = np.cumsum(which == kind) - 1
        if not _alike(which[begin:], number[begin:], present):
            continue
        begins = np.flatnonzero(which == kind)
        found = np.searchsorted(made[begins], np.arange(len(none)), side="right") - 1
        # the last round counts when it went as far as the others did
        if len(np.unique(which[number == count - 1])) < len(np.unique(which[number == count - 2])):
            found[found == count - 1] = -1
        return found
    return none


def _first_and_last(which: Ints, kinds: int) -> tuple[Ints, Ints]:
    """Where each kind occurs first and last."""
    first, last = np.zeros(kinds, np.int64), np.zeros(kinds, np.int64)
    first[which[::-1]] = np.arange(len(which))[::-1]
    last[which] = np.arange(len(which))
    return first, last


def _in_one_forward_from(state: DeviceState, kinds: Ints, last: Ints) -> int:
    """From which allocation on all stacks pass through the same forward: its layers, which are no loop of steps.

    Args:
        state: the device.
        kinds: the distinct stacks, -1 for none known.
        last: where each occurs last.
    """
    known = np.flatnonzero(kinds >= 0)
    if not len(known):
        return 0
    forward = state.stacks.outermost("forward", kinds[known])
    end = last[known].argmax()
    if forward[end] < 0:
        return _FOREVER
    return int(last[known][forward != forward[end]].max(initial=-1)) + 1


def _alike(which: Ints, number: Ints, present: NDArray[np.bool_]) -> bool:
    """Whether the rounds hold the same stacks: the last, which may be cut off, no others.

    Args:
        which: the stack of each allocation from the first round on.
        number: its round.
        present: which stacks there are among them.
    """
    count = int(number[-1]) + 1
    there = np.zeros((count, int(present.sum())), np.bool_)
    there[number, (np.cumsum(present) - 1)[which]] = True
    middle = there[(count - 1) // 2]
    held, shared = there.sum(axis=1), there[:, middle].sum(axis=1)
    whole = shared[:-1] / (held[:-1] + middle.sum() - shared[:-1])
    least = thresholds.ROUNDS_ALIKE
    return bool((whole >= least).all() and shared[-1] >= least * held[-1])


def asked_now_and_before(state: DeviceState, entry: int) -> tuple[int, int] | None:
    """Bytes asked for in an entry's step or round as far as it, and by as many requests of the one before.

    None where the requests are too few, or come from other stacks than they did. A step that has no end is what
    follows the last whole one.
    """
    made = state.positions("alloc")
    number = state.loop[made]
    whole = np.flatnonzero(state.loop[: entry + 1] >= 0)
    if not len(whole):
        return None
    ended = int(state.loop[entry])
    begun = number == ended if ended >= 0 else made > whole[-1]
    now = made[begun & (made <= entry)]
    before = ended - 1 if ended >= 0 else int(state.loop[whole[-1]])
    last = made[(number == before) & (number >= 0)][: len(now)]
    if len(now) < thresholds.ROUND_REQUESTS or len(last) < len(now):
        return None
    if (state.stack[now] != state.stack[last]).mean() > 1 - thresholds.ROUNDS_ALIKE:
        return None
    return int(state.size[now].sum()), int(state.size[last].sum())


def until(state: DeviceState) -> int | None:
    """The first error's entry, after which what was held may be gone; None without one."""
    errors = state.positions("oom")
    return int(errors[0]) if len(errors) else None


def caches(state: DeviceState) -> dict[int, tuple[int, int, int]]:
    """Stacks in forward that hold more after each step or round while they release what they held before.

    So do caches of keys and values that grow by concatenation. stack → (bytes per round, bytes at the last of the
    moments looked at, rounds).
    """
    number = state.loop
    count = int(number.max(initial=-1)) + 1
    if count < 3:
        return {}
    chosen = np.unique(np.linspace(0, count - 1, min(count, _MOMENTS)).astype(np.int64))
    ends = np.searchsorted(np.maximum.accumulate(number), chosen, side="right") - 1
    # a block is live at the moments from `since` on until before `gone`
    since = np.searchsorted(ends, state.alloc)
    gone = np.where(state.completed < 0, len(ends), np.searchsorted(ends, state.completed))
    made = np.flatnonzero((state.alloc >= 0) & (state.block_stack >= 0) & (since < gone))
    found = {}
    for mine in group_rows(state.block_stack[made]):
        blocks = made[mine]
        stack = int(state.block_stack[blocks[0]])
        if state.categories.of_stack(stack)[0] not in {"activations", "kv_cache"}:
            continue
        came, went = (_bytes_at(at[blocks], state.block_requested[blocks], len(ends)) for at in (since, gone))
        held = np.cumsum(came - went)
        grows = np.diff(held) > 0
        replaced = 2 * went.sum() > held[:-1].sum()  # most of what one moment holds is gone at the next
        if replaced and held[-1] > held[0] and grows.mean() >= thresholds.GROWTH_SHARE_OF_STEPS:
            per_round = int(held[-1] - held[0]) // int(chosen[-1] - chosen[0])
            found[stack] = (per_round, int(held[-1]), count)
    return found


def _bytes_at(moments: Ints, sizes: Ints, count: int) -> Ints:
    """The bytes that fall on each of `count` moments."""
    return np.bincount(moments, sizes, count + 1)[:count].astype(np.int64)
