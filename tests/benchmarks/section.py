"""The sections of reports/benchmarks.md, and the tables of goals in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def goals_table(goals: Iterable[tuple[str, str, bool | None]]) -> list[str]:
    """A row for each goal: its text, what was measured, and whether that meets it; None where it was not measured."""
    verdicts = {True: "pass", False: "**fail**", None: ""}
    rows = [f"| {text} | {measured} | {verdicts[met]} |" for text, measured, met in goals]
    return ["| goal | measured | |", "| --- | ---: | --- |", *rows]


def put(report: Path, heading: str, section: str) -> None:
    """Replace the section with this heading, or add it at the end; `section` begins with the heading."""
    before, _, old = report.read_text().partition(heading)
    _, mark, after = old.partition("\n## ")
    report.write_text(f"{before.rstrip()}\n\n{section.rstrip()}\n{mark}{after}")
