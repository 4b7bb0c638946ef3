"""What each step launches, whenever it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from linked import Linked

from traceanalyzer.analyzers import launch_order, per_step, run_analyzers, steps

if TYPE_CHECKING:
    import pytest


def late() -> Linked:
    """A kernel and a copy that the first step launches and the device runs in the second, on two devices."""
    b = Linked()
    for device in range(2):
        b.launch("early", 5, 10, 50, device=device)
        b.launch("late", 80, 110, 150, device=device)
        b.copy(
            "HtoD", 150, 170, "pinned", "device", device=device, api_call=b.call("cudaMemcpyAsync", 85, 88)
        )
    b.step(1, 0, 100)
    b.step(2, 100, 200)
    return b


def test_kernels_and_copies_count_in_the_step_that_launched_them() -> None:
    trace = late().trace()
    found = per_step.per_step(trace, run_analyzers(trace)[0]["steps"])
    assert found["kernels"]["late", None].ns.tolist() == [80_000, 0]
    (copies,) = found["copies"].values()
    assert copies.ns.tolist() == [40_000, 0]


def test_the_order_of_launches_is_found_once_for_each_device(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = late().trace()
    devices = []

    def counted(work: Any, trace: Any) -> Any:
        devices.append(work.device)
        return launch_order.launch_moments(work, trace)

    monkeypatch.setattr(steps, "launch_moments", counted)
    per_step.per_step(trace, run_analyzers(trace)[0]["steps"])
    assert devices == [0, 1]
