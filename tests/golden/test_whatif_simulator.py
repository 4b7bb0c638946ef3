"""What-if against the truth: the simulator runs each program again with the change made.

The replay of the first run must come to the same step. A simulated call draws its duration anew once the program
differs before it, so two runs of the same program differ by up to 2 %; where the change leaves the draws alone the
answer must be exact to 0.01 %.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from fixtures.simulator import cuda, workloads
from fixtures.simulator.distributed import Communicator
from fixtures.simulator.host import Host
from fixtures.simulator.kineto import chrome_trace
from fixtures.simulator.torch_like import Tensor, Torch
from traceanalyzer import load
from traceanalyzer.analyzers.replay.whatif import WhatIf, what_if
from traceanalyzer.analyzers.steps import StepsAnalyzer

if TYPE_CHECKING:
    from pathlib import Path

    from fixtures.simulator.kernels import Kernel
    from traceanalyzer.analyzers.results import Steps
    from traceanalyzer.model.trace import Trace

STEPS = 4
REDRAWN = 0.02
EXACT = 0.0001
Patches = tuple[tuple[Any, str, Any], ...]


def _nothing(*_: Any, **__: Any) -> None:
    return None


_to_device, _adamw, _run = Torch.to_device, Torch.adamw, Torch.run
_collect, _recompile = workloads.collect_garbage, workloads.recompile


def _pinned(self: Torch, x: Tensor, *, pinned: bool) -> None:
    _to_device(self, x, pinned=True)


def _fused(self: Torch, sizes: list[int], how: str) -> None:
    _adamw(self, sizes, "fused")


def _twice_as_fast(self: Torch, name: str, kernel: Kernel, *inputs: Any, **options: Any) -> None:
    if name in ("aten::addmm", "aten::mm"):
        kernel = replace(kernel, mean_ns=kernel.mean_ns / 2)
    _run(self, name, kernel, *inputs, **options)


NO_ITEM: Patches = ((Torch, "item", _nothing),)
NO_BATCH: Patches = ((workloads, "next_batch", _nothing),)
FUSED: Patches = ((Torch, "adamw", _fused),)
PINNED_SPEEDUP = cuda.PINNED_GB_PER_S / cuda.PAGEABLE_GB_PER_S


@dataclass(frozen=True)
class Case:
    """A workload, the question asked of its trace, and what is done to the program to get the true answer."""

    workload: str
    truth: Patches
    remove: tuple[str, ...] = ()
    speedup: tuple[tuple[str, float], ...] = ()
    within: float = REDRAWN

    def __str__(self) -> str:
        return "-".join((self.workload, *self.remove, *(name for name, _ in self.speedup)))


# the pause is skipped but its draw is made, so that nothing else changes
NO_GC: Patches = ((workloads, "collect_garbage", lambda host, _us: _collect(host, 0.0)),)
NO_COMPILE: Patches = ((workloads, "recompile", lambda host, _us: _recompile(host, 0.0)),)
FREE_HOST: Patches = ((Host, "jitter", lambda _self, _mean_us, _spread=0.15: 1),)
CASES = (
    Case("sync_loop", NO_ITEM, ("SYNC001",)),
    Case("sync_loop", NO_ITEM, ("aten::item",), within=0.03),  # the Python frame around the op stays
    Case("gemm_bound", NO_ITEM, ("SYNC001",)),
    Case("bandwidth_bound", NO_ITEM, ("SYNC001",)),
    Case("multi_stream", NO_ITEM, ("SYNC001",)),
    Case("training_mixed", NO_ITEM, ("SYNC001",)),
    Case("dataloader_stall", NO_BATCH, ("INPUT001",)),
    Case("training_mixed", NO_BATCH, ("INPUT001",)),
    Case("pageable_copies", ((Torch, "to_device", _pinned),), ("COPY001",), (("Memcpy HtoD*", PINNED_SPEEDUP),)),
    Case("launch_bound", FREE_HOST, ("IDLE001",)),
    Case("launch_bound", FUSED, ("OPT001",)),
    Case("training_mixed", FUSED, ("OPT001",)),
    Case("training_mixed", (*NO_ITEM, *NO_BATCH, *FUSED), ("SYNC001", "INPUT001", "OPT001"), within=0.03),
    Case("exposed_allreduce", ((Communicator, "wait", _nothing),), ("COMM001",)),
    Case("overlapped_allreduce", ((Communicator, "wait", _nothing),), ("COMM001",)),
    Case("host_pauses", NO_GC, ("GC001",), within=EXACT),
    Case("host_pauses", NO_COMPILE, ("COMPILE001",), within=EXACT),
    Case("gemm_bound", ((Torch, "run", _twice_as_fast),), (), (("aten::*mm", 2.0),), within=EXACT),
    Case("training_mixed", ((Torch, "run", _twice_as_fast),), (), (("aten::*mm", 2.0),), within=EXACT),
)  # fmt: skip


def recorded(workload: str, folder: Path) -> tuple[Trace, Steps]:
    """Simulate a workload and read its trace."""
    (machine,) = getattr(workloads, workload)(STEPS)
    path = folder / f"{workload}.json"
    path.write_text(chrome_trace(machine, workload))
    trace = load(path)
    return trace, StepsAnalyzer().analyze(trace, {})


def asked(case: Case, folder: Path) -> WhatIf:
    trace, steps = recorded(case.workload, folder)
    return what_if(trace, steps, case.remove, case.speedup)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_new_step_is_that_of_the_changed_program(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = asked(case, tmp_path)
    for owner, name, instead in case.truth:
        monkeypatch.setattr(owner, name, instead)
    _, steps = recorded(case.workload, tmp_path)
    truth_ns = (steps.steps[-1].end_ns - steps.steps[0].start_ns) / len(steps.steps)
    assert result.together is not None
    best_ns = result.together.step_ns[0]
    assert best_ns == pytest.approx(truth_ns, rel=case.within)


@pytest.mark.parametrize("workload", sorted({case.workload for case in CASES} | {"cuda_graph"}))
def test_unchanged_it_takes_as_long_as_measured(workload: str, tmp_path: Path) -> None:
    result = asked(Case(workload, ()), tmp_path)
    assert result.distrust is None
    assert abs(result.error_share) < EXACT
    assert sum(result.path.values()) == pytest.approx(result.measured_ns, rel=1e-5)
