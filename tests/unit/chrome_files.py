"""Small Chrome traces for the tests of the reader."""

from __future__ import annotations

import json
from typing import Any

HEADER: dict[str, Any] = {
    "schemaVersion": 1,
    "deviceProperties": [
        {"id": 0, "name": "NVIDIA H100 80GB HBM3", "totalGlobalMem": 85_000_000_000, "numSms": 132}
    ],
    "baseTimeNanoseconds": 1_700_000_000_000_000_000,
}


def op(name: str, ts: str, dur: str, **args: Any) -> dict[str, Any]:
    return {
        "ph": "X",
        "cat": "cpu_op",
        "name": name,
        "pid": 1,
        "tid": 2,
        "ts": Number(ts),
        "dur": Number(dur),
        "args": args,
    }


def kernel(name: str, ts: str, dur: str, correlation: int, stream: int = 7) -> dict[str, Any]:
    args = {
        "device": 0,
        "stream": stream,
        "correlation": correlation,
        "grid": [8, 1, 1],
        "block": [128, 1, 1],
    }
    return {
        "ph": "X",
        "cat": "kernel",
        "name": name,
        "pid": 0,
        "tid": stream,
        "ts": Number(ts),
        "dur": Number(dur),
        "args": args,
    }


def launch(ts: str, dur: str, correlation: int, name: str = "cudaLaunchKernel") -> dict[str, Any]:
    return {
        "ph": "X", "cat": "cuda_runtime", "name": name, "pid": 1, "tid": 2, "ts": Number(ts), "dur": Number(dur),
        "args": {"correlation": correlation, "cbid": 211},
    }  # fmt: skip


class Number(float):
    """A number that json writes exactly as given, as Kineto does."""

    def __new__(cls, text: str) -> Number:
        made = super().__new__(cls, text)
        made.text = text
        return made

    def __repr__(self) -> str:
        return self.text


def dump(value: Any, **options: Any) -> str:
    """json.dumps that keeps the spelling of `Number`."""
    return "".join(_Encoder(**options).iterencode(value))


class _Encoder(json.JSONEncoder):
    def iterencode(self, o: Any, _one_shot: bool = False) -> Any:
        make = json.encoder._make_iterencode
        encoder = (
            json.encoder.encode_basestring_ascii if self.ensure_ascii else json.encoder.encode_basestring
        )
        indent = " " * self.indent if isinstance(self.indent, int) else self.indent
        return make(
            {}, self.default, encoder, indent, _number, self.key_separator, self.item_separator,
            self.sort_keys, self.skipkeys, _one_shot=False,
        )(o, 0)  # fmt: skip


def _number(value: float) -> str:
    return value.text if isinstance(value, Number) else float.__repr__(value)


def trace(events: list[dict[str, Any]], **header: Any) -> dict[str, Any]:
    return {**HEADER, **header, "traceEvents": events}


def simple_events() -> list[dict[str, Any]]:
    return [
        op("aten::linear", "1000000.000", "50.500", **{"External id": 1}),
        op("aten::addmm", "1000001.250", "40.125", **{"External id": 2, "Input Dims": [[8, 16], [16, 4]]}),
        launch("1000010.000", "5.000", 77),
        kernel("gemm_kernel", "1000030.001", "12.345", 77),
    ]
