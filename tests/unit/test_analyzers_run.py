"""Running the analyzers: order, step option, third parties."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

from linked import Linked

from traceanalyzer import analyzers
from traceanalyzer.analyzers import ANALYZERS, run_analyzers
from traceanalyzer.languages import speaking, spoken
from traceanalyzer.model.trace import Capability

if TYPE_CHECKING:
    import pytest


def offer(monkeypatch: pytest.MonkeyPatch, *plugins: Any) -> None:
    points = []
    for i, plugin in enumerate(plugins):
        point = EntryPoint(f"p{i}", "somewhere:thing", "traceanalyzer.analyzers")
        vars(point)["load"] = (
            plugin if callable(plugin) and not isinstance(plugin, type) else lambda p=plugin: p
        )
        points.append(point)
    monkeypatch.setattr(analyzers, "entry_points", lambda group: points)


@dataclass(frozen=True)
class KernelCounter:
    name: str = "kernel_counter"
    requires: frozenset[Capability] = frozenset()

    def analyze(self, trace: Any, results: Any) -> int:
        return trace.kernels.num_rows + len(results["steps"].steps)


def small() -> Linked:
    b = Linked()
    b.step(1, 0, 10)
    b.annotation("my step", 2, 8)
    b.launch("k", called=1, start=3, end=5)
    return b


def test_every_builtin_has_a_result_even_on_an_empty_trace() -> None:
    results, warnings = run_analyzers(Linked().trace(set()))
    assert {a.name for a in ANALYZERS if not a.requires} <= set(results)
    assert warnings == ()


def test_names_are_unique() -> None:
    assert len({a.name for a in ANALYZERS}) == len(ANALYZERS)


def test_the_step_option_reaches_the_steps() -> None:
    results, _ = run_analyzers(small().trace(), step="my step")
    assert results["steps"].kind == "annotation"


def test_a_plugin_runs_after_the_builtins_and_sees_their_results(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, KernelCounter)
    results, warnings = run_analyzers(small().trace())
    assert (results["kernel_counter"], warnings) == (2, ())


def test_a_broken_plugin_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise ImportError("no module named x")

    @dataclass(frozen=True)
    class Failing(KernelCounter):
        name: str = "failing"

        def analyze(self, trace: Any, results: Any) -> int:
            raise KeyError("gone")

    offer(monkeypatch, missing, Failing)
    results, warnings = run_analyzers(small().trace())
    assert "steps" in results
    assert "failing" not in results
    with speaking("zh"):
        assert [spoken(w)[:6] for w in warnings] == ["无法加载插件", "分析插件 f"]
    assert [("could not be loaded" in w, "failing failed: KeyError" in w) for w in warnings] == [
        (True, False),
        (False, True),
    ]


def test_a_plugin_cannot_replace_a_result_and_is_not_run_without_its_inputs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(monkeypatch, KernelCounter("steps"), KernelCounter("needy", frozenset({Capability.MEMORY})))
    results, warnings = run_analyzers(small().trace(set()))
    assert results["steps"].kind == "profiler_step"
    assert "already" in warnings[0]
    assert "profile_memory=True" in warnings[1]
