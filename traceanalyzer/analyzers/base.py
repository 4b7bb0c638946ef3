"""What an analyzer is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.model.trace import Capability, Trace


class Analyzer(Protocol):
    """A pure function from a trace, and what earlier analyzers made of it, to numbers and small tables.

    `name` is the key of its result; without the capabilities in `requires` it is not run.
    """

    @property
    def name(self) -> str:
        """The key of the result."""
        ...

    @property
    def requires(self) -> frozenset[Capability]:
        """What the trace must show for the analyzer to run."""
        ...

    def analyze(self, trace: Trace, results: Mapping[str, Any]) -> Any:
        """The result, a frozen dataclass; `results` holds those of the analyzers before this one."""
        ...
