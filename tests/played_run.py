"""A training run played by hand, and what analyzers would say of its rows."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import Any

from traceanalyzer.analyzers import results as r

US = 1_000
MS = 1_000_000
GEMM = (
    "void cutlass::Kernel2<cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_256x128_64x3_tn_align8>"
    "(cutlass_80_tensorop_bf16_s16816gemm_relu_bf16_256x128_64x3_tn_align8::Params)"
)
ADD = (
    "void at::native::vectorized_elementwise_kernel<4, at::native::CUDAFunctor_add<c10::BFloat16>, "
    "std::array<char*, 3ul> >(int, at::native::CUDAFunctor_add<c10::BFloat16>, std::array<char*, 3ul>)"
)
FLASH = (
    "void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<64, 128, 128, 4, false, false, "
    "cutlass::bfloat16_t>, false, true, false, false, true>(pytorch_flash::Flash_fwd_params)"
)
NORM = (
    "void at::native::(anonymous namespace)::vectorized_layer_norm_kernel<c10::BFloat16, float>(int, float)"
)
NCCL = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevComm*, unsigned long, ncclWork*)"
LOADER = "enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__"
H2D = "Memcpy HtoD (Pageable -> Device)"


@dataclass
class Recorder:
    """Plays a training run on one GPU with two streams and notes down what a profiler would."""

    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    host: int = 0
    free: dict[int, int] = field(default_factory=dict)
    correlation: int = 100

    def add(self, table: str, **row: Any) -> None:
        self.rows.setdefault(table, []).append({"rank": 0, **row})

    def launch(self, op: str, kernel: str, dur: int, stream: int = 7, *, python: int = 14 * US) -> None:
        """One op on the host that launches one kernel or copy."""
        start = self.host
        call = start + python
        self.correlation += 1
        self.add(
            "ops",
            name=op,
            ts=start,
            dur=python + 8 * US,
            pid=42,
            tid=42,
            input_dims="[[8,512,1024],[1024,1024]]",
        )
        api = "cudaMemcpyAsync" if kernel == H2D else "cudaLaunchKernel"
        self.add("api_calls", name=api, ts=call, dur=5 * US, pid=42, tid=42, correlation=self.correlation)
        self.host = start + python + 9 * US
        begin = max(call + 4 * US, self.free.get(stream, 0) + US)
        self.free[stream] = begin + dur
        gpu = {
            "name": kernel,
            "ts": begin,
            "dur": dur,
            "device": 0,
            "stream": stream,
            "correlation": self.correlation,
        }
        if kernel == H2D:
            self.add(
                "copies",
                kind="memcpy",
                direction="HtoD",
                src_kind="pageable",
                dst_kind="device",
                bytes=16 << 20,
                **gpu,
            )
            self.host = self.free[stream]
        else:
            self.add("kernels", grid=[256, 1, 1], block=[256, 1, 1], **gpu)

    def step(self, layers: int, loader: int) -> None:
        start = self.host
        self.add("annotations", name=LOADER, ts=start, dur=loader, pid=42, tid=42, on_gpu=False)
        self.host += loader
        self.launch("aten::copy_", H2D, 900 * US)
        for layer in range(layers):
            self.launch("aten::native_layer_norm", NORM, 9 * US)
            self.launch("aten::linear", GEMM, 95 * US + layer * 137)
            self.launch("aten::_flash_attention_forward", FLASH, 60 * US)
            self.launch("aten::add_", ADD, 4 * US, python=30 * US)
        for layer in range(layers):
            self.launch("aten::mm", GEMM, 180 * US + layer * 91)
            self.launch("aten::add_", ADD, 4 * US, python=30 * US)
            if layer % 4 == 3:
                self.free[20] = max(self.free.get(20, 0), self.free[7] - 100 * US)
                self.launch("c10d::allreduce_", NCCL, 700 * US, 20)
        self.host = max(self.host, *self.free.values()) + 200 * US


def partition(run: Recorder, start: int, end: int) -> r.Partition:
    """Sweep over 1 µs slices: slow, and obviously right."""
    label = bytearray((end - start) // US)
    rank_of = {"copy": 1, "communication": 2, "compute": 3}
    for table, rows in (("copies", run.rows["copies"]), ("kernels", run.rows["kernels"])):
        for row in rows:
            kind = "copy" if table == "copies" else "communication" if row["name"] == NCCL else "compute"
            for at in range(
                max(0, (row["ts"] - start) // US), min(len(label), (row["ts"] + row["dur"] - start) // US)
            ):
                label[at] = max(label[at], rank_of[kind])
    compute, comm, copy = (label.count(rank_of[k]) * US for k in ("compute", "communication", "copy"))
    return r.Partition(end - start, compute, comm, copy, end - start - compute - comm - copy)


def waits_before_copies(run: Recorder) -> list[tuple[int, int]]:
    """(start, length) of the idle time before every copy, the longest first."""
    work = [*run.rows["kernels"], *run.rows["copies"]]
    ends = [
        max((w["ts"] + w["dur"] for w in work if w["ts"] < c["ts"]), default=0) for c in run.rows["copies"]
    ]
    waits = [(end, c["ts"] - end) for end, c in zip(ends, run.rows["copies"], strict=True)]
    return sorted(waits, key=lambda wait: -wait[1])


def kernel_rows(run: Recorder) -> tuple[r.KernelRow, ...]:
    by_name: dict[str, list[int]] = {}
    for row in run.rows["kernels"]:
        by_name.setdefault(row["name"], []).append(row["dur"])
    total = sum(map(sum, by_name.values()))
    op = {
        GEMM: "aten::mm",
        ADD: "aten::add_",
        FLASH: "aten::_flash_attention_forward",
        NORM: "aten::native_layer_norm",
        NCCL: "c10d::allreduce_",
    }
    return tuple(
        r.KernelRow(
            name,
            "communication" if name == NCCL else "compute",
            len(d),
            sum(d),
            sum(d) // len(d),
            int(statistics.median(d)),
            min(d),
            max(d),
            sum(d) / total,
            op[name],
            None if name == NCCL else "GPT/Block/Attention",
            None if name == NCCL else 38.5,
            256,
            256,
        )
        for name, d in sorted(by_name.items(), key=lambda item: -sum(item[1]))
    )
