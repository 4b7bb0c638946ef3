"""From a trace to numbers: one module per question, run in the order of `ANALYZERS`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from traceanalyzer.analyzers.base import Analyzer
from traceanalyzer.analyzers.breakdown import BreakdownAnalyzer
from traceanalyzer.analyzers.collectives import CollectivesAnalyzer
from traceanalyzer.analyzers.contention import ContentionAnalyzer
from traceanalyzer.analyzers.copies import CopiesAnalyzer
from traceanalyzer.analyzers.fusion import FusionAnalyzer
from traceanalyzer.analyzers.grids import GridsAnalyzer
from traceanalyzer.analyzers.host_communication import HostCommunicationAnalyzer
from traceanalyzer.analyzers.host_stacks import HostStacksAnalyzer
from traceanalyzer.analyzers.host_time import HostTimeAnalyzer
from traceanalyzer.analyzers.kernel_metrics import KernelMetricsAnalyzer
from traceanalyzer.analyzers.kernels import KernelsAnalyzer
from traceanalyzer.analyzers.launches import LaunchesAnalyzer
from traceanalyzer.analyzers.limits import LimitsAnalyzer
from traceanalyzer.analyzers.mapped import MappedAnalyzer
from traceanalyzer.analyzers.memory import MemoryAnalyzer
from traceanalyzer.analyzers.modules import ModulesAnalyzer
from traceanalyzer.analyzers.nsys.rules import NsysRulesAnalyzer
from traceanalyzer.analyzers.ops import OpsAnalyzer
from traceanalyzer.analyzers.overlap import OverlapAnalyzer
from traceanalyzer.analyzers.peers import PeersAnalyzer
from traceanalyzer.analyzers.phases import PhasesAnalyzer
from traceanalyzer.analyzers.python_stacks import PythonStacksAnalyzer
from traceanalyzer.analyzers.ranges import RangesAnalyzer
from traceanalyzer.analyzers.recorded import RecordedAnalyzer
from traceanalyzer.analyzers.repeats import RepeatsAnalyzer
from traceanalyzer.analyzers.roofline import RooflineAnalyzer
from traceanalyzer.analyzers.snapshot.oom import OomAnalyzer
from traceanalyzer.analyzers.snapshot.state import SnapshotAnalyzer
from traceanalyzer.analyzers.steps import StepsAnalyzer
from traceanalyzer.analyzers.streams import StreamsAnalyzer
from traceanalyzer.analyzers.waits import WaitsAnalyzer
from traceanalyzer.errors import UsageError
from traceanalyzer.model.trace import HOW_TO_CAPTURE
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from traceanalyzer.hardware import Choice
    from traceanalyzer.model.trace import Trace

ENTRY_POINTS = "traceanalyzer.analyzers"

# Each one may use the results of those above it.
ANALYZERS: tuple[Analyzer, ...] = (
    StepsAnalyzer(),
    BreakdownAnalyzer(),
    RooflineAnalyzer(),
    KernelMetricsAnalyzer(),
    KernelsAnalyzer(),
    OpsAnalyzer(),
    ModulesAnalyzer(),
    PythonStacksAnalyzer(),
    HostStacksAnalyzer(),
    CopiesAnalyzer(),
    MappedAnalyzer(),
    LimitsAnalyzer(),
    PhasesAnalyzer(),
    FusionAnalyzer(),
    RepeatsAnalyzer(),
    OverlapAnalyzer(),
    CollectivesAnalyzer(),
    LaunchesAnalyzer(),
    WaitsAnalyzer(),
    ContentionAnalyzer(),
    RangesAnalyzer(),
    HostTimeAnalyzer(),
    HostCommunicationAnalyzer(),
    RecordedAnalyzer(),
    GridsAnalyzer(),
    StreamsAnalyzer(),
    PeersAnalyzer(),
    NsysRulesAnalyzer(),
    SnapshotAnalyzer(),
    OomAnalyzer(),
    MemoryAnalyzer(),
)


def run_analyzers(
    trace: Trace, *, step: str | None = None, hardware: Choice | None = None
) -> tuple[dict[str, Any], tuple[Text, ...]]:
    """Every result by the name of its analyzer, and what went wrong with third parties' analyzers.

    Args:
        trace: a linked trace.
        step: name, glob or regular expression of the annotations that count as steps.
        hardware: the GPU and the peaks that win over what the trace and the table say.

    Raises:
        UsageError: the sources are not of one run, `step` matches no annotation, or `hardware` names a GPU that is
            not known.
    """
    if trace.unrelated:
        raise UsageError(trace.unrelated)
    results: dict[str, Any] = {}
    told: dict[str, Analyzer] = {a.name: a for a in (StepsAnalyzer(step), RooflineAnalyzer(hardware))}
    for analyzer in (told.get(a.name, a) for a in ANALYZERS):
        if analyzer.requires <= trace.capabilities:
            results[analyzer.name] = analyzer.analyze(trace, MappingProxyType(results))
    plugins, warnings = load_plugins(ENTRY_POINTS)
    return results, (*warnings, *_run_plugins(plugins, trace, results))


def load_plugins(group: str) -> tuple[list[Any], list[Text]]:
    """What third parties offer under an entry-point group; the second part says what could not be loaded."""
    loaded, warnings = [], []
    for point in sorted(entry_points(group=group), key=lambda p: (p.name, p.value)):
        try:
            offered = point.load()
            loaded.append(offered() if isinstance(offered, type) else offered)
        except Exception as error:
            warnings.append(
                say(
                    "plugin {name} ({value}) could not be loaded: {error}",
                    name=point.name,
                    value=point.value,
                    error=_said(error),
                )
            )
    return loaded, warnings


def called(plugin: Any, attribute: str) -> str:
    """What a plugin that failed calls itself; the name of its class where it does not say so."""
    try:
        return str(getattr(plugin, attribute))
    except Exception:
        return type(plugin).__name__


def _run_plugins(plugins: Sequence[Any], trace: Trace, results: dict[str, Any]) -> list[Text]:
    warnings = []
    for plugin in plugins:
        try:
            name = str(plugin.name)
            missing = sorted(plugin.requires - trace.capabilities)
            if name in results:
                taken = say(
                    "analyzer plugin {name} was not run: there is a result of that name already", name=name
                )
                warnings.append(taken)
            elif missing:
                needs = join("; ", [HOW_TO_CAPTURE[capability] for capability in missing])
                warnings.append(say("analyzer plugin {name} was not run: {needs}", name=name, needs=needs))
            else:
                results[name] = plugin.analyze(trace, MappingProxyType(results))
        except Exception as error:
            name, why = called(plugin, "name"), _said(error)
            warnings.append(say("analyzer plugin {name} failed: {error}", name=name, error=why))
    return warnings


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


__all__ = ["ANALYZERS", "ENTRY_POINTS", "Analyzer", "Mapping", "called", "load_plugins", "run_analyzers"]
