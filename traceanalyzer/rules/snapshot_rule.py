"""A rule that looks at each device of a memory snapshot, and the evidence that it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from traceanalyzer.analyzers.snapshot.groups import line_of
from traceanalyzer.model.sizes import size
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules.findings import Evidence, Finding, Severity
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterable

    from traceanalyzer.analyzers.snapshot.results import DeviceSnapshot, Moment
    from traceanalyzer.rules.base import Facts

NO_TIME = say("it saves memory, not time")
SHOWN = 5


Found = tuple[Text, int | None, list[Evidence]]
"""The claim, the bytes it is about and the evidence."""


def of_line(device: DeviceSnapshot, text: Text, python: str | None, function: str | None) -> Evidence:
    """What a line of the program holds: a row of the tables of who holds memory."""
    return Evidence(
        text,
        name=f"{python} {function}" if python else None,
        rank=device.rank,
        device=device.device,
        sheet="held-by-line",
    )


def held_by(device: DeviceSnapshot, moment: Moment, category: str) -> list[Evidence]:
    """Who holds memory of one use at a moment, the largest first."""
    return [
        of_line(
            device,
            say("{line}: {held}", line=line_of(holder), held=size(holder.requested_bytes)),
            holder.python,
            holder.function,
        )
        for holder in moment.holders
        if holder.category == category
    ]


def at_moment(device: DeviceSnapshot, text: Text, at_ns: int | None) -> Evidence:
    """What is so at a moment; where entries carry no time, the tables of who holds memory are all there is."""
    return Evidence(text, start_ns=at_ns, rank=device.rank, device=device.device, sheet="held-by-category")


def _where(device: DeviceSnapshot) -> Text:
    return say("rank {rank}, device {device}", rank=device.rank, device=device.device)


def _expandable(device: DeviceSnapshot) -> bool:
    """Whether the run has expandable segments: it was set so, or mapped memory, which only they do."""
    chosen = dict(device.settings)
    asked = "expandable_segments:True" in chosen.get("PYTORCH_CUDA_ALLOC_CONF", "")
    return asked or chosen.get("expandable_segments") == "True" or device.churn.mappings > 0


class SnapshotRule:
    """A rule that looks at each device of each snapshot; what it wastes is `saving_bytes` per device."""

    code: ClassVar[str]
    title: ClassVar[Text]
    severity: ClassVar[Severity] = "medium"
    fix: ClassVar[Text]
    fix_of_expandable: ClassVar[Text | None] = None
    """What is left of the fix where the run has expandable segments already."""
    requires: ClassVar[frozenset[Capability]] = frozenset({Capability.MEMORY_SNAPSHOT})

    def check(self, facts: Facts) -> Iterable[Finding]:
        """One finding per device that has the problem."""
        for device in facts.snapshot.devices:
            found = self.look(device)
            if found is not None:
                claim, nbytes, evidence = found
                left = self.fix_of_expandable if _expandable(device) else None
                yield Finding(
                    code=self.code,
                    title=self.title,
                    severity=self.severity,
                    claim=say("On {device}, {claim}.", device=_where(device), claim=claim),
                    evidence=tuple(evidence[:SHOWN]),
                    fix=left or self.fix,
                    confidence="medium",
                    saving_bytes=nbytes,
                    saving_reason=NO_TIME,
                )

    def look(self, device: DeviceSnapshot) -> Found | None:
        """The claim, the bytes it is about and the evidence; None when all is well."""
        raise NotImplementedError
