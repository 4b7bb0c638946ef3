"""Which kernels move data between ranks: the only place where this is decided.

A kernel is communication when its name says so, or when the profiler recorded the arguments of a collective
with it. Tools that knew only `nccl` reported 0 for custom all-reduce kernels, so the families are spelled
out.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from traceanalyzer.model.columns import ints, texts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

COMMUNICATION = re.compile(
    r"""
    nccl | rccl | oneccl | hccl | mcclkernel | \bccl:: | msccl      # vendors' libraries
    | nvshmem | rocshmem | ishmem                                   # one-sided libraries
    | deep_?ep:: | pplx | userbuffers                               # expert parallelism, Transformer Engine
    | cross_device_reduce | quick_?reduce | lamport                 # vLLM, SGLang, TensorRT-LLM, aiter
    | (?<!block)(?<!warp)(?<!block_)(?<!warp_) all_?reduce          # multimem, one-shot, two-shot, fused …
    | all_?gather | reduce_?scatter | all_?to_?all
    | (multimem|symm_mem) .* (reduce|gather|broadcast|barrier)      # torch symmetric memory
    | sendrecv
    """,
    re.IGNORECASE | re.VERBOSE,
)


@lru_cache(maxsize=1 << 14)  # a dozen analyzers ask for the same names
def is_communication(name: str) -> bool:
    """Whether a kernel of this name moves data between ranks."""
    return COMMUNICATION.search(name) is not None


def communication_kernels(trace: Trace) -> NDArray[np.bool_]:
    """Which rows of `kernels` are communication, shape (kernels,)."""
    codes, names = texts(trace.kernels, "name")
    by_name = np.array([n is not None and is_communication(n) for n in names] + [False])
    result: NDArray[np.bool_] = by_name[codes]
    recorded = ints(trace.collectives, "kernel")
    result[recorded[recorded >= 0]] = True
    return result
