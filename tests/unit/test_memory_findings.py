"""What the findings and the verdict on memory say: the same of the same, and nothing that the run has already."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from memory_situations import FREED, KV, START, one, stepping, steps
from snapshot_files import BASE, MIB, block, entry, frame, segment, snapshot

from traceanalyzer.pipeline import analyze

if TYPE_CHECKING:
    from traceanalyzer.pipeline import Analysis

MAIN = frame("/app/train.py", 5, "main")


def keeping(*lines: dict[str, Any]) -> Analysis:
    """Each step keeps 4 MiB of each line."""
    trace, blocks, where = [entry("segment_alloc", BASE, 400 * MIB, START)], [], BASE
    for i in range(6):
        for j, line in enumerate(lines):
            stack = [line, MAIN]
            trace.append(entry("alloc", where, 4 * MIB, START + i * 100 + 10 + j, stack))
            blocks.append(block(where, 4 * MIB, 4 * MIB, frames=stack))
            where += 4 * MIB
    blocks.append(block(where, BASE + 400 * MIB - where, 0, "inactive"))
    return analyze(one(snapshot([segment(BASE, blocks)], trace, steps(6))).trace())


def claim(analysis: Analysis, code: str) -> str:
    (found,) = [f for f in analysis.findings if f.code == code]
    return str(found.claim)


def test_the_verdict_and_the_finding_say_the_same_of_what_is_left_behind() -> None:
    analysis = keeping(frame("/app/a.py", 10, "f"), frame("/app/a.py", 11, "f"))
    left = "/app/train.py:5 leaves 8.00 MiB behind in every step"
    assert left in claim(analysis, "MEM002")
    assert analysis.verdict.headline.endswith(f"; {left}")


def test_a_leak_of_compiled_code_is_by_an_unknown_line() -> None:
    analysis = analyze(stepping(frame("foo.cpp", 3, "at::empty"), kept=True).trace())
    assert analysis.verdict.headline.endswith("; an unknown line leaves 2.00 MiB behind in every step")
    (found,) = [f for f in analysis.findings if f.code == "MEM002"]
    assert "None" not in " ".join([found.claim, *(evidence.text for evidence in found.evidence)])


def test_the_verdict_on_a_growing_cache_does_not_say_that_it_is_left_behind() -> None:
    verdict = analyze(stepping(KV, kept=True).trace()).verdict
    assert verdict.headline.endswith("; the KV cache grows by 2.00 MiB per step")


def mapping(*, emptied: bool = False) -> Analysis:
    """Each step maps 20 MiB more for a block that comes and goes, and gives them back or not."""
    trace, where = [], BASE
    for i in range(7):
        at = START + i * 100
        trace += [entry(a, where, 20 * MIB, at + 10, [MAIN]) for a in ("segment_map", "alloc", *FREED)]
        trace += [entry("segment_unmap", where, 20 * MIB, at + 20, [MAIN])] if emptied else []
        where += 20 * MIB
    kept = [] if emptied else [segment(BASE, [block(BASE, 140 * MIB, 0, "inactive")], is_expandable=True)]
    chosen = "expandable_segments:True"
    return analyze(one(snapshot(kept, trace, steps(7), PYTORCH_CUDA_ALLOC_CONF=chosen)).trace())


def test_expandable_segments_that_grow_do_not_thrash() -> None:
    assert "MEM005" not in {f.code for f in mapping().findings}


def test_mappings_are_no_calls_of_malloc() -> None:
    (found,) = [f for f in mapping(emptied=True).findings if f.code == "MEM005"]
    told = " ".join(evidence.text for evidence in found.evidence)
    assert "cudaMalloc" not in told
    assert "6 retries after the driver refused memory" in told
    assert "grew 7 times and shrank 7 times" in told


@pytest.mark.parametrize(("code", "emptied"), [("MEM005", True), ("MEM006", False), ("MEM010", False)])
def test_expandable_segments_are_not_advised_to_a_run_that_has_them(code: str, emptied: bool) -> None:
    (found,) = [f for f in mapping(emptied=emptied).findings if f.code == code]
    assert "expandable" not in str(found.fix)
    assert "make sizes repeat" in str(found.fix).lower()
