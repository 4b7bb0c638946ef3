"""NVIDIA's rule recomputed from the percentages, against the text that ncu itself wrote beside them."""

from __future__ import annotations

import pytest

from traceanalyzer.analyzers.kernel_metrics import KernelMetrics, KernelMetricsAnalyzer
from traceanalyzer.pipeline import load

from .corpus import CORPUS, NO_CACHE, needs_corpus

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
