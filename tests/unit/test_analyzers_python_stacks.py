"""Python call paths: equal paths are one node, and device time counts for the frame that launched it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linked import Linked

from traceanalyzer.analyzers import python_stacks
from traceanalyzer.analyzers.python_stacks import PythonStacksAnalyzer
from traceanalyzer.model.link import link

if TYPE_CHECKING:
    import pytest

    from traceanalyzer.analyzers.results import PythonStacks


def two_calls() -> Linked:
    """main calls step twice, step calls norm; each launches one kernel, and one launch is outside of Python."""
    b = Linked()
    b.host("python_calls", "a.py(1): main", 0, 1000)
    for at in (100, 500):
        b.host("python_calls", "a.py(5): step", at, at + 200)
        b.host("python_calls", "b.py(7): norm", at + 50, at + 100)
        for call, start, end in ((at + 10, at + 20, at + 50), (at + 60, at + 70, at + 80)):
            number = call * 10
            b.call("cudaLaunchKernel", call, call + 2, correlation=number)
            b.kernel("k", start, end, correlation=number)
    b.call("cudaLaunchKernel", 1200, 1202, correlation=1)
    b.kernel("k", 1210, 1217, correlation=1)
    return b


def analyzed(b: Linked) -> PythonStacks:
    return PythonStacksAnalyzer().analyze(link(b.trace()), {})


def test_equal_paths_are_one_node_with_the_time_of_all_calls() -> None:
    found = analyzed(two_calls())
    assert [(n.parent, n.depth, n.name, n.host_ns, n.device_ns) for n in found.nodes] == [
        (-1, 0, "a.py(1): main", 1_000_000, 80_000),
        (0, 1, "a.py(5): step", 400_000, 80_000),
        (1, 2, "b.py(7): norm", 100_000, 20_000),
    ]


def test_launches_outside_of_python_are_counted_apart() -> None:
    assert analyzed(two_calls()).unattributed_device_ns == 7_000


def test_the_smallest_nodes_are_left_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python_stacks, "MAX_NODES", 2)
    found = analyzed(two_calls())
    assert [n.name for n in found.nodes] == ["a.py(1): main", "a.py(5): step"]
    assert found.left_out == 1


def test_the_same_function_on_two_paths_is_two_nodes() -> None:
    b = two_calls()
    b.host("python_calls", "b.py(7): norm", 900, 950)
    names = [(n.depth, n.name) for n in analyzed(b).nodes]
    assert names.count((1, "b.py(7): norm")) == names.count((2, "b.py(7): norm")) == 1
