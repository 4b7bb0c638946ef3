"""Which row, lane and time on the page prove a finding, so that each leads to the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceanalyzer.reporters.timeline import events

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traceanalyzer.reporters import tables
    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.findings import Evidence
    from traceanalyzer.text import Text

SHEET_OF_TABLE = {
    "kernels": "kernels", "ops": "ops", "copies": "copies", "collectives": "collectives",
    "api_calls": "api-calls", "allocations": "holders", "idle_gaps": "idle-gaps",
}  # fmt: skip
ON_TIMELINE = ("kernels", "ops", "collectives", "api_calls")  # tables whose rows have the names of events


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


def proof_of(evidence: Evidence, sheets: Mapping[str, tables.Sheet], analysis: Analysis) -> Proof:
    """Where a piece of evidence lies on the page."""
    sheet = sheets.get(SHEET_OF_TABLE.get(evidence.table or "", ""))
    row = None if sheet is None else _row(evidence, sheet)
    lane = ""
    if evidence.device is not None and evidence.rank is not None:
        lane = f"{events.of_rank(analysis, evidence.rank)}GPU {evidence.device}"
    return Proof(
        evidence,
        sheet.layout.title if sheet else "",
        "" if sheet is None else sheet.layout.id if row is None else anchor_of(sheet, row),
        lane,
        (evidence.name or "") if evidence.table in ON_TIMELINE else "",
    )


def anchor_of(sheet: tables.Sheet, row: int) -> str:
    """The id of a row that something leads to."""
    return f"{sheet.layout.id}-row-{row}"


def _row(evidence: Evidence, sheet: tables.Sheet) -> int | None:
    for i, row in enumerate(sheet.rows):
        if evidence.name is not None and getattr(row, "name", None) == evidence.name:
            return i
        place = (getattr(row, "start_ns", None), getattr(row, "rank", None), getattr(row, "device", None))
        if evidence.start_ns is not None and place == (evidence.start_ns, evidence.rank, evidence.device):
            return i
    return None


def proven(found: Sequence[tuple[str, str, Sequence[Proof]]]) -> dict[str, list[Proven]]:
    """By anchor of a row, the findings that it proves; `found` are (code, anchor, proofs) of findings."""
    rows: dict[str, list[Proven]] = {}
    for code, anchor, proofs in found:
        for proof in proofs:
            if "-row-" in proof.anchor and Proven(code, anchor) not in rows.setdefault(proof.anchor, []):
                rows[proof.anchor].append(Proven(code, anchor))
    return rows
