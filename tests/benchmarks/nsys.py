"""An Nsight Systems export of a million kernels: our tables and report beside `nsys stats`, where nsys is on PATH.

`python tests/benchmarks/nsys.py --kernels 1000000`. `make bench` adds the section to reports/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nsys_export
import section as section_of
from measure import measure, median_of
from run import CLI, say

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADING = "## An Nsight Systems export of a million kernels"
GOAL_S, GOAL_MB = 20.0, 1500
READ = (
    "from traceanalyzer.ingest.options import LoadOptions\nimport sys, traceanalyzer as ta\n"
    "ta.load(sys.argv[1], options=LoadOptions(use_cache=False))"
)
REPORT = "traceanalyzer: whole `report` command"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to look at the export."""

    title: str
    command: Sequence[str]


def ways(export: Path, folder: Path) -> list[Way]:
    """All ways that this machine has."""
    page = str(folder / "page.html")
    tables = ["--to", "nsys-stats", "--no-cache", "--force", "-o", str(folder / "tables")]
    found = [
        Way("traceanalyzer: file to tables", [sys.executable, "-c", READ, str(export)]),
        Way(REPORT, [*CLI, "report", str(export), "--no-cache", "--force", "-o", page]),
        Way(
            "traceanalyzer: `export --to nsys-stats`, 16 tables, two of them of single events",
            [*CLI, "export", str(export), *tables],
        ),
    ]
    if nsys := shutil.which("nsys"):
        said = subprocess.run([nsys, "--version"], capture_output=True, text=True, check=True).stdout
        stats = [nsys, "stats", "--force-export=false", "--format=csv", "--output", str(folder / "stats")]
        title = f"`nsys stats`, its default tables ({said.split()[-1].partition('-')[0]})"
        found.append(Way(title, [*stats, "--force-overwrite=true", str(export)]))
    return found


def section(kernels: int, runs: int) -> str:
    """The table and the goals."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        export = folder / "export.sqlite"
        nsys_export.write(export, kernels)
        size_mb = export.stat().st_size / 1e6
        lines = [
            HEADING,
            "",
            f"{kernels:,} kernels with their launches, copies, waits and emit_nvtx ranges, {size_mb:.0f} MB of "
            "SQLite; made up, in the schema of nsys 2022.4.",
            "",
            "| way | wall, s | peak memory, MB | runs |",
            "| --- | ---: | ---: | ---: |",
        ]
        goals: list[tuple[str, str, bool]] = []
        for way in ways(export, folder):
            say(f"  {way.title}")
            run = median_of([measure(way.command, os.environ) for _ in range(runs)])
            peak_mb = run.peak_bytes / 1e6
            lines.append(f"| {way.title} | {run.wall_s:.1f} | {peak_mb:,.0f} | {runs} |")
            if way.title == REPORT:
                goals = [
                    (f"report in at most {GOAL_S:.0f} s", f"{run.wall_s:.1f} s", run.wall_s <= GOAL_S),
                    (f"peak memory at most {GOAL_MB:,} MB", f"{peak_mb:,.0f} MB", peak_mb <= GOAL_MB),
                ]
    if shutil.which("nsys") is None:
        lines += ["", "`nsys stats` was not measured: there is no nsys on PATH."]
    return "\n".join([*lines, "", *section_of.goals_table(goals)]) + "\n"


def main() -> None:
    """Print the section, and put it into a report when there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--report", type=Path, help="file whose section of this name is replaced or added")
    chosen = parser.parse_args()
    made = section(chosen.kernels, chosen.runs)
    sys.stdout.write(made)
    if chosen.report:
        section_of.put(chosen.report, HEADING, made)


if __name__ == "__main__":
    main()
