"""Traces of kernels with shapes. Times are µs.

The device is an H100 (989 TFLOP/s in bf16, 67 in fp32, 3350 GB/s).
"""

from __future__ import annotations

import json
from typing import Any

from linked import Linked

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


def streaming(times_the_roof: float) -> Computing:
    """A sum of two large tensors: 3 GiB through memory."""
    n = [1 << 14, 1 << 15]
    roof_us = 3 * 2 * n[0] * n[1] / 3350e9 * 1e6
    return Computing().work("aten::add", STREAM, roof_us * times_the_roof, n, n).done()
