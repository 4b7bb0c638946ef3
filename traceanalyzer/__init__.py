"""Says what limits a PyTorch or GPU run, where, what to change and what that would save.

import traceanalyzer as ta
trace = ta.load("run.json")
analysis = ta.analyze(trace)
analysis.verdict, analysis.findings, analysis["breakdown"]
ta.report(analysis, "run.html")
"""

from __future__ import annotations

from traceanalyzer.version import __version__

__all__ = ["Analysis", "Trace", "__version__", "analyze", "compare", "load", "report"]

TYPE_CHECKING = False  # that of `typing` takes a third of the time until the command line answers Ctrl+C
if TYPE_CHECKING:
    from traceanalyzer.model.trace import Trace
    from traceanalyzer.pipeline import analyze, load, report
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.comparison import compare

_HOMES = {
    "Analysis": "traceanalyzer.rules.analysis",
    "Trace": "traceanalyzer.model.trace",
    "analyze": "traceanalyzer.pipeline",
    "compare": "traceanalyzer.rules.comparison",
    "load": "traceanalyzer.pipeline",
    "report": "traceanalyzer.pipeline",
}


def __getattr__(name: str) -> object:
    """Import on first use, so that `import traceanalyzer` costs nothing."""
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
