"""What a busy GPU's verdict says when its kernels have a roof."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from compute_situations import FAST, H100, STREAM, Computing, attention, product, streaming
from jsonschema import Draft202012Validator
from linked import Linked

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.hardware import Choice
from traceanalyzer.pipeline import analyze
from traceanalyzer.reporters import json_report
from traceanalyzer.rules import judge

if TYPE_CHECKING:
    from traceanalyzer.rules.findings import Finding, Verdict


def judged(b: Linked, hardware: Choice | None = None) -> tuple[Verdict, dict[str, Finding]]:
    trace = b.trace()
    judgement = judge(trace, run_analyzers(trace, hardware=hardware)[0])
    return judgement.verdict, {f.code: f for f in judgement.findings}


def test_products_near_the_peak_are_limited_by_arithmetic() -> None:
    """4096³ · 2 FLOPs take 139 µs at 989 TFLOP/s: 70 % of 199 µs."""
    found, _ = judged(product(FAST, 199, 4096))
    assert found.bottleneck == "compute"
    assert "limited by arithmetic (70 % of their roof)" in found.headline
    assert found.confidence == "high"


def test_sums_near_the_bandwidth_are_limited_by_memory() -> None:
    found, _ = judged(streaming(1.25))
    assert found.bottleneck == "memory_bandwidth"
    assert "80 % of their roof" in found.headline


def test_kernels_far_below_their_roof_are_limited_by_latency() -> None:
    found, findings = judged(streaming(5))
    assert found.bottleneck == "latency"
    assert "far from both limits of the GPU (20 % of their roof)" in found.headline
    assert found.confidence == "high"
    assert "20 % of its roof" in findings["EFF001"].evidence[0].text


def test_kernels_not_so_far_below_their_roof_make_the_verdict_less_sure() -> None:
    found, findings = judged(streaming(2))
    assert (found.bottleneck, found.confidence) == ("latency", "medium")
    assert "EFF001" not in findings


def test_slow_kernels_are_named_even_when_the_device_is_full() -> None:
    b = streaming(5)
    b.rows["kernels"][0] |= {"grid": [40_000, 1, 1], "block": [128, 1, 1], "occupancy": 100.0}
    found, findings = judged(b)
    assert found.bottleneck == "compute"
    assert "20 % of its roof" in findings["EFF001"].evidence[0].text


def test_a_verdict_of_latency_fits_the_schema() -> None:
    document = json.loads(json_report.render(analyze(streaming(5).trace())))
    assert document["verdict"]["bottleneck"] == "latency"
    Draft202012Validator(json_report.schema()).validate(document)


def test_many_small_kernels_are_overhead_even_when_the_gpu_is_busy() -> None:
    b = Computing()
    for _ in range(100):
        b.work("aten::add", STREAM, 5, [100], [100])
    found, _ = judged(b.done())
    assert found.bottleneck == "overhead"
    assert "too small to fill the GPU" in found.headline


def test_neither_leads() -> None:
    b = product(FAST, 200, 4096)
    b.rows["annotations"].clear()
    b.work("aten::add", STREAM, 180, [1 << 13, 1 << 13], [1 << 13, 1 << 13])
    b.work("aten::add", STREAM, 120, [100], [100])
    found, _ = judged(b.done())
    assert found.bottleneck == "mixed"
    assert "limited by arithmetic 40 % + limited by memory bandwidth 36 %" in found.headline


def test_without_a_known_gpu_names_decide_and_the_report_says_so() -> None:
    b = Computing(gpu={"rank": 0, "device": 0, "name": "Some GPU"})
    b.work("aten::mm", FAST, 200, [4096, 4096], [4096, 4096])
    found, findings = judged(b.done())
    assert (found.bottleneck, found.confidence) == ("compute", "low")
    assert "told by their names" in found.headline
    assert "no GPU called Some GPU is known" in findings["EFF001"].claim


def test_the_user_can_name_the_gpu() -> None:
    b = Computing(gpu=None)
    b.work("aten::mm", FAST, 199, [4096, 4096], [4096, 4096])
    found, findings = judged(b.done(), Choice(gpu="H100 80GB HBM3"))
    assert "70 % of their roof" in found.headline
    assert "EFF001" not in findings


def test_fused_attention_saves_up_to_what_the_scores_cost() -> None:
    """Two products of 34 GFLOPs: 69.5 µs at the peak, so 99 µs at 70 % of it, of 1400 µs."""
    _, findings = judged(attention(fused=False))
    saving = findings["SDPA001"].saving_ns
    assert saving is not None
    assert saving[1] == pytest.approx(1_400_000 - 69_470 / 0.7, rel=0.001)


@pytest.mark.parametrize(
    ("gpu", "asks_for", "not_for"),
    [
        ("NVIDIA H100 80GB HBM3", "allow_tf32", "GradScaler"),
        ("Tesla V100-SXM2-32GB", "GradScaler", "allow_tf32"),
        ("AMD Instinct MI210", "torch.autocast with bfloat16", "allow_tf32"),
    ],
)
def test_no_gpu_is_asked_for_a_type_that_it_does_not_have(gpu: str, asks_for: str, not_for: str) -> None:
    b = product("ampere_sgemm_128x64_nn", 9_000, 4096, "float", gpu={**H100, "name": gpu})
    finding = judged(b)[1]["TC001"]
    assert asks_for in finding.fix
    assert not_for not in finding.fix
    assert finding.saving_ns


def test_a_busy_device_without_a_leading_kind_of_kernel_tells_the_share_of_the_longest() -> None:
    b = Linked()
    b.launch("yours", 0, 10, 20)
    b.launch("theirs", 1, 20, 30)
    b.launch("void mine<float>(int)", 2, 30, 50)
    b.step(1, 0, 50)
    headline = judged(b)[0].headline
    assert "no kind of kernel dominates; the longest, mine, has 50 %" in headline


def test_unaligned_sizes_are_named() -> None:
    _, findings = judged(product("cutlass_75_tensorop_bf16_s1688gemm_bf16_tn_align1", 900, 4097))
    assert "4097" in findings["ALIGN001"].claim


def test_only_the_kernel_that_the_host_waits_for_counts_when_the_gpu_waits_for_the_host() -> None:
    """20 kernels of 400 µs each: 19 of them end long before the host launches the next."""
    b = Computing()
    for i in range(20):
        b.now = b.launched = 1000.0 * i
        b.now += 4
        b.work("aten::mm", "ampere_sgemm_128x64_nn", 400, [2048, 2048], [2048, 2048], dtype="float")
    _, findings = judged(b.done())
    saving = findings["TC001"].saving_ns
    assert saving is not None
    assert 300_000 < saving[1] < 400_000
