"""Costs of ops that no formula knows, from PyTorch itself where it is installed (the extra `torch`).

The ops run on PyTorch's meta device, which has shapes and no data, under its counter of FLOPs, in a process of their
own with limits of its own: what they may be is decided in `meta_child.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

from traceanalyzer.cost.call import DTYPES, Cost
from traceanalyzer.cost.inputs import types_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    Recorded = tuple[str, str | None, str | None, str | None, str | None]

MAX_CALLS = 256
"""Distinct calls that are run at most, those with most kernel time first."""
PATIENCE_S = 60
WORTHWHILE = 0.02
"""Share of the kernel time that calls which PyTorch may know must have: to start it takes one to three seconds, and of
less no rule speaks (own judgement)."""
_SIZED_BY_DATA = frozenset(
    f"aten::{name}"
    for name in (
        "nonzero", "masked_select", "_unique", "_unique2", "unique_dim", "unique_consecutive", "repeat_interleave",
        "bincount",
    )
)  # fmt: skip
"""Their results are as large as the data says, and on the meta device there is none to ask."""


def may_know(call: Recorded) -> bool:
    """Whether PyTorch may have an answer, as far as can be told without starting it."""
    name, dims = call[0], call[1]
    return name.startswith("aten::") and bool(dims) and name not in _SIZED_BY_DATA


def costs_on_meta(calls: Sequence[Recorded]) -> list[Cost | None]:
    """A cost for each call as recorded: name, dims, types, strides, values; None without PyTorch or where refused."""
    unknown: list[Cost | None] = [None] * len(calls)
    asked = [call for call in calls if may_know(call)][:MAX_CALLS]
    if not asked or find_spec("torch") is None:
        return unknown
    try:
        child = subprocess.run(
            [sys.executable, "-I", "-m", "traceanalyzer.cost.meta_child"],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=True,
        )
        answers = dict(zip(asked, json.loads(child.stdout), strict=True))
    except (OSError, subprocess.SubprocessError, ValueError):
        return unknown
    return [_cost(call, answers.get(call)) for call in calls]


def _cost(call: Recorded, answer: tuple[float, float, bool] | None) -> Cost | None:
    if answer is None:
        return None
    flops, nbytes, counted = answer
    dtype = next((DTYPES[t][0] for t in types_of(call[2]) if t in DTYPES), "fp32")
    if counted:
        return Cost(flops, nbytes, dtype, matrix=True)
    return Cost(0.0, nbytes, dtype, assumes="its arithmetic is not counted, only its traffic")
