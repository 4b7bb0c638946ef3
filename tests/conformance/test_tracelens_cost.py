"""TraceLens' FLOPs of products and convolutions to the digit, and how much of real traces gets a cost."""

from __future__ import annotations

import ast
import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from traceanalyzer.cost.call import parse_call
from traceanalyzer.cost.formulas import cost_of

from .corpus import CORPUS, needs_corpus, results, traces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traceanalyzer.analyzers.roofline_results import Roofline

TRACES = [
    "b200_vllm_prefill", "h100_owlv2", "h100_qwen", "h100_timesformer", "mi300_resnet_train",
    "mi300_vllm_decode_graph",
]  # fmt: skip
# TraceLens counts two gradients whatever the output mask says: the first layer needs none for its input.
ONE_GRADIENT = "[False, True, False]"


def _rows(trace: str) -> Iterator[tuple[str, float, Any]]:
    """Name, GFLOPS and the four recorded columns of every GEMM, convolution and fused attention."""
    for file, suffix in (("GEMM", "_first"), ("unified_perf_summary", "")):
        with (CORPUS / "oracles" / "tracelens" / trace / f"{file}.csv").open(newline="") as lines:
            for row in csv.DictReader(lines):
                category = row.get("op category", "GEMM").split("_")[0]
                if category in ("GEMM", "CONV", "SDPA") and row[f"GFLOPS{suffix}"]:
                    recorded = [row[f"{c}{suffix}"] for c in ("Input Dims", "Input type")]
                    recorded += [row[f"{c}{suffix}"] for c in ("Input Strides", "Concrete Inputs")]
                    yield row["name"], float(row[f"GFLOPS{suffix}"]), recorded


@needs_corpus
@pytest.mark.parametrize("trace", TRACES)
def test_flops_of_products_convolutions_and_attention_to_the_digit(trace: str) -> None:
    compared = 0
    for name, gflops, recorded in _rows(trace):
        cost = cost_of(parse_call(name, *(json.dumps(ast.literal_eval(text)) for text in recorded)))
        assert cost is not None, (name, recorded)
        gradients = 2 if name == "aten::convolution_backward" and ONE_GRADIENT in _mask(recorded[3]) else 1
        assert cost.flops * gradients / 1e9 == gflops, (name, recorded)
        compared += 1
    assert compared >= 3


def _mask(values: str) -> str:
    return str(ast.literal_eval(values)[-1])


def _roofline(trace: str) -> Roofline:
    roofline: Roofline = results(trace)["roofline"]
    return roofline


@needs_corpus
@pytest.mark.parametrize("trace", ["h100_owlv2", "h100_qwen", "h100_timesformer", "b200_vllm_prefill"])
def test_kernel_time_with_a_cost(trace: str) -> None:
    """TraceLens: 54 %, 54 %, 93 % and 23 %. Of communication the bytes of the messages are known."""
    coverage = _roofline(trace).coverage
    assert coverage.costed >= 0.995
    guessed = coverage.name_only + coverage.blocks_only + coverage.unknown
    assert coverage.cost + coverage.communication + guessed == pytest.approx(1)


@needs_corpus
@pytest.mark.parametrize("trace", traces())
def test_no_kernel_is_above_its_roof_without_a_reason(trace: str) -> None:
    unexplained = [row for row in _roofline(trace).above_roof if not row.reason]
    assert unexplained == []


@needs_corpus
@pytest.mark.parametrize(
    ("trace", "gpu"),
    [
        ("h100_qwen", "H100 80GB HBM3"),
        ("b200_vllm_prefill", "B200"),
        ("mi300_vllm_decode_graph", "MI300X"),  # its name is empty: found by memory and compute units
        ("a100_nccl_train", "A100 40GB"),  # its name is that of a board
        ("v100_ns_resolution", "V100-SXM2"),
    ],
)
def test_gpus_are_recognised(trace: str, gpu: str) -> None:
    assert {d.gpu for d in _roofline(trace).devices} == {gpu}


@needs_corpus
@pytest.mark.parametrize(
    ("trace", "op", "bound"),
    [
        ("h100_qwen", "aten::mm", "compute"),
        ("h100_qwen", "aten::mul", "memory_bandwidth"),
        ("h100_timesformer", "aten::addmm", "compute"),
        (
            "h100_timesformer",
            "aten::native_layer_norm",
            "latency",
        ),  # 39 % of its roof, and the device is not full
        ("h100_owlv2", "aten::_softmax", "compute"),  # 23 %, and it is full
    ],
)
def test_labels_of_the_longest_kernels(trace: str, op: str, bound: str) -> None:
    longest = next(row for row in _roofline(trace).rows if row.op == op)
    assert longest.bound == bound


@needs_corpus
def test_kernels_without_a_launch_get_the_cost_of_the_same_launches_elsewhere() -> None:
    """30 % of h100_qwen's kernel time was launched before the window."""
    rows = _roofline("h100_qwen").rows
    total = sum(row.total_ns for row in rows)
    by_signature = sum(row.total_ns for row in rows if row.source in ("signature", "ambiguous"))
    assert by_signature / total == pytest.approx(0.301, abs=0.005)
