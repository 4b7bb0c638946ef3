"""A trace and results made by hand, for the tests of commands."""

from __future__ import annotations

from dataclasses import replace

from traceanalyzer.analyzers.results import (
    Breakdown,
    DeviceBreakdown,
    Holder,
    KernelRow,
    Kernels,
    Memory,
    MemoryTimeline,
    ModuleRow,
    Modules,
    OpRow,
    Ops,
    Partition,
    Step,
    Steps,
)
from traceanalyzer.model.schema import BY_NAME
from traceanalyzer.model.tables import empty, from_rows
from traceanalyzer.model.trace import Capability, Note, Source, Trace

NASTY = "evil\x1b[2J\u202ename"
MS = 1_000_000


def a_kernel(name: str, total_ns: int) -> KernelRow:
    times = {"mean_ns": 1_500, "median_ns": 1_500, "min_ns": 1_000, "max_ns": 2_000}
    unknown = dict.fromkeys(("op", "module", "occupancy_percent", "blocks", "threads"))
    return KernelRow(name=name, category="compute", count=2, total_ns=total_ns, share=0.5, **times, **unknown)


KERNELS = Kernels(
    (a_kernel("gemm", 3 * MS), a_kernel('a, "b"', MS), a_kernel(NASTY, MS)), 6, 5 * MS, 1_500, 0
)
OP = OpRow("aten::mm", None, 2, 10_000, 9_000, 3 * MS, 3 * MS, 2)
MODULES = (ModuleRow("Net", "Net", 0, 1, 50, 40, 0), ModuleRow("Net/Linear", "Linear", 1, 1, 30, 40, 40))
STEPS = (
    Step(5, "ProfilerStep#5", 0, host_start_ns=0, host_end_ns=90, start_ns=0, end_ns=95, window_end_ns=100),
    Step(
        6,
        "ProfilerStep#6",
        0,
        host_start_ns=100,
        host_end_ns=170,
        start_ns=100,
        end_ns=180,
        window_end_ns=180,
    ),
)
PARTS = (Partition(100, 50, 20, 10, 20), Partition(80, 40, 20, 10, 10))
DEVICE = DeviceBreakdown(0, 1, None, 0, Partition(180, 90, 40, 20, 30), PARTS, 60, 20, ())
HOLDER = Holder(1 << 30, 2, "aten::mm", None, "train.py:7", None)
TIMELINE = MemoryTimeline(0, "cuda", 0, 4, 3 << 30, 7, None, ((0, 1, None),), (HOLDER,), 1 << 30)
RESULTS = {
    "kernels": KERNELS,
    "ops": Ops((OP,), (replace(OP, input_dims="[[2,3]]"),), 0),
    "modules": Modules("nn_module", MODULES, 0),
    "steps": Steps("profiler_step", STEPS, 90),
    "breakdown": Breakdown((DEVICE,), ()),
    "memory": Memory((TIMELINE,)),
}


def a_trace() -> Trace:
    kernels = [{"name": NASTY, "ts": 1, "dur": 2, "device": 0, "stream": 7}]
    tables = {name: empty(name) for name in BY_NAME} | {"kernels": from_rows("kernels", kernels)}
    source = Source(
        "run.json", "chrome", "ab" * 32, 512, 1, 0, notes=(Note("partial", "is cut", "Copy again."),)
    )
    return Trace((source,), tables, frozenset({Capability.DEVICE_WORK}))
