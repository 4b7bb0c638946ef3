"""Our ingest and report against other ways to read the same trace: `make bench` writes reports/benchmarks.md.

Every way runs as a process of its own, so its start and its imports count. All figures of one report come
from the same run on the same machine; what else runs there shows in all of them.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import section as section_of
from measure import CommandError, Run, measure, median_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SHARED = ROOT.parent / "shared"
MAKER = SHARED / "tools/make_big_trace.py"
SEED = SHARED / "corpus/traces/a100_nccl_train.json.gz"
GOAL_MB = 500  # the goals are for traces of this size
LARGE_MB = 2000  # from here on every way runs once, and what keeps all objects in memory not at all

CLI = [sys.executable, "-c", "from traceanalyzer.cli import main; main()"]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to read a trace. `needs` is the module it cannot run without, `runs` how often it does."""

    name: str
    title: str
    command: Sequence[str]
    needs: str = "traceanalyzer"
    runs: int = 3


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit on a figure; `value` computes it from the runs and the file's size in bytes."""

    text: str
    value: Callable[[Mapping[str, Run], int], float]
    limit: float
    unit: str
    at_least: bool = False


GOALS = (
    Goal(
        "tables at least 8 times as fast as HTA's json backend",
        lambda runs, _: runs["hta"].wall_s / runs["tables"].wall_s,
        8,
        "times",
        at_least=True,
    ),
    Goal(
        "peak memory at most 1.2 times the file",
        lambda runs, size: runs["tables"].peak_bytes / size,
        1.2,
        "times",
    ),
    Goal(
        "whole report at most 2 times the ingest alone",
        lambda runs, _: runs["report"].wall_s / runs["tables"].wall_s,
        2,
        "times",
    ),
    Goal("reopening from the cache at most 1 s", lambda runs, _: runs["reopen"].wall_s, 1, "s"),
    Goal("`--help` at most 0.2 s", lambda runs, _: runs["help"].wall_s, 0.2, "s"),
)


def ways(trace: Path, page: Path, mb: int) -> list[Way]:
    def one(name: str) -> list[str]:
        return [sys.executable, str(HERE / "ways.py"), name, str(trace)]

    report = [*CLI, "report", str(trace), "--no-cache", "--force", "-o", str(page)]
    runs, slow_runs = (1 if mb >= LARGE_MB else 3), (1 if mb >= GOAL_MB else 3)
    quick = [
        Way("tables", "traceanalyzer: file to tables", one("ours_tables"), runs=runs),
        Way("report", "traceanalyzer: whole `report` command", report, runs=runs),
        Way("reopen", "traceanalyzer: tables from the cache", one("ours_reopen"), runs=runs),
        Way("help", "traceanalyzer: `--help`", [*CLI, "--help"], runs=5),
        Way("hta", "traceinsight (HTA), json backend to DataFrame", one("hta"), "hta", slow_runs),
    ]
    if mb >= LARGE_MB:
        return quick
    return [
        *quick,
        Way("orjson", "orjson to objects to Arrow", one("orjson_arrow"), "orjson", slow_runs),
        Way("json", "json to objects", one("plain_json"), "json", slow_runs),
    ]


def run_all(trace: Path, mb: int, folder: Path) -> tuple[list[Way], dict[str, Run], list[str]]:
    """Measure every way on one trace: the ways, their medians by name, and what could not run and why."""
    environment = os.environ | {"TRACEANALYZER_CACHE_DIR": str(folder / "cache")}
    chosen = ways(trace, folder / "page.html", mb)
    results: dict[str, Run] = {}
    skipped: list[str] = []
    # Neither the first read of the file from disk nor filling the cache belongs to anybody's time.
    measure(next(way for way in chosen if way.name == "reopen").command, environment)
    for way in chosen:
        if find_spec(way.needs) is None:
            skipped.append(f"{way.title}: {way.needs} is not installed")
            continue
        say(f"  {way.title}")
        try:
            results[way.name] = median_of([measure(way.command, environment) for _ in range(way.runs)])
        except CommandError as failure:
            skipped.append(f"{way.title}: {failure}")
    return chosen, results, skipped


def table(trace: Path, chosen: Sequence[Way], results: Mapping[str, Run]) -> list[str]:
    size = trace.stat().st_size
    lines = [
        "| way | wall, s | MB/s of JSON | peak memory, MB | peak / file | runs |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for way in chosen:
        if way.name not in results:
            continue
        run = results[way.name]
        of_file = way.name != "help"
        rate = f"{size / 1e6 / run.wall_s:,.0f}" if of_file else ""
        ratio = f"{run.peak_bytes / size:.2f}" if of_file else ""
        peak = f"{run.peak_bytes / 1e6:,.0f}"
        lines.append(f"| {way.title} | {run.wall_s:.2f} | {rate} | {peak} | {ratio} | {way.runs} |")
    return lines


def goals(trace: Path, results: Mapping[str, Run]) -> list[str]:
    """What was promised for 500 MB, and what came out."""
    rows: list[tuple[str, str, bool | None]] = []
    for goal in GOALS:
        try:
            value = goal.value(results, trace.stat().st_size)
        except KeyError:
            rows.append((goal.text, "not measured", None))
            continue
        met = value >= goal.limit if goal.at_least else value <= goal.limit
        rows.append((goal.text, f"{value:.2f} {goal.unit}", met))
    return section_of.goals_table(rows)


def machine() -> str:
    names = ("traceanalyzer", "traceinsight", "orjson", "pandas", "pyarrow")
    versions = ", ".join(f"{name} {installed(name)}" for name in names)
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {system}; {versions}."


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def say(line: str) -> None:
    sys.stderr.write(line + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--mb", type=int, nargs="+", default=[100, GOAL_MB, LARGE_MB], help="sizes of the traces, MB"
    )
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "reports/benchmarks.md")
    options = parser.parse_args()
    for needed in (MAKER, SEED):
        if not needed.exists():
            say(f"skipped: {needed} is not there; the benchmark multiplies that trace")
            return
    lines = ["# Benchmarks", "", "Written by `make bench`; medians of the runs named.", "", machine()]
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for mb in options.mb:
            trace = folder / f"{mb}.json"
            say(f"making a trace of {mb} MB")
            subprocess.run([sys.executable, MAKER, SEED, trace, str(mb)], check=True, stdout=sys.stderr)
            chosen, results, skipped = run_all(trace, mb, folder)
            lines += ["", f"## {trace.stat().st_size / 1e6:,.0f} MB", "", *table(trace, chosen, results)]
            lines += ["", *(f"- not run: {line}" for line in skipped)] if skipped else []
            if mb == GOAL_MB:
                lines += ["", "### Goals", "", *goals(trace, results)]
            trace.unlink()
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text("\n".join(lines) + "\n")
    say(f"Wrote {options.output}")


if __name__ == "__main__":
    main()
