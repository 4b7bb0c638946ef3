"""Slow launch calls, over all devices."""

from __future__ import annotations

from linked import Linked

from traceanalyzer.analyzers.contention import Contention, ContentionAnalyzer


def launches(*lasting_us: tuple[int, ...]) -> Contention:
    """One device after the other, with a launch call for each of its durations."""
    b, now = Linked(), 0
    for device, calls in enumerate(lasting_us):
        for length in calls:
            call = b.call("cudaLaunchKernel", now, now + length)
            b.kernel("add", now + length, now + length + 1, device=device, api_call=call)
            now += length + 10
    return ContentionAnalyzer().analyze(b.trace(), {})


def test_the_slowest_launch_call_is_that_of_all_devices() -> None:
    found = launches((5, 60, 5), (5, 5, 90, 70))
    assert (found.launches, found.slow_launches, found.slowest) == (7, 3, 5)


def test_without_a_slow_launch_call_none_is_the_slowest() -> None:
    found = launches((5, 5), (5,))
    assert (found.slow_launches, found.slowest) == (0, None)
    assert launches().slowest is None
