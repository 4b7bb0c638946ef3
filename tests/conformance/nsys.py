"""The answers of `nsys stats` for the exports of the corpus, under the names its tables have today."""

from __future__ import annotations

import csv
import gzip
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from traceanalyzer.pipeline import load as load_inputs

from .corpus import CORPUS, NO_CACHE

if TYPE_CHECKING:
    from traceanalyzer.analyzers.nsys.tables import StatsTable
    from traceanalyzer.model.trace import Trace

EXPORTS = tuple(sorted(p.stem for p in (CORPUS / "nsys").glob("*.sqlite")))
OLD_NAMES = {
    "cuda_api_sum": "cudaapisum",
    "cuda_gpu_kern_gb_sum": "gpukernsum",  # until 2022 it had grid and block
    "cuda_gpu_mem_time_sum": "gpumemtimesum",
    "cuda_gpu_mem_size_sum": "gpumemsizesum",
    "cuda_kern_exec_sum": "kernexecsum",
    "cuda_gpu_trace": "gputrace",
    "nvtx_sum": "nvtxsum",
    "nvtx_pushpop_sum": "nvtxppsum",
    "nvtx_startend_sum": "nvtxsssum",
    "osrt_sum": "osrtsum",
}
OLD_COLUMNS = {"Throughput (MB/s)": "Throughput (MBps)"}
BACKTRACES = frozenset({"a100_exgpu_2021", "a100_saxpy_2022"})
"""Exports with a second record of each call, for its backtrace: nsys counts such calls twice, we once."""
_SYMBOL_VERSION = re.compile(r"_v\d{4,}$")
_WAYS = {"HtoD": "Host-to-Device", "DtoH": "Device-to-Host", "DtoD": "Device-to-Device"}


@lru_cache(maxsize=2)
def load(name: str) -> Trace:
    """An export as a user gets it."""
    return load_inputs(CORPUS / "nsys" / f"{name}.sqlite", options=NO_CACHE)


def answer(name: str, table: str) -> list[dict[str, str]] | None:
    """What nsys says, None where it was not asked."""
    folder = CORPUS / "oracles" / "nsys" / name
    for spelling in (table, OLD_NAMES.get(table)):
        path = folder / f"{spelling}.csv.gz"
        if path.exists():
            with gzip.open(path, "rt", newline="") as file:
                return list(csv.DictReader(file))
    return None


def key(row: dict[str, Any]) -> tuple[str, ...]:
    """What names a row: everything that is text, in today's spelling."""
    return tuple(_today(str(v)) for k, v in row.items() if k in _KEYS and v is not None)


_KEYS = ("Name", "Range", "Style", "Operation", "Category", "GridXYZ", "BlockXYZ", "API Name", "Kernel Name", "PID",
         "TID", "DevId", "RangeId", "RangeStack", "Start (ns)", "CorrId")  # fmt: skip


def _today(text: str) -> str:
    for old, new in _WAYS.items():
        text = text.replace(f"memcpy {old}]", f"memcpy {new}]")
    return _SYMBOL_VERSION.sub("", text)


def differences(ours: StatsTable, theirs: list[dict[str, str]]) -> list[str]:
    """Rows that only one has, and cells that differ by more than half of the last digit nsys printed."""
    mine = {key(dict(zip(ours.columns, row, strict=True))): row for row in ours.rows}
    wanted = {key(row): row for row in theirs}
    found = [f"only nsys: {k}" for k in wanted.keys() - mine.keys()]
    found += [f"only ours: {k}" for k in mine.keys() - wanted.keys()]
    if len(mine) != len(ours.rows) or len(wanted) != len(theirs):
        found.append("rows with equal names")
    for name in wanted.keys() & mine.keys():
        for column, value in zip(ours.columns, mine[name], strict=True):
            printed = wanted[name][column if column in wanted[name] else OLD_COLUMNS[column]]
            if not same(value, printed):
                found.append(f"{column} of {name}: {value} is not {printed}")
    return found


def same(value: Any, printed: str) -> bool:
    if isinstance(value, str):
        return _today(value) == _today(printed)
    if value is None or printed in {"", "None"}:
        return value is None and printed in {"", "None"}
    if isinstance(value, int):
        return bool(value == int(printed))
    digits = len(printed.partition(".")[2])
    return bool(abs(float(value) - float(printed)) <= 0.5 * 10**-digits + 1e-9 * abs(float(value)))
