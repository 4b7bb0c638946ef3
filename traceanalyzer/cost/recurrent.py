"""Recurrent layers of the vendors' libraries: every weight matrix is applied once per time step.

(input (T, B, I), weights [...], …): 2 · T · B · elements of the matrices, as each is multiplied with one vector per
time step and sequence; biases are one-dimensional and add T · B · elements.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.cost.call import Formula


def _layers(call: Call) -> Cost:
    x, weights = call.tensor(0), call.tensors(1)
    applied = x.elements // max(x.shape[-1], 1)
    matrices = sum(w.elements for w in weights if len(w.shape) > 1)
    biases = sum(w.elements for w in weights if len(w.shape) == 1)
    hidden = max((w.shape[-1] for w in weights if len(w.shape) > 1), default=0)
    moved = x.bytes + sum(w.bytes for w in weights) + applied * hidden * x.itemsize
    return Cost(applied * (2 * matrices + biases), moved, x.dtype, matrix=True)


def _cell(call: Call) -> Cost:
    """(input gates, hidden gates, state): what follows the products in one step of a cell."""
    gates, hidden = call.tensor(0), call.tensor(1)
    return Cost(8 * gates.elements, gates.bytes * 1.5 + hidden.bytes, gates.dtype)


FORMULAS: Mapping[str, Formula] = {
    "aten::_cudnn_rnn": _layers,
    "aten::miopen_rnn": _layers,
    "aten::_thnn_fused_lstm_cell": _cell,
    "aten::_thnn_fused_gru_cell": _cell,
}
