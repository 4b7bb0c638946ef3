"""A large memory snapshot: our reading and report against a plain pickle.load and torch's own viewer.

`python tests/benchmarks/snapshot.py --entries 1000000 --depth 20`: each way in a process of its own, with the peak
memory of it and its workers. `make bench` adds the table to reports/benchmarks.md.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import section as section_of
from measure import Run, measure, median_of

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parents[2]
MIB = 1 << 20
RUNS = 3
HEADING = "## A large memory snapshot"
NO_CACHE = "from traceanalyzer.ingest.options import LoadOptions\noptions = LoadOptions(use_cache=False)\n"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to read a snapshot; `page` is what it writes into the folder that it runs for."""

    title: str
    command: Sequence[str]
    page: str | None = None


def ways(path: Path, folder: Path) -> list[Way]:
    """All ways for one file; what they write goes into the folder."""
    read = f"{NO_CACHE}import traceanalyzer as ta\nta.load({str(path)!r}, options=options)"
    cli = "from traceanalyzer.cli import main; main()"
    viewer = [sys.executable, "-m", "torch.cuda._memory_viz"]
    ours, theirs = str(folder / "ours.html"), str(folder / "theirs.html")
    return [
        Way(
            "a plain pickle.load",
            [sys.executable, "-c", f"import pickle; pickle.load(open({str(path)!r}, 'rb'))"],
        ),
        Way("ours: tables, with the replay", [sys.executable, "-c", read]),
        Way(
            "ours: whole analysis and page",
            [sys.executable, "-c", cli, "report", str(path), "--no-cache", "--force", "-o", ours],
            "ours.html",
        ),
        Way(f"torch {version('torch')}: _memory_viz stats", [*viewer, "stats", str(path)]),
        Way(
            f"torch {version('torch')}: _memory_viz trace_plot",
            [*viewer, "trace_plot", str(path), "-o", theirs],
            "theirs.html",
        ),
    ]


def make(path: Path, entries: int, depth: int) -> None:
    """A training run as `fixtures.allocations` writes it."""
    wanted = ["--entries", str(entries), "--depth", str(depth), "-o", str(path)]
    subprocess.run([sys.executable, "-m", "fixtures.allocations", *wanted], check=True, cwd=ROOT)


def measured(found: Sequence[Way]) -> list[Run]:
    """The median of RUNS for each of ours and for pickle.load, in turns; torch's viewer runs once."""
    ours = [way for way in found if not way.title.startswith("torch")]
    rounds = [[measure(way.command, os.environ) for way in ours] for _ in range(RUNS)]
    medians = [median_of(runs) for runs in zip(*rounds, strict=True)]
    return medians + [measure(way.command, os.environ) for way in found[len(ours) :]]


def table(entries: int, depth: int) -> str:
    """The section for reports/benchmarks.md."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "snapshot.pickle"
        make(path, entries, depth)
        size = path.stat().st_size
        found = ways(path, folder)
        runs = measured(found)
        pages = [(folder / way.page).stat().st_size / MIB if way.page else None for way in found]
    lines = [
        HEADING,
        "",
        f"{entries:,} entries with {depth} frames each, {size / MIB:.0f} MiB; medians of {RUNS} runs in turns, torch's "
        "viewer once. CPU time and memory are those of the process and its workers. Mosaic has no release on PyPI.",
        "",
        "| way | wall, s | CPU, s | of pickle.load | peak / file | page, MiB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    plain, tables, report = runs[:3]
    for way, run, page in zip(found, runs, pages, strict=True):
        cells = [
            f"{run.wall_s:.1f}",
            f"{run.cpu_s:.1f}",
            f"{run.wall_s / plain.wall_s:.1f}",
            f"{run.peak_bytes / size:.1f}",
        ]
        lines.append(f"| {' | '.join([way.title, *cells, '' if page is None else f'{page:.1f}'])} |")
    goals = [
        (
            "tables within 1.5 times pickle.load",
            f"{tables.wall_s / plain.wall_s:.2f} times",
            tables.wall_s <= 1.5 * plain.wall_s,
        ),
        (
            "the same in CPU time",
            f"{tables.cpu_s / plain.cpu_s:.2f} times",
            tables.cpu_s <= 1.5 * plain.cpu_s,
        ),
        ("whole analysis and page within 5 s", f"{report.wall_s:.1f} s", report.wall_s <= 5),
        (
            "peak memory at most 6 times the file",
            f"{report.peak_bytes / size:.1f} times",
            report.peak_bytes <= 6 * size,
        ),
        ("page of at most 5 MiB", f"{pages[2]:.1f} MiB", (pages[2] or 0) <= 5),
    ]
    lines += ["", *section_of.goals_table(goals)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Print the table, and put it into a report when there is one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--depth", type=int, default=20)
    parser.add_argument("--report", type=Path, help="file whose section of this name is replaced or added")
    chosen = parser.parse_args()
    section = table(chosen.entries, chosen.depth)
    print(section)  # noqa: T201
    if chosen.report:
        section_of.put(chosen.report, HEADING, section)


if __name__ == "__main__":
    main()
