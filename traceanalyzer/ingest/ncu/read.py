"""The ingesters: CSV of the details page or the raw page, and a report that the user's own ncu prints first.

The details page has a row for each metric and each rule, the raw page a column for each metric and its units in the
second row. Lines that begin with `==` are the profiler talking. Host and process names are not kept.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.progress import Progress, Silent
from traceanalyzer.ingest.source import Truncated, blocks
from traceanalyzer.model.capabilities import capabilities_of
from traceanalyzer.model.schema import TABLES
from traceanalyzer.model.tables import empty, from_rows
from traceanalyzer.model.trace import Note, Source, Trace
from traceanalyzer.text import say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from traceanalyzer.ingest.options import LoadOptions

_HEAD = re.compile(rb'^"?ID"?,"?Process ID"?,(.*,)?"?Kernel Name"?,', re.MULTILINE)
_TRIPLE = re.compile(r"\((\d+), *(\d+), *(\d+)\)")
_LAUNCH_COLUMNS = frozenset(
    {"ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Kernel Time", "Context", "Stream", "Block Size",
     "Grid Size", "Device", "CC", "Invocations"}
)  # fmt: skip


class NcuCsv:
    """Ingester of `ncu --csv`, pages details and raw."""

    name = "ncu"

    def sniff(self, head: bytes, path: Path) -> bool:  # noqa: ARG002
        """Whether a line of the head is the header of ncu's CSV."""
        return _HEAD.search(head) is not None

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:
        """Read one page, compressed or not.

        Raises:
            InputError: the file holds no metrics.
        """
        progress = progress or Silent()
        progress.start(str(path), path.stat().st_size)
        content, notes = io.BytesIO(), []
        try:
            for block in blocks(path, options, progress.advance):
                content.write(block)
        except Truncated as error:
            message = say("the compressed data is damaged or cut off: {error}", error=str(error))
            notes.append(Note("partial", message, say("Copy it again.")))
        rows, broken = _rows(content.getvalue().decode(errors="replace"))
        progress.finish()
        if not rows:
            raise InputError(
                path,
                say("holds no metrics"),
                say("Print them with `ncu --import REPORT --csv --page details`."),
            )
        if broken:
            notes.append(
                Note(
                    "partial",
                    say(
                        "{count} {count:line is not whole and was|lines are not whole and were} left out",
                        count=broken,
                    ),
                )
            )
        return _trace(path, self.name, path.read_bytes(), rows, tuple(notes))


class NcuReport:
    """Ingester of `.ncu-rep`, whose format only NVIDIA knows: by its module `ncu_report`, or by the ncu on PATH."""

    name = "ncu-rep"

    def sniff(self, head: bytes, path: Path) -> bool:  # noqa: ARG002
        """Whether the name says so: the format is not documented."""
        return path.suffix.lower() == ".ncu-rep"

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:
        """Read with the module, or print with ncu and read that.

        Raises:
            InputError: there is neither, or it cannot read the file.
        """
        from traceanalyzer.ingest.ncu import report

        if report.available():
            rows = report.report_rows(path)
            if not rows:
                raise InputError(
                    path, say("holds no profiled kernel"), say("Profile one: ncu --set full -o REPORT …")
                )
            return _trace(path, self.name, path.read_bytes(), rows, ())
        ncu = shutil.which("ncu")
        by_hand = f"ncu --import {path} --csv --page details > {path.with_suffix('.csv')}"
        if ncu is None:
            raise InputError(
                path,
                say("needs NVIDIA's ncu_report, or ncu on PATH, to be read"),
                say("pip install 'traceanalyzer[ncu]', or run where ncu is: {command}", command=by_hand),
            )
        command = [ncu, "--import", str(path.absolute()), "--csv", "--page", "details"]
        with tempfile.TemporaryDirectory(prefix="traceanalyzer-") as folder:
            page = Path(folder, "details.csv")
            done = subprocess.run(command, capture_output=True, check=False)
            page.write_bytes(done.stdout)
            if done.returncode or not _HEAD.search(done.stdout):
                raise InputError(
                    path,
                    say("cannot be printed by this ncu"),
                    say("See what it says: {command}", command=by_hand),
                )
            trace = NcuCsv().read(page, options, progress)
        content = path.read_bytes()
        source = replace(
            trace.sources[0], path=str(path), format=self.name, sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
        )  # fmt: skip
        return replace(trace, sources=(source,))


def _trace(
    path: Path, form: str, content: bytes, rows: list[dict[str, Any]], notes: tuple[Note, ...]
) -> Trace:
    tables = {table.name: empty(table.name) for table in TABLES}
    tables["kernel_metrics"] = from_rows("kernel_metrics", rows)
    digest = hashlib.sha256(content).hexdigest()
    source = Source(str(path), form, digest, len(content), len(rows), rank=0, notes=notes)
    return Trace((source,), tables, capabilities_of(tables))


def _rows(text: str) -> tuple[list[dict[str, Any]], int]:
    """Rows of kernel_metrics, and the number of lines that are no whole row."""
    lines = (line for line in io.StringIO(text, newline="") if not line.startswith("=="))
    reader = csv.reader(lines)
    header: list[str] = []
    for header in reader:
        if header[:2] == ["ID", "Process ID"]:
            break
    rows: list[dict[str, Any]] = []
    broken = 0
    units: dict[str, str] = {}
    long = "Metric Name" in header
    needed = header.index("Metric Value") + 1 if long else len(header)
    for cells in reader:
        # a metric's row may end with its value, before the columns about rules
        if len(cells) < needed or not (cells[0].isdigit() or (not long and not cells[0])):
            broken += bool(cells)
            continue
        row = dict(zip(header, cells, strict=False))
        if long:
            rows += _long(row)
        elif not row["ID"]:
            units = row
        else:
            rows += _wide(row, units)
    return rows, broken


def _long(row: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    common = {**_launch(row), "section": row.get("Section Name") or None}
    if row.get("Rule Name"):
        yield {**common, "rule": row["Rule Name"], "text": row.get("Rule Description") or None}
    elif row["Metric Name"]:
        yield {**common, "metric": row["Metric Name"], "unit": row.get("Metric Unit") or None,
               **_value(row["Metric Value"])}  # fmt: skip


def _wide(row: Mapping[str, str], units: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    common = _launch(row)
    for metric, value in row.items():
        if value and metric not in _LAUNCH_COLUMNS and ":" not in metric:  # NVTX columns have colons
            yield {**common, "metric": metric, "unit": units.get(metric) or None, **_value(value)}


def _launch(row: Mapping[str, str]) -> dict[str, Any]:
    return {
        "rank": 0,
        "launch": int(row["ID"]),
        "name": row.get("Kernel Name") or None,
        "pid": _whole(row.get("Process ID")),
        "device": _whole(row.get("Device")),
        "stream": _whole(row.get("Stream")),
        "context": _whole(row.get("Context")),
        "grid": _triple(row.get("Grid Size")),
        "block": _triple(row.get("Block Size")),
    }


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() and len(text) < 10 else None


def _triple(text: str | None) -> list[int] | None:
    match = _TRIPLE.fullmatch(text or "")
    sizes = [int(n) for n in match.groups()] if match else None
    return sizes if sizes and max(sizes) < 2**31 else None


def _value(text: str) -> dict[str, Any]:
    try:
        return {"value": float(text.replace(",", ""))}
    except ValueError:
        return {"text": text}
