"""NVIDIA's rule recomputed from the percentages, against the text that ncu itself wrote beside them."""

from __future__ import annotations

import pytest

from traceanalyzer.analyzers.kernel_metrics import KernelMetrics, KernelMetricsAnalyzer
from traceanalyzer.ingest.ncu import report
from traceanalyzer.pipeline import load

from .corpus import CORPUS, NO_CACHE, needs_corpus

needs_module = pytest.mark.skipif(
    not report.available(), reason="NO NCU_REPORT: .ncu-rep is not tested; install traceanalyzer[ncu]"
)
RTX = CORPUS / "oracles" / "ncu" / "rtx3070_manual_nvtx"
PAGES = (
    (CORPUS / "ncu" / "t4_copy_blocked_details.csv", 1),
    (RTX.with_name(f"{RTX.name}.details.2022.3.csv"), 3),
    (RTX.with_name(f"{RTX.name}.details.2024.2.csv"), 3),
)


def profiled(path: object) -> KernelMetrics:
    return KernelMetricsAnalyzer().analyze(load(str(path), options=NO_CACHE), {})


@needs_corpus
@pytest.mark.parametrize(("page", "count"), PAGES, ids=lambda p: getattr(p, "name", str(p)))
def test_our_label_is_ncus_on_every_kernel(page: object, count: int) -> None:
    launches = profiled(page).launches
    assert len(launches) == count
    assert all(p.said for p in launches)
    assert [p.agrees for p in launches] == [True] * count


@needs_corpus
def test_all_pages_of_a_report_say_the_same() -> None:
    pages = ("details.2022.3", "details.2024.2", "raw.2024.2")
    old, new, raw = (profiled(RTX.with_name(f"{RTX.name}.{page}.csv")).launches for page in pages)
    for a, b, c in zip(old, new, raw, strict=True):
        assert a.name == b.name == c.name
        assert a.label == b.label == c.label
        assert c.memory_percent is not None
        assert a.memory_percent == b.memory_percent == round(c.memory_percent, 2)
        assert c.duration_ns is not None
        assert b.duration_ns is not None
        assert abs(b.duration_ns - c.duration_ns) <= 5  # two decimals of µs


@needs_corpus
@needs_module
def test_the_report_file_says_what_its_pages_say() -> None:
    own = profiled(CORPUS / "ncu" / "rtx3070_manual_nvtx.ncu-rep").launches
    raw = profiled(RTX.with_name(f"{RTX.name}.raw.2024.2.csv")).launches
    assert [(p.name, p.label) for p in own] == [(p.name, p.label) for p in raw]
    assert [p.agrees for p in own] == [True] * 3
    for ours, theirs in zip(own, raw, strict=True):
        assert ours.compute_percent == pytest.approx(theirs.compute_percent, abs=0.01)
        assert ours.memory_percent == pytest.approx(theirs.memory_percent, abs=0.01)


@needs_corpus
@needs_module
def test_profiled_launches_are_found_in_the_nsys_recording_of_the_same_program() -> None:
    both = load(
        str(CORPUS / "nsys" / "a100_exgpu_2021.sqlite"),
        str(CORPUS / "ncu" / "a100_exgpu.ncu-rep"),
        options=NO_CACHE,
    )
    launches = KernelMetricsAnalyzer().analyze(both, {}).launches
    assert [p.match for p in launches] == ["matched"] * len(launches)
    assert len({p.kernel for p in launches}) == len(launches) == both.kernels.num_rows
