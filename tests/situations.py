"""Traces with one problem each, and traces as like them as possible without it. Times are µs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import compute_situations
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


def transferring(stream: int, *, late: bool) -> Linked:
    """An all-reduce that nothing hides; the next kernel is launched after it began, or waits for its event."""
    b = Linked()
    b.launch("gemm", called=0, start=5, end=1000)
    b.launch(NCCL, called=10, start=1000, end=1200, stream=stream)
    b.launch("gemm", called=1100 if late else 30, start=1200, end=2000)
    b.add("syncs", "Stream Wait Event", 20, 21, device=0, stream=7, waits_on_stream=1 if late else stream,
          kind="Stream Wait Event")  # fmt: skip
    return ending(b, 2000)


def optimizing(kernels: int) -> Linked:
    b = Linked()
    b.annotation("Optimizer.step#AdamW.step", 0, kernels * 10)
    for i in range(kernels):
        b.launch("adam", called=i * 10, start=i * 10 + 5, end=i * 10 + 8)
    return ending(b, kernels * 10)


def graphed(api: str) -> Linked:
    b = Linked()
    call = b.call(api, 0, 10)
    for i in range(50):
        b.kernel("node", 20 + i * 10, 29 + i * 10, api_call=call)
    return ending(b, 520)


def stepping(*lengths: int) -> Linked:
    b = Linked()
    start = 0
    for number, length in enumerate(lengths):
        b.step(number, start, start + length)
        b.launch("gemm", called=start, start=start + 5, end=start + length - 1)
        start += length
    return b


def ending_long_after_work(tail: int) -> Linked:
    b = Linked()
    b.launch("gemm", called=0, start=2, end=1000)
    return ending(b, 1000 + tail)


def unlinked(count: int) -> Linked:
    b = queued_kernels(count=20)
    for i in range(count):
        b.kernel("add", 300 + i * 10, 309 + i * 10)
    return b


# code → the trace with the problem, the trace without
CASES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "IDLE001": (late_kernels, queued_kernels),
    "IDLE002": (lambda: queued_kernels(gap=5), queued_kernels),
    "IDLE003": (lambda: ending_long_after_work(500), lambda: ending_long_after_work(10)),
    "IDLE004": (lambda: pausing(2000), lambda: pausing(300)),
    "SYNC001": (
        lambda: stalled_by("api_calls", "cudaStreamSynchronize", stall=100),
        lambda: stalled_by("api_calls", "cudaStreamWaitEvent", stall=100),
    ),
    "ALLOC001": (
        lambda: stalled_by("api_calls", "cudaMalloc"),
        lambda: stalled_by("api_calls", "cudaMallocAsync"),
    ),
    "GC001": (
        lambda: stalled_by("python_calls", "<built-in function collect>"),
        lambda: stalled_by("python_calls", "<built-in function len>"),
    ),
    "COMPILE001": (
        lambda: stalled_by("annotations", "inductor_compile"),
        lambda: stalled_by("annotations", "Torch-Compiled Region: 0/0"),
    ),
    "INPUT001": (
        lambda: stalled_by("annotations", "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"),
        lambda: stalled_by("annotations", "enumerate(DataLoader)#_Iter.__next__", stall=20),
    ),
    "COPY001": (lambda: copying("pageable", 510, 900), lambda: copying("pinned", 510, 900)),
    "COPY002": (lambda: copying("pinned", 510, 900), lambda: copying("pinned", 20, 490)),
    "COMM001": (lambda: communicating(900, 1500), lambda: communicating(100, 900)),
    "COMM002": (
        lambda: communicating(900, 1500, elements=1000, count=20),
        lambda: communicating(900, 1500, elements=1 << 26, count=20),
    ),
    "OVERLAP001": (lambda: transferring(20, late=True), lambda: transferring(20, late=False)),
    "KERN001": (late_kernels, lambda: late_kernels(every=30, runs=12)),
    "OPT001": (lambda: optimizing(200), lambda: optimizing(10)),
    "GRAPH001": (lambda: graphed("cudaGraphLaunch"), lambda: graphed("cudaLaunchKernel")),
    "STEP001": (lambda: stepping(100, 101, 99, 500, 100), lambda: stepping(100, 101, 99, 102, 100)),
    "QUAL001": (lambda: unlinked(20), lambda: unlinked(1)),
    **compute_situations.CASES,
    **memory_situations.CASES,
}
