"""Traces with one problem of compute each, and traces as like them as possible without it. Times are µs.

The device is an H100 (989 TFLOP/s in bf16, 67 in fp32, 3350 GB/s).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from linked import Linked

if TYPE_CHECKING:
    from collections.abc import Callable

H100 = {"rank": 0, "device": 0, "name": "NVIDIA H100 80GB HBM3", "memory": 85018279936, "sms": 132}
BF16 = "c10::BFloat16"
STREAM = "void at::native::vectorized_elementwise_kernel<4>"
FAST = "nvjet_hsh_128x256_64x4_2x1_v_bz_TNT"


class Computing(Linked):
    """Kernels one after the other, each launched in time by an op with shapes."""

    def __init__(self, gpu: dict[str, Any] | None = H100) -> None:
        super().__init__()
        self.now = 10.0
        self.launched = 0.0
        if gpu is not None:
            self.rows["devices"].append(gpu)

    def work(self, op: str, kernel: str, runs: float, *shapes: list[int], **how: Any) -> Computing:
        types = how.pop("types", [how.pop("dtype", BF16)] * len(shapes))
        row = self.op(
            op,
            self.launched,
            self.launched + 0.5,
            input_dims=json.dumps(list(shapes)),
            input_types=json.dumps(types),
            **how,
        )
        self.launch(kernel, called=self.launched, start=self.now, end=self.now + runs, op=row)
        self.launched += 3
        self.now += runs
        return self

    def done(self) -> Computing:
        """Close the step as a program does that reads its result: the host waits until the device is through."""
        self.host("api_calls", "cudaDeviceSynchronize", self.launched, self.now)
        self.step(1, 0, self.now)
        return self


def product(kernel: str, runs: float, n: int, dtype: str = BF16, **how: Any) -> Computing:
    return Computing(**how).work("aten::mm", kernel, runs, [n, n], [n, n], dtype=dtype).done()


def attention(fused: bool, s: int = 4096) -> Computing:
    b = Computing()
    if fused:
        shape = [1, 16, s, 64]
        b.work(
            "aten::_scaled_dot_product_flash_attention", "flash_fwd_kernel", 200, shape, shape, shape,
            concrete_inputs='["","","","0.","False"]',
        )  # fmt: skip
    else:
        b.work("aten::bmm", FAST, 300, [16, s, 64], [16, 64, s])
        b.work("aten::_softmax", "cunn_SoftMaxForward", 800, [16, s, s])
        b.work("aten::bmm", FAST, 300, [16, s, s], [16, s, 64])
    return b.done()


def convolving(layout_us: float) -> Computing:
    b = Computing()
    b.work("aten::cudnn_convolution", "cutlass_tensorop_fprop", 500)
    b.work("aten::cudnn_convolution", "void cudnn::nchwToNhwcKernel<float>", layout_us)
    return b.done()


def copying(source: str) -> Computing:
    """A copy within the device, 1 GiB of bf16."""
    n = [1 << 14, 1 << 15]
    return Computing().work("aten::copy_", STREAM, 700, n, n, types=[BF16, source]).done()


def streaming(times_the_roof: float) -> Computing:
    """A sum of two large tensors: 3 GiB through memory."""
    n = [1 << 14, 1 << 15]
    roof_us = 3 * 2 * n[0] * n[1] / 3350e9 * 1e6
    return Computing().work("aten::add", STREAM, roof_us * times_the_roof, n, n).done()


def chaining(between: float) -> Computing:
    """Two passes over the same 134 MB; `between` them may run a product."""
    b = Computing().work("aten::sigmoid", STREAM, 100, [1 << 13, 1 << 13])
    if between:
        b.work("aten::mm", FAST, between, [4096, 4096], [4096, 4096])
    return b.work("aten::sigmoid", STREAM, 100, [1 << 13, 1 << 13]).done()


# code → the trace with the problem, the trace without
CASES: dict[str, tuple[Callable[[], Linked], Callable[[], Linked]]] = {
    "TC001": (
        lambda: product("ampere_sgemm_128x64_nn", 3000, 4096, dtype="float"),
        lambda: product("sm90_xmma_gemm_f32f32_tf32f32_f32_nn", 600, 4096, dtype="float"),
    ),
    "ALIGN001": (
        lambda: product("cutlass_75_tensorop_bf16_s1688gemm_bf16_256x128_tn_align1", 900, 4097),
        lambda: product("cutlass_75_tensorop_bf16_s1688gemm_bf16_256x128_tn_align8", 200, 4096),
    ),
    "SDPA001": (lambda: attention(fused=False), lambda: attention(fused=True)),
    "LAYOUT001": (lambda: convolving(100), lambda: convolving(2)),
    "CAST001": (lambda: copying("float"), lambda: copying(BF16)),
    "FUSE001": (lambda: chaining(0), lambda: chaining(200)),
    "EFF001": (lambda: streaming(5), lambda: streaming(1.1)),
}
