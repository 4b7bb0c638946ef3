"""Every op that has a formula, by its name."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from traceanalyzer.cost import (
    attention,
    conv,
    gemm,
    movement,
    normalization,
    optimizer,
    pointwise,
    recurrent,
    reduction,
    serving,
)
from traceanalyzer.cost.call import Call, Cost, Unknown
from traceanalyzer.cost.generated import formula_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.cost.call import Formula

FORMULAS: Mapping[str, Formula] = {
    **gemm.FORMULAS,
    **conv.FORMULAS,
    **attention.FORMULAS,
    **normalization.FORMULAS,
    **reduction.FORMULAS,
    **pointwise.FORMULAS,
    **movement.FORMULAS,
    **optimizer.FORMULAS,
    **recurrent.FORMULAS,
    **serving.FORMULAS,
}


def has_formula(name: str) -> bool:
    """Whether some formula is for the op; it may still lack what was not recorded."""
    return (FORMULAS.get(name) or formula_for(name)) is not None


def cost_of(call: Call) -> Cost | None:
    """The cost of a call; None when no formula knows the op, or it lacks what was not recorded."""
    formula = FORMULAS.get(call.name) or formula_for(call.name)
    if formula is None:
        return None
    try:
        cost = formula(call)
        sane = 0 <= float(cost.flops) < inf and 0 <= float(cost.bytes) < inf
    except (Unknown, IndexError, ValueError, ArithmeticError):
        return None  # arguments in another order than this version of PyTorch has, or not recorded
    return cost if sane else None
