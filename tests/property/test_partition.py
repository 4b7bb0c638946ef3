"""The partition of a device's time: its parts sum to the window, whatever the rows are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from linked import US, Linked

from traceanalyzer.analyzers.breakdown import BreakdownAnalyzer
from traceanalyzer.analyzers.steps import StepsAnalyzer

if TYPE_CHECKING:
    from traceanalyzer.analyzers.results import Breakdown, Partition

KINDS = ("gemm", "ncclDevKernel_AllReduce_Sum_f32_RING_LL", "copy")
# (kind, start, duration, device, launch lead or None)
ROWS = st.lists(
    st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 200),
        st.integers(0, 30),
        st.integers(0, 1),
        st.none() | st.integers(0, 40),
    ),
    min_size=1,
    max_size=15,
)
STEPS = st.lists(st.integers(1, 80), max_size=4)


def analyzed(rows: list[tuple[str, int, int, int, int | None]], steps: list[int]) -> Breakdown:
    b = Linked()
    start = 0
    for number, length in enumerate(steps):
        b.step(number, start, start + length)
        start += length + number
    for kind, at, duration, device, lead in rows:
        call = None if lead is None else b.call("cudaLaunchKernel", max(0, at - lead), max(0, at - lead) + 3)
        columns = {"device": device, "api_call": call, "stream": at % 3}
        if kind == "copy":
            b.copy("HtoD", at, at + duration, "pageable", "device", **columns)
        else:
            b.kernel(kind, at, at + duration, **columns)
    trace = b.trace()
    return BreakdownAnalyzer().analyze(trace, {"steps": StepsAnalyzer().analyze(trace, {})})


def labels(p: Partition) -> tuple[int, int, int, int]:
    return (p.compute_ns, p.exposed_communication_ns, p.exposed_copy_ns, p.idle_ns)


@settings(max_examples=60)
@given(ROWS, STEPS)
def test_every_ns_has_exactly_one_label(
    rows: list[tuple[str, int, int, int, int | None]], steps: list[int]
) -> None:
    for device in analyzed(rows, steps).devices:
        low = device.window_start_ns // US
        high = low + device.whole.wall_ns // US
        expected = dict.fromkeys(("gemm", KINDS[1], "copy", "idle"), 0)
        for t in range(low, high):
            running = {k for k, at, d, dev, _ in rows if dev == device.device and at <= t < at + d}
            expected[next((k for k in KINDS if k in running), "idle")] += US
        assert labels(device.whole) == tuple(expected.values())


@settings(max_examples=60)
@given(ROWS, STEPS)
def test_parts_sum_to_the_whole(rows: list[tuple[str, int, int, int, int | None]], steps: list[int]) -> None:
    for device in analyzed(rows, steps).devices:
        for partition in (device.whole, *device.steps):
            assert sum(labels(partition)) == partition.wall_ns
        before = device.whole.wall_ns - sum(p.wall_ns for p in device.steps)
        missing = [
            whole - sum(steps)
            for whole, *steps in zip(*map(labels, (device.whole, *device.steps)), strict=True)
        ]
        assert min(missing) >= 0
        assert sum(missing) == before, (
            "what the device still did of earlier steps is in the window and in no step"
        )
        assert sum(c.total_ns for c in device.idle_causes) == device.whole.idle_ns


@settings(max_examples=30)
@given(ROWS.flatmap(lambda r: st.tuples(st.just(r), st.permutations(r))), STEPS)
def test_the_order_of_events_is_irrelevant(both: tuple[list, list], steps: list[int]) -> None:
    first, second = (analyzed(rows, steps) for rows in both)
    assert [d.whole for d in first.devices] == [d.whole for d in second.devices]
    assert [d.steps for d in first.devices] == [d.steps for d in second.devices]
