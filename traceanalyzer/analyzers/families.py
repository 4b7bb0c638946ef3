"""What a kernel probably does, told by its name: a guess for when shapes are not known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.results import KernelRow

# Products of matrices, convolutions, attention: limited by arithmetic when they are large.
MATRIX = re.compile(
    r"gemm|nvjet|cutlass|cublas|Cijk_|matmul|_mm_|(?<![a-z])mma|wgmma|xmma|conv(olve|olution|2d|3d|_)|winograd|fprop|dgrad"
    r"|wgrad|igemm|flash|fmha|attention|attn|mha_|triton_tem",
    re.IGNORECASE,
)
# Every value is read and written once or a few times: limited by memory bandwidth when they are large.
STREAMING = re.compile(
    r"elementwise|vectorized|unrolled|reduce|softmax|norm|triton_(poi|red|per)|copy|cat_?array|index|gather|scatter|embedding"
    r"|multi_tensor|fill|transpose|nchw|nhwc|dropout|adam|sgd|pool|cross_entropy|nll|where|cumsum|scan|sort",
    re.IGNORECASE,
)


def family(name: str) -> str:
    """`matrix`, `streaming` or `other`."""
    if MATRIX.search(name):
        return "matrix"
    return "streaming" if STREAMING.search(name) else "other"


def family_shares(rows: Iterable[KernelRow]) -> dict[str, float]:
    """Each family's share of the time of compute kernels; empty when there are none."""
    time: dict[str, int] = {}
    for row in rows:
        if row.category == "compute":
            time[family(row.name)] = time.get(family(row.name), 0) + row.total_ns
    total = sum(time.values())
    return {name: ns / total for name, ns in time.items()} if total else {}
