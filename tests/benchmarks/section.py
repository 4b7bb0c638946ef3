"""One section of reports/benchmarks.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def put(report: Path, heading: str, section: str) -> None:
    """Replace the section with this heading, or add it at the end; `section` begins with the heading."""
    before, _, old = report.read_text().partition(heading)
    _, mark, after = old.partition("\n## ")
    report.write_text(f"{before.rstrip()}\n\n{section.rstrip()}\n{mark}{after}")
