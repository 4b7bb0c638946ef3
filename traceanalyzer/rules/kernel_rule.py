"""What the rules share that look for kernels which a better way would do without, or with less."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers import thresholds
from traceanalyzer.cost.inputs import types_of
from traceanalyzer.rules.base import DEVICE_WORK
from traceanalyzer.rules.findings import Finding, severity
from traceanalyzer.rules.roofs import cure, evidence, share_of, time_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.roofline_results import RooflineRow
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.base import Facts
    from traceanalyzer.text import Text


class KernelRule:
    """Finds kernels that a better way would do without: what the rules about such kernels share."""

    code: ClassVar[str]
    title: ClassVar[Text]
    requires: ClassVar[frozenset[Capability]] = DEVICE_WORK
    least_share: ClassVar[float] = thresholds.COPY_SHARE
    left: ClassVar[tuple[float, float]] = (thresholds.SAVING_LOW, 0.0)
    """Which part of their time remains, at worst and at best."""
    says: ClassVar[Text]
    fix: ClassVar[Text]

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding when the kernels take enough of the step."""
        rows = self.rows(facts)
        share = share_of(rows, facts)
        if not rows or share < self.least_share:
            return
        now = time_of(rows)
        yield Finding(
            code=self.code,
            title=self.title,
            severity=severity(share),
            claim=self.says.filled(share=facts.of_step(share)),
            evidence=evidence(rows),
            fix=self.fix,
            confidence=facts.confidence,
            **cure(rows, now * self.left[0], now * self.left[1], facts),
        )

    def rows(self, facts: Facts) -> list[RooflineRow]:
        """The kernels in question."""
        raise NotImplementedError


def changes_type(row: RooflineRow) -> bool:
    """Whether the first two inputs of the op have different types: what it is copied from, and to."""
    types = types_of(row.input_types)
    return len(types) >= 2 and types[0] != types[1] and "" not in types[:2]
