"""All tables of `nsys stats` that a trace can give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.analyzers.nsys.gpu_trace import cuda_gpu_trace
from traceanalyzer.analyzers.nsys.ranges import (
    nvtx_gpu_proj_sum,
    nvtx_gpu_proj_trace,
    nvtx_pushpop_sum,
    nvtx_startend_sum,
    nvtx_sum,
)
from traceanalyzer.analyzers.nsys.tables import (
    cuda_api_gpu_sum,
    cuda_api_sum,
    cuda_gpu_kern_gb_sum,
    cuda_gpu_kern_sum,
    cuda_gpu_kern_sum_base,
    cuda_gpu_mem_size_sum,
    cuda_gpu_mem_time_sum,
    cuda_gpu_sum,
    cuda_kern_exec_sum,
    osrt_sum,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceanalyzer.analyzers.nsys.table import StatsTable
    from traceanalyzer.model.trace import Trace

STATS: tuple[Callable[[Trace], StatsTable], ...] = (
    cuda_api_sum,
    cuda_gpu_kern_sum,
    cuda_gpu_kern_sum_base,
    cuda_gpu_kern_gb_sum,
    cuda_gpu_mem_time_sum,
    cuda_gpu_mem_size_sum,
    cuda_gpu_sum,
    cuda_api_gpu_sum,
    cuda_kern_exec_sum,
    cuda_gpu_trace,
    nvtx_sum,
    nvtx_pushpop_sum,
    nvtx_startend_sum,
    nvtx_gpu_proj_trace,
    nvtx_gpu_proj_sum,
    osrt_sum,
)
"""Each is named for its table."""
