"""Analyses made by hand for the reporters' tests: a plausible training run and the odd ones."""

from __future__ import annotations

import statistics
from typing import Any

from played_run import H2D, LOADER, MS, NCCL, US, Recorder, kernel_rows, partition, waits_before_copies

from traceanalyzer.analyzers import results as r
from traceanalyzer.model.link import link
from traceanalyzer.model.schema import TABLES
from traceanalyzer.model.tables import empty, from_rows
from traceanalyzer.model.trace import Capability, Note, Source, Trace
from traceanalyzer.rules.analysis import Analysis
from traceanalyzer.rules.findings import Evidence, Finding, NotAssessed, Passed, Verdict

CAUSES = (("dataloader", 0.52), ("host_dispatch", 0.28), ("pageable_copy", 0.14), ("launch_gap", 0.06))


def training(steps: int = 8, layers: int = 12) -> Analysis:
    """A run in which the data loader holds the GPU up; step 5 is an outlier."""
    run = Recorder()
    marks = []
    for i in range(steps):
        start = run.host
        run.step(layers, 46 * MS if i == 5 else 9 * MS + i * 37 * US)
        run.add(
            "annotations",
            name=f"ProfilerStep#{i + 3}",
            ts=start,
            dur=run.host - start - 50 * US,
            pid=42,
            tid=42,
            on_gpu=False,
        )
        marks.append((start, run.host))
    run.add("processes", pid=42, tid=42, name="python main thread")
    run.add("devices", device=0, name="NVIDIA A100-SXM4-80GB")
    tables = {t.name: from_rows(t.name, run.rows.get(t.name, [])) for t in TABLES}
    seen = frozenset(Capability) - {Capability.STACKS, Capability.SYNC_EVENTS}
    source = Source(
        path="runs/llama-small/rank0.pt.trace.json.gz",
        format="chrome",
        sha256="9f2c41d07be3" + "5a" * 26,
        bytes=1_843_221,
        events=sum(map(len, run.rows.values())),
        rank=0,
        epoch_ns=1711964646000000000,
        metadata={"cuda_runtime_version": 12040, "record_shapes": 1, "torch_version": "2.6.0"},
    )
    trace = link(Trace((source,), tables, seen))
    return Analysis(trace, _results(run, marks), VERDICT, FINDINGS, NOT_ASSESSED, PASSED)


def _results(run: Recorder, marks: list[tuple[int, int]]) -> dict[str, Any]:
    steps = tuple(
        r.Step(i, f"ProfilerStep#{i + 3}", 0, s, e - 60 * US, s, e - 40 * US, e)
        for i, (s, e) in enumerate(marks)
    )
    per_step = tuple(partition(run, s, e) for s, e in marks)
    keys = ("wall_ns", "compute_ns", "exposed_communication_ns", "exposed_copy_ns", "idle_ns")
    whole = r.Partition(*(sum(getattr(p, k) for p in per_step) for k in keys))
    kernels = kernel_rows(run)
    kernel_ns = sum(k.total_ns for k in kernels)
    copy_ns = sum(c["dur"] for c in run.rows["copies"])
    causes = tuple(r.IdleCause(c, int(whole.idle_ns * part), 40 + i) for i, (c, part) in enumerate(CAUSES))
    gaps = tuple(
        r.IdleGap(0, 0, start, length, "dataloader", H2D, LOADER, "train.py:88", None)
        for start, length in waits_before_copies(run)
    )
    ops = tuple(
        r.OpRow(
            k.op or "", None, k.count, k.count * 40 * US, k.count * 22 * US, k.total_ns, k.total_ns, k.count
        )
        for k in kernels
    )
    shaped = tuple(
        r.OpRow(
            o.name,
            "[[8,512,1024],[1024,1024]]",
            o.count,
            o.total_ns,
            o.self_ns,
            o.device_ns,
            o.self_device_ns,
            o.kernels,
        )
        for o in ops
    )
    end = marks[-1][1]
    points = tuple((i * end // 400, (9 << 30) + ((i * 37) % 50) * (90 << 20), 22 << 30) for i in range(400))
    peak = max(points, key=lambda p: p[1])
    holders = tuple(
        r.Holder((40 - i * 6) * (96 << 20), 12 + i, op, "GPT/Block/MLP", f"model.py:{61 + i}", None)
        for i, op in enumerate(("aten::mm", "aten::_flash_attention_forward", "aten::gelu", "aten::add"))
    )
    queue = tuple((i * end // 300, (i * 7) % 23) for i in range(300))
    return {
        "steps": r.Steps(
            "profiler_step",
            steps,
            int(statistics.median(s.duration_ns for s in steps)),
            (5,) if len(steps) > 5 else (),
        ),
        "breakdown": r.Breakdown(
            (
                r.DeviceBreakdown(
                    0, 0, "NVIDIA A100-SXM4-80GB", 0, whole, per_step, kernels[-1].total_ns, copy_ns, causes
                ),
            ),
            gaps,
        ),
        "kernels": r.Kernels(kernels, sum(k.count for k in kernels), kernel_ns, 60 * US, 3),
        "ops": r.Ops(ops, shaped, 812 * US),
        "modules": r.Modules(
            "nn_module",
            (
                r.ModuleRow("GPT", "GPT", 0, 8, 90 * MS, 200 * MS, MS),
                r.ModuleRow("GPT/Block", "Block", 1, 96, 80 * MS, 180 * MS, 2 * MS),
                r.ModuleRow("GPT/Block/Attention", "Attention", 2, 96, 30 * MS, 70 * MS, 70 * MS),
                r.ModuleRow("GPT/Block/MLP", "MLP", 2, 96, 40 * MS, 108 * MS, 108 * MS),
            ),
            812 * US,
        ),
        "copies": r.Copies(
            (
                r.CopyRow(
                    "memcpy",
                    "HtoD",
                    "pageable",
                    "device",
                    len(marks),
                    len(marks) * (16 << 20),
                    copy_ns,
                    copy_ns - 40 * US,
                    "aten::copy_",
                ),
                r.CopyRow("memset", None, None, None, 16, None, 48 * US, 0, None),
            )
        ),
        "collectives": r.Collectives(
            (
                r.CollectiveRow(
                    NCCL,
                    "allreduce",
                    "BFloat16",
                    "default",
                    8,
                    len(marks) * 3,
                    len(marks) * 3 * (48 << 20),
                    None,
                    len(marks) * 3 * 700 * US,
                    700 * US,
                    700 * US,
                    9 * MS,
                    120.4,
                ),
            ),
            0.62,
        ),
        "launches": r.Launches(
            (r.DeviceLaunches(0, 0, 584, 581, 4 * US, 11 * US, 2 * MS, 2, 31, 5 * US, 0.31, "host"),),
            (
                r.ApiRow("cudaLaunchKernel", 584, 2_920 * US, 5 * US),
                r.ApiRow("cudaMemcpyAsync", 8, 9 * MS, MS),
            ),
            {(0, 0): queue},
        ),
        "memory": r.Memory(
            (
                r.MemoryTimeline(
                    0,
                    "cuda",
                    0,
                    9_120,
                    peak[1],
                    peak[0],
                    22 << 30,
                    points,
                    holders,
                    sum(h.bytes for h in holders),
                ),
            )
        ),
    }


VERDICT = Verdict(
    "overhead",
    "The GPU idles 57 % of the step, mostly waiting for the data loader: up to 2.3× faster",
    "high",
)
FINDINGS = (
    Finding(
        "LOAD001",
        "The data loader holds the GPU up",
        "high",
        "Each step waits 9.1 ms in `DataLoader.__next__` while no stream of the GPU has work.",
        (
            Evidence("8 waits of 9.00–46.0 ms inside `enumerate(DataLoader)`", "annotations", 0, 0, 9 * MS),
            Evidence("the longest is in ProfilerStep#8", "annotations", 5, 90 * MS, 46 * MS),
        ),
        "Load in worker processes and keep them alive:\n```python\nDataLoader(dataset, batch_size=64, "
        "num_workers=8,\n           pin_memory=True, persistent_workers=True)\n```",
        "high",
        (7 * MS, 9 * MS),
    ),
    Finding(
        "COPY001",
        "Copies from pageable memory block the host",
        "medium",
        "8 copies of 16.0 MiB come from pageable memory; each holds the host for 0.9 ms.",
        (Evidence("Memcpy HtoD (Pageable -> Device), 8 times", "copies", 0, 9 * MS, MS),),
        "Pin the batch and copy it without blocking:\n```python\nbatch = batch.to(device, non_blocking=True)\n```",
        "medium",
        (0, 900 * US),
    ),
    Finding(
        "MEM003",
        "Peak memory leaves little room",
        "low",
        "13.3 GiB of the peak are activations of `GPT/Block/MLP`.",
        (),
        "Recompute the MLP's activations with `torch.utils.checkpoint`.",
        "low",
        None,
        2 << 30,
        "saves memory, and costs time",
    ),
)
NOT_ASSESSED = (
    NotAssessed("SYNC001", "Synchronisation inside the step", "enable_cuda_sync_events=True"),
    NotAssessed("GC001", "Garbage collection pauses", "with_stack=True"),
)
PASSED = (
    Passed("COMM001", "Communication is hidden behind compute"),
    Passed("TINY001", "Kernels are long enough"),
)


def with_names(name: str) -> Analysis:
    """The training run with every name that comes from a file set to `name`."""
    base = training(2, 4)
    tables = dict(base.trace.tables)
    row = {"name": name, "ts": 10, "dur": 50, "rank": 0}
    tables["kernels"] = from_rows("kernels", [row | {"device": 0, "stream": 7}])
    tables["ops"] = from_rows("ops", [row | {"pid": 1, "tid": 1}])
    tables["processes"] = from_rows("processes", [{"rank": 0, "pid": 1, "tid": 1, "name": name}])
    results = dict(base.results)
    kernel = base["kernels"].rows[0]
    fields = {f: getattr(kernel, f) for f in kernel.__dataclass_fields__} | {
        "name": name,
        "op": name,
        "module": name,
    }
    results["kernels"] = r.Kernels((r.KernelRow(**fields),), 1, 50, 50, 0)
    results["ops"] = r.Ops((r.OpRow(name, name, 1, 50, 50, 50, 50, 1),), (), 0)
    results["modules"] = r.Modules("nn_module", (r.ModuleRow(name, name, 0, 1, 50, 50, 50),), 0)
    results["copies"] = r.Copies((r.CopyRow("memcpy", name, name, name, 1, None, 50, 0, name),))
    device = base["breakdown"].devices[0]
    results["breakdown"] = r.Breakdown(
        (r.DeviceBreakdown(0, 0, name, 0, device.whole, device.steps, 0, 0, (r.IdleCause(name, 50, 1),)),),
        (r.IdleGap(0, 0, 60, 50, name, name, name, name, name),),
    )
    old = base.trace.sources[0]
    source = Source(
        name,
        "chrome",
        old.sha256,
        1,
        2,
        0,
        metadata={"torch_version": name},
        notes=(Note("partial", name, name),),
    )
    finding = Finding(
        "X001", name, "high", name, (Evidence(name, "kernels", 0, 10, 50),), name, "high", (1, 2)
    )
    trace = link(Trace((source,), tables, base.trace.capabilities))
    return Analysis(
        trace,
        results,
        Verdict("overhead", name, "high"),
        (finding,),
        (NotAssessed("X002", name, name),),
        (Passed("X003", name),),
        (name,),
    )


def nothing() -> Analysis:
    """A file without a single event: every result empty, every capability missing."""
    tables = {t.name: empty(t.name) for t in TABLES}
    source = Source(
        "empty.json",
        "chrome",
        "0" * 64,
        2,
        0,
        0,
        notes=(Note("info", "The file holds no events", "record with torch.profiler"),),
    )
    results = {
        "steps": r.Steps("window", (), 0),
        "breakdown": r.Breakdown((), ()),
        "kernels": r.Kernels((), 0, 0, None, 0),
        "ops": r.Ops((), (), 0),
        "modules": r.Modules(None, (), 0),
        "copies": r.Copies(()),
        "collectives": r.Collectives((), None),
        "launches": r.Launches((), ()),
        "memory": r.Memory(()),
    }
    return Analysis(
        link(Trace((source,), tables, frozenset())),
        results,
        Verdict("unknown", "The trace holds no events", "low"),
        (),
        (),
        (),
    )


def cpu_only() -> Analysis:
    """One op on the host and nothing else; some analyzers did not run."""
    base = nothing()
    tables = dict(base.trace.tables)
    tables["ops"] = from_rows(
        "ops", [{"name": "aten::mm", "ts": 0, "dur": 5 * US, "pid": 1, "tid": 1, "rank": 0}]
    )
    results = dict(base.results)
    results["steps"] = r.Steps("window", (r.Step(0, "trace", 0, 0, 5 * US, 0, 5 * US, 5 * US),), 5 * US)
    results["ops"] = r.Ops((r.OpRow("aten::mm", None, 1, 5 * US, 5 * US, 0, 0, 0),), (), 0)
    del results["memory"], results["launches"]
    simulated = Source("cpu.json", "chrome", "1" * 64, 90, 1, 0, simulated=True)
    return Analysis(
        link(Trace((simulated,), tables, frozenset())),
        results,
        Verdict("unknown", "Only the CPU was recorded", "low"),
        (),
        (),
        (),
    )
