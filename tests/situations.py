"""Traces with one problem each, and traces as like them as possible without it. Times are µs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import memory_situations
from linked import Linked

if TYPE_CHECKING:
    from collections.abc import Callable

NCCL = "ncclDevKernel_AllReduce_Sum_f32_RING_LL"


def ending(b: Linked, at: float) -> Linked:
    """Close the only step where the device's work ends."""
    b.step(1, 0, at)
    return b


def late_kernels(count: int = 200, every: int = 10, runs: int = 3) -> Linked:
    """One kernel after the other, each launched when the device has long been idle."""
    b = Linked()
    for i in range(count):
        b.launch("add", called=i * every, start=i * every + 5, end=i * every + 5 + runs)
    return ending(b, count * every)


def queued_kernels(name: str = "add", count: int = 200, runs: int = 9, gap: int = 1) -> Linked:
    """The same kernels, all launched in time."""
    b = Linked()
    for i in range(count):
        start = 10 + i * (runs + gap)
        b.launch(name, called=min(i * 2, start - 5), start=start, end=start + runs)
    return ending(b, 10 + count * (runs + gap))


def stalled_by(table: str, name: str, stall: int = 400, **columns: Any) -> Linked:
    """Work, then a host call of that name that lasts, then work."""
    b = Linked()
    b.launch("gemm", called=0, start=5, end=500)
    b.host(table, name, 100 if name.endswith("Synchronize") else 510, 510 + stall, **columns)
    b.launch("gemm", called=520 + stall, start=525 + stall, end=1500)
    return ending(b, 1500)


def pausing(length: int) -> Linked:
    b = Linked()
    b.launch("gemm", called=0, start=5, end=500)
    b.frame("data.py", 12, 501, 499 + length)
    b.launch("gemm", called=500 + length, start=505 + length, end=5 * length)
    return ending(b, 5 * length)


def copying(src: str, start: int, end: int) -> Linked:
    b = Linked()
    b.launch("gemm", called=0, start=5, end=500)
    call = b.call("cudaMemcpyAsync", start - 10, end if src == "pageable" else start - 8)
    b.copy("HtoD", start, end, src, "device", api_call=call, stream=9, bytes=1 << 24)
    b.launch("gemm", called=end - 5, start=max(end + 1, 501), end=1500)
    return ending(b, 1500)


def communicating(start: int, end: int, elements: int = 1 << 26, count: int = 1) -> Linked:
    b = Linked()
    b.launch("gemm", called=0, start=5, end=1000)
    length = (end - start) // count
    for i in range(count):
        low = start + i * length
        kernel = b.launch(NCCL, called=10 + i * 3, start=low, end=low + length, stream=20)
        b.add(
            "collectives", NCCL, low, low + length, kernel=kernel, collective="allreduce", dtype="Float",
            in_elements=elements, out_elements=elements, group_size=8,
        )  # fmt: skip
    return ending(b, max(end, 1000))


def unlinked(count: int) -> Linked:
    b = queued_kernels(count=20)
    for i in range(count):
        b.kernel("add", 300 + i * 10, 309 + i * 10)
    return b


# code → the trace with the problem, the trace without
CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    **memory_situations.CASES,
}
