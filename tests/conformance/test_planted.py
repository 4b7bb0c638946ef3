"""What is known to limit the recorded programs is found in their traces, and ranked first."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from traceanalyzer.pipeline import analyze

from .corpus import load, needs_corpus

if TYPE_CHECKING:
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Finding

MS = 1_000_000


@lru_cache(maxsize=4)
def analysed(name: str) -> Analysis:
    return analyze(load(name))


def finding(analysis: Analysis, code: str) -> Finding:
    return next(f for f in analysis.findings if f.code == code)


@needs_corpus
def test_owlv2_waits_for_batches_before_its_pageable_copies() -> None:
    analysis = analysed("h100_owlv2")
    breakdown = analysis["breakdown"]
    long = [g for g in breakdown.largest_gaps if g.duration_ns > 100 * MS]
    assert {g.next_work for g in long} == {"Memcpy HtoD (Pageable -> Device)"}
    assert min(g.duration_ns for g in long) > 118 * MS
    idle = sum(d.whole.idle_ns for d in breakdown.devices)
    assert sum(g.duration_ns for g in long) / idle > 0.955
    assert analysis.verdict.bottleneck == "overhead"
    first = analysis.findings[0]
    assert (first.code, first.saving_basis) == ("INPUT001", "replay")
    assert first.saving_ns is not None
    assert first.saving_ns[1] > 600 * MS


@needs_corpus
def test_owlv2_multiplies_odd_matrices_in_kernels_for_unaligned_data() -> None:
    analysis = analysed("h100_owlv2")
    align = finding(analysis, "ALIGN001")
    assert "5185" in align.claim
    assert 0.38 < _share_of_kernel_time(align) < 0.44
    # unfused attention contains these products: of the kernels' findings the two come first
    of_kernels = [f.code for f in analysis.findings if f.speedups]
    assert set(of_kernels[:2]) == {"SDPA001", "ALIGN001"}


@needs_corpus
def test_timesformer_pauses_and_multiplies_odd_matrices() -> None:
    analysis = analysed("h100_timesformer")
    assert analysis.findings[0].code == "IDLE004"
    assert "3137" in finding(analysis, "ALIGN001").claim
    assert {f.code for f in analysis.findings[1:3]} == {"SDPA001", "ALIGN001"}


@needs_corpus
def test_vllm_s_prefill_on_b200_is_bound_by_its_host() -> None:
    analysis = analysed("b200_vllm_prefill")
    assert analysis.verdict.bottleneck == "overhead"
    assert analysis.findings[0].code == "IDLE001"
    rows = analysis["collectives"].rows
    busy = sum(d.whole.wall_ns - d.whole.idle_ns for d in analysis["breakdown"].devices)
    multimem = sum(r.total_ns for r in rows if "multimem_all_reduce" in r.name)
    assert 0.17 < multimem / busy < 0.19


@needs_corpus
def test_vllm_s_decoding_on_mi300_is_one_graph() -> None:
    analysis = analysed("mi300_vllm_decode_graph")
    (launch,) = [r for r in analysis["launches"].api if "GraphLaunch" in r.name]
    assert launch.count == 1
    assert "97 %" in finding(analysis, "GRAPH001").claim


@needs_corpus
def test_no_saving_is_shown_where_the_replay_misses_the_measured_step() -> None:
    for name in ("a100_nccl_train", "h100_qwen", "mi300_resnet_train", "v100_ns_resolution"):
        combined = analysed(name).combined
        assert combined is not None
        assert (abs(combined.error_share) <= 0.05) == (combined.saving_ns is not None)


def _share_of_kernel_time(found: Finding) -> float:
    match = re.search(r"(\d+) % of the kernel time", found.claim)
    assert match
    return int(match[1]) / 100
