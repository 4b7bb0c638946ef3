"""Foreach ops and fused optimizers: sums over lists of parameters.

Shapes of lists are recorded only by newer profilers; without them the cost is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost, Tensor, Unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from traceanalyzer.cost.call import Formula

# name → (lists that are read, FLOPs per element)
_FOREACH = {
    "add": (2, 1), "sub": (2, 1), "mul": (2, 1), "div": (2, 1), "pow": (1, 1), "sqrt": (1, 1), "neg": (1, 1),
    "reciprocal": (1, 1), "exp": (1, 1), "abs": (1, 1), "sign": (1, 1), "maximum": (2, 1), "minimum": (2, 1),
    "lerp": (2, 3), "addcmul": (3, 3), "addcdiv": (3, 3), "clamp_max": (1, 1), "clamp_min": (1, 1),
}  # fmt: skip


def _size(tensors: Iterable[Tensor]) -> float:
    return sum(t.bytes for t in tensors)


def _lists(call: Call, count: int) -> list[tuple[Tensor, ...]]:
    """The first `count` arguments that are lists of tensors; a scalar in a list's place is left out."""
    lists = [entry for entry in call.inputs[:count] if isinstance(entry, tuple)]
    if not lists or not lists[0]:
        raise Unknown("the shapes of the lists were not recorded")
    return lists


def _foreach(reads: int, flops: float) -> Callable[[Call], Cost]:
    def formula(call: Call) -> Cost:
        lists = _lists(call, reads)
        elements = sum(t.elements for t in lists[0])
        return Cost(flops * elements, sum(map(_size, lists)) + _size(lists[0]), lists[0][0].dtype)

    return formula


def _foreach_copy(call: Call) -> Cost:
    target, source = call.tensors(0), call.tensors(1)
    return Cost(0, _size(target) + _size(source), (target or source)[0].dtype)


def _foreach_fill(call: Call) -> Cost:
    target = _lists(call, 1)[0]
    return Cost(0, _size(target), target[0].dtype)


def _foreach_norm(call: Call) -> Cost:
    tensors = _lists(call, 1)[0]
    return Cost(2 * sum(t.elements for t in tensors), _size(tensors), tensors[0].dtype)


def _fused(reads: int, writes: int, flops: float) -> Callable[[Call], Cost]:
    """(params, grads, states …): the first `reads` lists are read, `writes` of them written."""

    def formula(call: Call) -> Cost:
        lists = _lists(call, reads)
        elements = sum(t.elements for t in lists[0])
        written = [lists[0], *lists[2:]][:writes]
        return Cost(flops * elements, sum(map(_size, lists)) + sum(map(_size, written)), lists[0][0].dtype)

    return formula


FORMULAS: Mapping[str, Formula] = {
    **{f"aten::_foreach_{n}": _foreach(reads, flops) for n, (reads, flops) in _FOREACH.items()},
    **{f"aten::_foreach_{n}_": _foreach(reads, flops) for n, (reads, flops) in _FOREACH.items()},
    "aten::_foreach_copy_": _foreach_copy,
    "aten::_foreach_zero_": _foreach_fill,
    "aten::_foreach_norm": _foreach_norm,
    "aten::_fused_adam_": _fused(reads=4, writes=3, flops=12),
    "aten::_fused_adamw_": _fused(reads=4, writes=3, flops=14),
    "aten::_fused_sgd_": _fused(reads=3, writes=2, flops=5),
    "aten::_fused_adagrad_": _fused(reads=3, writes=2, flops=7),
}
