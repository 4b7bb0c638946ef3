"""What the name of a kernel tells: whether it does matrix products, and with which units."""

from __future__ import annotations

import re
from functools import lru_cache

# Kernels that do the products of an op, beside those that only prepare or finish them.
_PRODUCTS = re.compile(
    r"gemm|gemv|nvjet|cutlass|cublas|Cijk_|matmul|\bbmm_|_mm_|xmma|wgmma|(?<![a-z])mma|conv(?!ert)|winograd"
    r"|fprop|dgrad|wgrad|flash|fmha|attention|attn|mha_|triton_tem|dot_kernel|device_kernel<|scudnn|lstm|rnn",
    re.IGNORECASE,
)
_PREPARES = re.compile(
    r"splitk_?reduce|splitKreduce|reduce_1Block|nchwToNhwc|nhwcToNchw|transpose|layout|memset|fill|copy|elementwise"
    r"|scale_?bias|computeOffsets|computeBOffsets|sort|scan|reduce_segments|padding",
    re.IGNORECASE,
)
# Matrix units: library names that only such kernels have, and the instructions named in others.
_MATRIX_UNITS = re.compile(
    r"nvjet|wgmma|tensorop|hmma|imma|wmma|tf32|flash|fmha|[hi]884|s?16816|s?1688|h1688|i16832|qgmma|utcmma|tcgen05"
    r"|sm\d+_xmma(?!.*(ffma|simt))|bmm_(E4m3|E2m1|Bfloat16|Fp16|MxE)|MFMA|_MI\d+x\d+|xdl",
    re.IGNORECASE,
)
_VECTOR_UNITS = re.compile(
    r"simt|sgemm|dgemm|scudnn|_ffma_|gemv|gemmSN|gemmk1|dot_kernel|naive_conv|conv_depthwise", re.IGNORECASE
)
_TF32 = re.compile(r"tf32|s1688gemm|s1688(?:fprop|dgrad|wgrad)", re.IGNORECASE)


_TYPES = re.compile(r"cutlass::\w+_t\b")


def without_types(name: str) -> str:
    """The name without number types of CUTLASS, which other kernels use as well."""
    return _TYPES.sub("", name)


@lru_cache(maxsize=4096)
def does_products(name: str | None) -> bool:
    """Whether this kernel does the products of the op that launched it."""
    bare = without_types(name or "")
    return bool(_PRODUCTS.search(bare) and not _PREPARES.search(bare))


@lru_cache(maxsize=4096)
def matrix_units(name: str) -> bool | None:
    """Whether a kernel uses Tensor Cores or Matrix Cores; None when its name does not tell."""
    if _MATRIX_UNITS.search(name):
        return True
    return False if _VECTOR_UNITS.search(name) else None


@lru_cache(maxsize=4096)
def uses_tf32(name: str) -> bool:
    """Whether a kernel on fp32 data computes in TF32; only its name shows it."""
    if _TF32.search(name):
        return True
    return "nvjet" in name and not _VECTOR_UNITS.search(name)  # nvjet kernels know no other way for fp32
