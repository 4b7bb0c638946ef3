"""Kernels that Inductor generated with Triton: their arguments ride on the launching op of the same name.

Pointwise, reduction and persistent-reduction kernels touch each argument once; whether it is read or written
makes no difference to the traffic. The name lists the ops that were fused, about one FLOP per element each.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost, Unknown

if TYPE_CHECKING:
    from traceanalyzer.cost.call import Formula

_NAME = re.compile(r"triton_(?:poi|red|per)_fused_(\w+?)_\d+$")
_IN_NAMES = re.compile(r"_+")
ASSUMES = "every argument of the generated kernel is touched once"


def _generated(call: Call) -> Cost:
    tensors = call.every_tensor()
    if not tensors:
        raise Unknown("a generated kernel without tensors")
    found = _NAME.match(call.name)
    fused = len(_IN_NAMES.split(found.group(1))) if found else 1
    largest = max(tensors, key=lambda t: t.elements)
    return Cost(fused * largest.elements, sum(t.bytes for t in tensors), largest.dtype, assumes=ASSUMES)


def formula_for(name: str) -> Formula | None:
    """The formula of a generated kernel's launching op; None for other names."""
    return _generated if name.startswith(("triton_poi_", "triton_red_", "triton_per_")) else None
