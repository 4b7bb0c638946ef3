"""No fusion saves more than its kernels take; the limits of a run add up to its wall time; phases divide the work."""

from __future__ import annotations

from typing import Any

from compute_situations import FAST, STREAM, Computing
from hypothesis import given, settings
from hypothesis import strategies as st

from traceanalyzer.analyzers import run_analyzers

KERNEL = st.tuples(
    st.sampled_from(
        [("aten::sigmoid", STREAM), ("aten::add", STREAM), ("aten::mm", FAST), ("op", "rms_norm_kernel")]
    ),
    st.integers(1, 500),
    st.integers(4, 13),
    st.integers(0, 50),
)


def analysed(kernels: list[Any]) -> tuple[Any, dict[str, Any]]:
    b = Computing()
    for (op, name), runs, size, gap in kernels:
        b.now += gap
        shape = [1 << size, 1 << size]
        b.work(op, name, runs, *([shape] if op == "aten::sigmoid" else [shape, shape]))
    trace = b.done().trace()
    return trace, run_analyzers(trace)[0]


@settings(max_examples=40)
@given(st.lists(KERNEL, min_size=1, max_size=20))
def test_whatever_ran(kernels: list[Any]) -> None:
    _, results = analysed(kernels)
    for row in results["fusion"].rows:
        assert len(row.kernels) >= 2
        if row.saving_ns:
            assert 0 <= row.saving_ns[0] <= row.saving_ns[1] < row.total_ns
            assert row.bytes[0] <= row.bytes[1]
    run = results["limits"].run.limit
    wall = sum(device.whole.wall_ns for device in results["breakdown"].devices)
    assert abs(sum(run.by_bound.values()) - wall) <= len(run.by_bound)
    assert sum(row.limit.total_ns for row in results["limits"].ops) == results["kernels"].total_ns
    coverage = results["roofline"].coverage
    guessed = coverage.name_only + coverage.blocks_only + coverage.unknown
    assert coverage.cost + coverage.communication + guessed > 0.999
