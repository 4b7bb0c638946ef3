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
    r"|multi_tensor|fill|transpose|nchw|nhwc|dropout|adam|sgd|pool|cross_entropy|nll|where|cumsum|scan|sort"
    r"|rotary|rope_|act_and_mul|silu|gelu|quantize|cast|argmax|argmin|top_?k|routing|bitmatrix|memset",
    re.IGNORECASE,
)
# One new token per sequence: the keys and values of all earlier ones are read for a single row of the product.
_DECODE = re.compile(
    r"splitkv|split_kv|paged_?attention|batch_?decode|decode_?attention|unified_attention_3d|fmha.*Generation",
    re.IGNORECASE,
)
_CACHE = re.compile(
    r"reshape_and_cache|concat_and_cache|finalize_matmul", re.IGNORECASE
)  # named after what they serve
_GEMM = re.compile(r"gemm|gemv|nvjet|Cijk_|matmul", re.IGNORECASE)
_TILE = re.compile(r"(?:MT|tilesize|_)(\d+)x(\d+)")
THIN_TILE = 16
"""Libraries choose tiles this narrow only for products with about as few rows: far fewer FLOPs per byte of the
weights than any GPU needs to be limited by arithmetic (own judgement; cuBLAS's narrowest are 8 and 16)."""


def family(name: str) -> str:
    """`matrix`, `streaming` or `other`; products of few rows stream their weights, decoding its cache."""
    if MATRIX.search(name):
        return "streaming" if reads_for_few_rows(name) else "matrix"
    return "streaming" if STREAMING.search(name) else "other"


def reads_for_few_rows(name: str) -> bool:
    """Whether a kernel's name says that it reads or writes a matrix or a cache for a few rows only."""
    if _DECODE.search(name) or _CACHE.search(name) or "gemv" in name.casefold():
        return True
    tile = _TILE.search(name) if _GEMM.search(name) else None
    return tile is not None and min(map(int, tile.groups())) <= THIN_TILE


def family_shares(rows: Iterable[KernelRow]) -> dict[str, float]:
    """Each family's share of the time of compute kernels; empty when there are none."""
    time: dict[str, int] = {}
    for row in rows:
        if row.category == "compute":
            time[family(row.name)] = time.get(family(row.name), 0) + row.total_ns
    total = sum(time.values())
    return {name: ns / total for name, ns in time.items()} if total else {}
