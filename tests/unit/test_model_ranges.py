"""NVTX ranges as the module tree of a recording without Python frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from linked import Linked

from traceanalyzer.analyzers.modules import ModulesAnalyzer
from traceanalyzer.model.capabilities import capabilities_of
from traceanalyzer.model.link import link
from traceanalyzer.model.trace import Capability

if TYPE_CHECKING:
    from traceanalyzer.analyzers.results import Modules


def pushed(b: Linked, name: str, start: float, end: float, **columns: object) -> None:
    b.annotation(name, start, end, **{"style": "push_pop", "on_gpu": False, **columns})


def launched(b: Linked, called: float, start: float, end: float) -> None:
    b.call("cudaLaunchKernel", called, called + 2, correlation=int(called))
    b.kernel("k", start, end, correlation=int(called))


def a_loop() -> Linked:
    """Two iterations with two layers each, and a range of NCCL within."""
    b = Linked()
    for i in (0, 1):
        at = 1000 * i
        pushed(b, f"iteration {i}", at + 10, at + 500)
        pushed(b, "layer_0", at + 20, at + 200)
        pushed(b, "layer_1", at + 200, at + 400)
        pushed(b, "ncclAllReduce", at + 210, at + 220, domain="NCCL")
        launched(b, at + 30, at + 40, at + 140)
        launched(b, at + 215, at + 220, at + 270)
        launched(b, at + 450, at + 460, at + 467)
    launched(b, 5000, 5010, 5020)
    return b


def modules(b: Linked) -> Modules:
    return ModulesAnalyzer().analyze(link(b.trace()), {})


def test_ranges_are_the_tree_and_iterations_are_one() -> None:
    found = modules(a_loop())
    assert found.source == "annotations"
    assert [(m.path, m.calls, m.host_ns, m.device_ns, m.self_device_ns) for m in found.rows] == [
        ("iteration", 2, 980_000, 314_000, 14_000),
        ("iteration/layer_0", 2, 360_000, 200_000, 200_000),
        ("iteration/layer_1", 2, 400_000, 100_000, 100_000),
    ]
    assert found.unattributed_device_ns == 10_000


def test_frames_of_modules_win_over_ranges() -> None:
    b = a_loop()
    b.host("python_calls", "nn.Module: Net_0", 0, 2000)
    found = modules(b)
    assert found.source == "nn_module"
    assert [m.path for m in found.rows] == ["Net_0"]


def test_a_slash_in_a_name_makes_no_second_module() -> None:
    b = Linked()
    pushed(b, "a/b", 0, 100)
    launched(b, 10, 20, 30)
    assert [m.depth for m in modules(b).rows] == [0]


def test_what_was_not_pushed_and_popped_is_no_module() -> None:
    b = Linked()
    pushed(b, "across threads", 0, 100, style="start_end")
    b.annotation("record_function", 0, 100, domain="user_annotation")
    trace = b.trace()
    assert modules(b).rows == ()
    assert Capability.MODULES not in capabilities_of(trace.tables)
    pushed(b, "forward", 0, 100)
    assert Capability.MODULES in capabilities_of(b.trace().tables)


def test_a_number_that_never_comes_again_only_counts() -> None:
    b = Linked()
    for i in range(5):
        at = 1000 * i
        pushed(b, "Step", at + 10, at + 900)
        pushed(b, f"Compute {10 * i}", at + 20, at + 300)
        pushed(b, f"IO_{10 * i}", at + 300, at + 600)
    pushed(b, "run 1", 6000, 6010)
    assert {r.path for r in modules(b).rows} == {"Step", "Step/Compute", "Step/IO", "run 1"}


def test_layers_of_one_pass_stay_apart() -> None:
    b = Linked()
    pushed(b, "forward", 0, 1000)
    for i in range(6):
        pushed(b, f"layer {i}", 100 * i + 10, 100 * i + 90)
    assert {r.path for r in modules(b).rows} == {"forward", *(f"forward/layer {i}" for i in range(6))}
