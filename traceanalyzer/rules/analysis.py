"""A trace with everything that was found in it: what reporters and notebooks work with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from traceanalyzer.display import Displayed

if TYPE_CHECKING:
    from traceanalyzer.model.trace import Trace
    from traceanalyzer.rules.findings import Finding, NotAssessed, Passed, Verdict
    from traceanalyzer.rules.savings import Combined
    from traceanalyzer.source_links import SourceLinks


@dataclass(frozen=True)
class Analysis(Displayed):
    """A trace with everything that was found in it; `analysis["breakdown"]` is one analyzer's result.

    With a `baseline`, an earlier run's analysis, reports show what changed since; with `source_links` lines of code
    are links.
    """

    trace: Trace
    results: dict[str, Any]
    verdict: Verdict
    findings: tuple[Finding, ...]
    not_assessed: tuple[NotAssessed, ...]
    passed: tuple[Passed, ...]
    warnings: tuple[str, ...] = ()
    combined: Combined | None = None
    baseline: Analysis | None = None
    source_links: SourceLinks | None = None

    def __repr__(self) -> str:
        """A line for a prompt: the verdict, and what was found."""
        codes = ", ".join(dict.fromkeys(finding.code for finding in self.findings))
        return f"<Analysis {str(self.verdict.headline)!r}: {codes or 'no findings'}>"

    def __getitem__(self, analyzer: str) -> Any:
        """One analyzer's result.

        Raises:
            KeyError: there is none of that name; it says which there are.
        """
        if analyzer not in self.results:
            raise KeyError(f"no analyzer {analyzer!r}; there are {', '.join(self.results)}")
        return self.results[analyzer]
