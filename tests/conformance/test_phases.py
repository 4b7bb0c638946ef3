"""Phases and mapping on real traces: what was running is known from their names and their code."""

from __future__ import annotations

from dataclasses import replace

import pytest

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.model.mapping import attribute

from .corpus import load, needs_corpus, results


@needs_corpus
@pytest.mark.parametrize(
    ("trace", "phase"), [("b200_vllm_prefill", "prefill"), ("mi300_vllm_decode_graph", "decode")]
)
def test_batches_of_vllm(trace: str, phase: str) -> None:
    phases = results(trace)["phases"]
    assert phases.kind == "inference"
    assert [row.phase for row in phases.rows if row.share > 0.01] == [phase]


@needs_corpus
def test_checkpointed_training_recomputes_and_plain_training_does_not() -> None:
    """The frames of mi300_resnet_train show torch/utils/checkpoint.py; those of the others do not."""
    assert 0.02 < results("mi300_resnet_train")["phases"].recompute_share < 0.2
    for trace in ("a100_nccl_train", "v100_ns_resolution"):
        assert results(trace)["phases"].recompute_share == 0


@needs_corpus
@pytest.mark.parametrize("trace", ["a100_nccl_train", "v100_ns_resolution", "mi300_resnet_train"])
def test_training_is_split_without_a_rest(trace: str) -> None:
    phases = results(trace)["phases"]
    known = {row.phase: row.share for row in phases.rows}
    assert known["backward"] > known["forward"] > known["optimizer"] > 0


@needs_corpus
def test_decoding_in_a_graph_is_told_by_name_to_be_limited_by_memory() -> None:
    run = results("mi300_vllm_decode_graph")["limits"].run.limit
    assert (run.bound, run.confidence) == ("memory_bandwidth", "low")


@needs_corpus
def test_a_trace_mapped_on_another_program_takes_only_kernels_of_the_same_name() -> None:
    """The graph's few kernels that PyTorch itself made are found; those of vLLM are not, and stay in the graph."""
    first, second = load("mi300_vllm_decode_graph"), load("mi300_resnet_train")
    mapped = replace(first, mapping=attribute(first, second))
    found = run_analyzers(mapped)[0]["mapping"]
    assert found.none > 0.9
    assert not [row for row in found.rows if row.how != "none" and "vllm" in row.kernel]
