"""Wall time and peak memory of a command and all processes that it starts."""

from __future__ import annotations

import resource
import subprocess
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Run:
    """One measured process tree. `peak_bytes` is the largest sum of resident sizes seen at any one time.

    Pages that processes share count once for each of them: an upper bound for trees of several.
    """

    wall_s: float
    peak_bytes: int
    cpu_s: float  # of all processes that were waited for, on all cores


class CommandError(Exception):
    """The command ended with another exit code than 0."""


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run the command to its end.

    Raises:
        CommandError: with the last line of what it said on stderr.
    """
    # where this is set, modules of a checkout are compiled in every run, and those of installed packages never
    environment = {k: v for k, v in environment.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start, before = time.perf_counter(), _cpu_of_children()
    process = psutil.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    peak = 0
    while True:
        peak = max(peak, _resident(process))
        try:
            _, errors = process.communicate(timeout=POLL_S)
            break
        except subprocess.TimeoutExpired:
            continue
    wall = time.perf_counter() - start
    if process.returncode:
        lines = errors.strip().splitlines()
        raise CommandError(f"{' '.join(command[:3])}: {lines[-1] if lines else process.returncode}")
    return Run(wall, peak, _cpu_of_children() - before)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(process: psutil.Popen) -> int:
    total = 0
    try:
        tree = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    for member in tree:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def median_of(runs: Sequence[Run]) -> Run:
    """The median time, and the median peak, of several runs."""
    return Run(
        median(run.wall_s for run in runs),
        int(median(run.peak_bytes for run in runs)),
        median(run.cpu_s for run in runs),
    )
