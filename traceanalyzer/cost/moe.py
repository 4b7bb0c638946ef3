"""Fused mixtures of experts: the op gets tokens and router scores; weights and choices are not recorded.

The kernels that NVIDIA's TensorRT-LLM generates for it (used by vLLM and FlashInfer) tell the rest: their names
hold the types and the tile, their grids the size. One block makes a tile of rows (of the weight) by columns (token
slots). The first product (gated, so two rows per output) goes over the hidden size, the second over half of the
first one's rows. Every expert rounds its tokens up to whole tiles, and the grid holds the worst case:
`tiles = (tokens * chosen - experts) / tile + experts`, so the grid tells how many experts a token chose.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceanalyzer.cost.call import Call, Cost, Unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

OPS = frozenset({"vllm::moe_forward", "vllm::moe_forward_shared"})
ASSUMES = "experts per token and their width are told by the grid; all experts are used"

_Grid = tuple[int, ...]
_PRODUCT = re.compile(r"bmm_\w+_Fp32_t(\d+)x(\d+)x\d+")
_BYTES = {  # microscaled types carry one byte of scale per 32 values
    "MxE2m1": 0.5 + 1 / 32,
    "NvE2m1": 0.5 + 1 / 16,
    "MxE4m3": 1 + 1 / 32,
    "E4m3": 1.0,
    "Bfloat16": 2.0,
    "Fp16": 2.0,
}
_DTYPES = {
    "MxE4m3": "fp8",
    "E4m3": "fp8",
    "Bfloat16": "bf16",
    "Fp16": "fp16",
    "MxE2m1": "fp4",
    "NvE2m1": "fp4",
}
_SIZES = "|".join(_BYTES)
_TYPES = re.compile(rf"bmm_({_SIZES})_({_SIZES})({_SIZES})?_")


@dataclass(frozen=True, slots=True)
class Layer:
    """One distinct call: `pairs` of a token and an expert; `inner` is half of the first product's rows."""

    tokens: int
    hidden: int
    experts: int
    pairs: int
    inner: int
    itemsize: float
    score_bytes: float  # of one router score

    def cost(self, kernel: str, grid: _Grid) -> Cost | None:
        """The cost of one kernel of the layer; None for those that are not known."""
        found = _PRODUCT.search(kernel)
        if found:
            depth = self.hidden if "Glu" in kernel else self.inner
            return self._product(kernel, grid[0] * int(found.group(1)), depth)
        if "finalizeKernel" in kernel:  # weighted sum of every token's experts
            elements = (self.pairs + self.tokens) * self.hidden
            return Cost(2 * self.pairs * self.hidden, elements * self.itemsize, "fp32", assumes=ASSUMES)
        if "quantize_with_block_size" in kernel:
            elements = self.tokens * self.hidden
            return Cost(2 * elements, elements * (self.itemsize + _BYTES["MxE4m3"]), "fp32", assumes=ASSUMES)
        return self._routing(kernel)

    def _routing(self, kernel: str) -> Cost | None:
        """Scores become chosen pairs, these are counted by expert, then sorted by it: 4 bytes for each pair or count.

        Source: TensorRT-LLM's RoutingKernel; the last kernel writes where each pair goes, and which token is there.
        """
        pairs, counts, scores = 4 * self.pairs, 4 * self.experts, self.tokens * self.experts
        if "routingIndicesHistogramScoresKernel" in kernel:
            return Cost(scores, scores * self.score_bytes + pairs, "fp32", assumes=ASSUMES)
        if "routingIndicesHistogramKernel" in kernel:
            return Cost(self.pairs, pairs + counts, "fp32", assumes=ASSUMES)
        if "routingIndicesOffsetsKernel" in kernel:
            return Cost(self.pairs, 3 * pairs + counts, "fp32", assumes=ASSUMES)
        return None

    def _product(self, kernel: str, rows: int, depth: int) -> Cost | None:
        types = _TYPES.search(kernel)
        if not types:
            return None
        result, weights, activations = types.group(1), types.group(2), types.group(3) or types.group(2)
        wide = max(weights, activations, key=_BYTES.__getitem__)
        out = rows // 2 if "Glu" in kernel else rows
        moved = (
            min(self.experts, self.pairs) * rows * depth * _BYTES[weights]
            + self.pairs * depth * _BYTES[activations]
            + self.pairs * out * _BYTES[result]
        )
        flops = 2 * self.pairs * rows * depth
        return Cost(flops, moved, _DTYPES[wide], matrix=True, assumes=ASSUMES)


def layer(call: Call, kernels: Iterable[tuple[str, _Grid]]) -> Layer | None:
    """The layer from its op's arguments, (tokens, hidden) and (tokens, experts), and its gated product."""
    try:
        x, scores = call.tensor(0), call.tensor(1)
    except Unknown:
        return None
    if len(x.shape) != 2 or len(scores.shape) != 2:
        return None
    tokens, experts = scores.shape
    for name, grid in kernels:
        found = _PRODUCT.search(name)
        if found and "Glu" in name:
            rows, tile = grid[0] * int(found.group(1)), int(found.group(2))
            slots = (grid[1] - experts) * tile + experts if grid[1] > experts else grid[1]
            pairs = -(-slots // max(tokens, 1)) * tokens  # the grid rounds down, by less than a tile
            return Layer(tokens, x.shape[1], experts, pairs, rows // 2, x.itemsize, scores.itemsize)
    return None
