"""Which row, lane and time on the page prove a finding, so that each leads to the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from traceanalyzer.reporters import tables
from traceanalyzer.reporters.timeline import events
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Evidence

SHEET_OF_TABLE = {"api_calls": "api-calls", "idle_gaps": "idle-gaps"}  # others are called alike
OF_EVENTS = ("kernels", "ops", "ops-by-shape", "collectives", "overlap", "api-calls", "annotations")
"""Tables whose rows have the names of events."""


@dataclass(frozen=True, slots=True)
class Shelved:
    """A table of the page by what evidence calls it; `rank` and `device` where there is one for each."""

    name: str
    sheet: tables.Sheet
    rank: int | None = None
    device: int | None = None

    def holds(self, name: str, evidence: Evidence) -> bool:
        """Whether it is the table that a piece of evidence means."""
        if name != self.name or (self.rank is not None and evidence.rank != self.rank):
            return False
        return evidence.device is None or self.device in (None, evidence.device)


@dataclass(frozen=True, slots=True)
class Proof:
    """One piece of evidence with the places that it leads to: a row (or its table), a lane, a name to search for."""

    evidence: Evidence
    table: Text | str  # title of the table; empty without one
    anchor: str  # of the row, or of the table when it does not list the row
    lane: str
    search: str


@dataclass(frozen=True, slots=True)
class Proven:
    """A finding that a row proves."""

    code: str
    anchor: str


@dataclass(frozen=True)
class Prover:
    """Knows the page's tables and the timeline's lanes."""

    analysis: Analysis
    shelf: Sequence[Shelved]

    def proof(self, evidence: Evidence) -> Proof:
        """Where a piece of evidence lies on the page."""
        name = evidence.sheet or SHEET_OF_TABLE.get(evidence.table or "", evidence.table or "")
        title, anchor = self._table(name, evidence)
        return Proof(
            evidence, title, anchor, self._lane(evidence), (evidence.name or "") if name in OF_EVENTS else ""
        )

    def _table(self, name: str, evidence: Evidence) -> tuple[Text | str, str]:
        if name == "ooms":
            return say("Memory"), f"oom-{evidence.row}"
        sheet = next((s.sheet for s in self.shelf if s.holds(name, evidence)), None)
        if sheet is None:
            return "", ""
        row = _row(evidence, sheet)
        return sheet.layout.title, sheet.layout.id if row is None else anchor_of(sheet, row)

    def _lane(self, evidence: Evidence) -> str:
        rank, device, stream, pid, tid = (
            getattr(evidence, key) for key in ("rank", "device", "stream", "pid", "tid")
        )
        if rank is None:
            return ""
        if tid is not None:
            return self._thread(rank, pid, tid)
        if stream is not None:
            return events.stream_labels(self.analysis)(rank, device, stream)
        if device is None or evidence.sheet:  # a step has the whole rank, a moment of memory its own curve
            return ""
        return f"{events.of_rank(self.analysis, rank)}GPU {device}"

    @cached_property
    def _thread(self) -> Callable[[int, int, int], str]:
        return events.thread_labels(self.analysis)


def anchor_of(sheet: tables.Sheet, row: int) -> str:
    """The id of a row that something leads to."""
    return f"{sheet.layout.id}-row-{row}"


def _row(evidence: Evidence, sheet: tables.Sheet) -> int | None:
    """The row of that name, or that has the same longest event or the same place; of several names the latter."""
    rows, key = list(enumerate(sheet.rows)), sheet.layout.columns[0]
    if evidence.name is not None:
        rows = [(i, row) for i, row in rows if tables.value(row, key) == evidence.name]
    exact = [i for i, row in rows if _same(row, evidence)]
    named = [i for i, _ in rows] if evidence.name is not None else []
    return next(iter(exact or named), None)


def _same(row: Any, evidence: Evidence) -> bool:
    if evidence.row is not None and _field(row, "longest") == evidence.row:
        return True
    place = tuple(_field(row, key) for key in ("start_ns", "rank", "device"))
    return evidence.rank is not None and place == (evidence.start_ns, evidence.rank, evidence.device)


def _field(row: Any, name: str) -> Any:
    return row.get(name) if isinstance(row, Mapping) else getattr(row, name, None)


def proven(found: Sequence[tuple[str, str, Sequence[Proof]]]) -> dict[str, list[Proven]]:
    """By anchor of a row, the findings that it proves; `found` are (code, anchor, proofs) of findings."""
    rows: dict[str, list[Proven]] = {}
    for code, anchor, proofs in found:
        for proof in proofs:
            if "-row-" in proof.anchor and Proven(code, anchor) not in rows.setdefault(proof.anchor, []):
                rows[proof.anchor].append(Proven(code, anchor))
    return rows
