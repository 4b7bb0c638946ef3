"""OOM messages in texts: one parser for all that PyTorch and its neighbours have printed since 2018.

The messages are told by how they begin; the numbers by the words next to them, which have changed less than the
sentences around. Logs wrap lines and put prefixes before them, so what follows a beginning is read as one text.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from traceanalyzer.ingest.progress import Progress, Silent
from traceanalyzer.ingest.source import Truncated, blocks
from traceanalyzer.model.capabilities import capabilities_of
from traceanalyzer.model.schema import TABLES
from traceanalyzer.model.tables import empty, from_rows
from traceanalyzer.model.trace import Note, Source, Trace
from traceanalyzer.text import say

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.ingest.options import LoadOptions

MAX_TEXT_BYTES = 1 << 30
MAX_MESSAGE = 1500
ROUNDING = 3 * 5 << 20  # three figures that are told as 1.23 GiB
_UNITS = {"b": 1, "bytes": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40,
          "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}  # fmt: skip
_SIZE = r"(\d[\d,]*(?:\.\d+)?)\s*([KMGT]i?B|bytes|B)"
_BEGIN = re.compile(
    r"(?P<cuda>CUDA out of memory\.)|(?P<hip>HIP out of memory\.)|(?P<xpu>XPU out of memory\.)"
    r"|(?P<npu>NPU out of memory\.)|(?P<musa>MUSA out of memory\.)|(?P<mlu>MLU out of memory\.)"
    r"|(?P<mps>MPS backend out of memory)|(?P<cpu>DefaultCPUAllocator: (?:can't|not enough) )"
    r"|(?P<driver>(?:CUDA|HIP) error: out of memory)|(?P<vllm>No available memory for the cache blocks)"
    r"|(?P<jax>RESOURCE_EXHAUSTED: Out of memory)|(?P<tensorflow>OOM when allocating tensor with shape)"
)
_NO_TEXT = re.compile(rb"\s*(\{|\[\s*[\{\]]|\x80)")
_PREFIX = re.compile(r"\[rank(\d+)\]|\brank[ =:]?(\d+)\b", re.IGNORECASE)
_NUMBERS = {
    "requested": (rf"Tried to allocate {_SIZE}", rf"tr(?:ied|ying) to allocate {_SIZE}"),
    "capacity": (rf"total capacity of {_SIZE}", rf"total capac?ty of {_SIZE}", rf"{_SIZE} total capacity"),
    "free": (rf"of which {_SIZE}\s*is free", rf"{_SIZE}\s*is free", rf"{_SIZE} free"),
    "allowed": (rf"{_SIZE} allowed", rf"max allowed: {_SIZE}"),
    "process": (rf"this process has {_SIZE} memory in use",),
    "allocated": (
        rf"{_SIZE} is allocated by PyTorch",
        rf"{_SIZE} already allocated",
        rf"MPS allocated: {_SIZE}",
    ),
    "private_pools": (rf"{_SIZE} allocated in private pools",),
    "unallocated": (rf"{_SIZE} is reserved by PyTorch but unallocated",),
}
_RESERVED = re.compile(rf"{_SIZE} (?:reserved in total by PyTorch|cached)")
_OTHER = re.compile(rf"Process \d+ has {_SIZE} memory in use")
_MPS_OTHER = re.compile(rf"other allocations: {_SIZE}")
_DEVICE = re.compile(r"\(?\b(?:GPU|NPU|XPU|MLU|MUSA)\s?(\d+)[; ]")
_CPU = re.compile(r"you tried to allocate (\d+)\s*bytes")
_SHAPE = re.compile(r"shape\[([\d, ]*)\] and type (\w+)")
_TYPE_BYTES = {
    "float": 4,
    "float32": 4,
    "half": 2,
    "float16": 2,
    "bfloat16": 2,
    "double": 8,
    "int32": 4,
    "int64": 8,
}


class OomText:
    """The text of an error, or a log with any number of them, of several ranks."""

    name = "oom text"

    def sniff(self, head: bytes, path: Path) -> bool:
        """Text with such an error near its beginning, or anywhere in what is called a log or text."""
        if b"\0" in head or _NO_TEXT.match(head):
            return False
        if _BEGIN.search(head.decode("utf-8", "replace")):
            return True
        if path.suffix.lower() not in {".log", ".txt", ".out", ".err"} or not path.is_file():
            return False
        with path.open("rb") as file:  # a log has its error at the end
            return _BEGIN.search(file.read(MAX_TEXT_BYTES).decode("utf-8", "replace")) is not None

    def read(self, path: Path, options: LoadOptions, progress: Progress | None = None) -> Trace:
        """A trace with the messages as rows of `oom_messages`."""
        progress = progress or Silent()
        size = path.stat().st_size
        progress.start(str(path), size)
        notes, parts, length = [], [], 0
        try:
            for block in blocks(path, options, progress.advance):
                parts.append(block)
                length += len(block)
                if length > MAX_TEXT_BYTES:
                    notes.append(
                        Note(
                            "partial",
                            say("only the first {length} bytes were searched", length=length),
                            say("Cut the log."),
                        )
                    )
                    break
        except Truncated as error:
            notes.append(
                Note(
                    "partial",
                    say("the compressed data is damaged or cut off: {error}", error=str(error)),
                    say("Copy it again."),
                )
            )
        progress.finish()
        content = b"".join(parts)
        rows = messages(content.decode("utf-8", "replace"))
        if not rows:
            notes.append(Note("info", say("no out-of-memory error was found in this text")))
        tables = {table.name: empty(table.name) for table in TABLES}
        tables["oom_messages"] = from_rows("oom_messages", rows)
        source = Source(
            str(path), self.name, hashlib.sha256(content).hexdigest(), size, len(rows), 0, notes=tuple(notes)
        )
        return Trace((source,), tables, capabilities_of(tables))


def messages(text: str) -> list[dict[str, Any]]:
    """The errors in a text as rows of `oom_messages`; what is printed twice on a rank counts once."""
    starts = list(_BEGIN.finditer(text))
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    line, position = 1, 0
    for number, begin in enumerate(starts):
        line += text.count("\n", position, begin.start())
        position = begin.start()
        end = starts[number + 1].start() if number + 1 < len(starts) else len(text)
        head = text[text.rfind("\n", 0, position) + 1 : position]
        body = _one_line(text[position : min(end, position + MAX_MESSAGE)])
        row = {"line": line, "rank": _rank(head), "kind": begin.lastgroup, **parse(body)}
        same = tuple(value for key, value in row.items() if key != "line")
        rows.setdefault(same, row | {"text": body[:500]})
    return list(rows.values())


def parse(body: str) -> dict[str, Any]:
    """The numbers of one message in bytes; what it does not say is None."""
    row: dict[str, Any] = {name: _first(patterns, body) for name, patterns in _NUMBERS.items()}
    if (plain := _CPU.search(body)) is not None:
        row["requested"] = _whole(int(plain[1]))
    if (shape := _SHAPE.search(body)) is not None:
        row["requested"] = _shape_bytes(shape[1], shape[2])
    device = _DEVICE.search(body)
    row["device"] = int(device[1]) if device and int(device[1]) < 1 << 31 else None
    reserved = _first((_RESERVED.pattern,), body)
    if row["unallocated"] is None and None not in (reserved, row["allocated"]):
        row["unallocated"] = max(0, reserved - row["allocated"])
    named = [held for held in map(_bytes, _OTHER.finditer(body)) if held]
    if row["process"] is None and (own := _own(named, row)) is not None:
        named.remove(own)
        row["process"] = own
    row["other_processes"] = sum(named) or None
    row["non_pytorch"] = None
    if None not in (row["process"], row["allocated"], row["unallocated"]):
        row["non_pytorch"] = max(0, row["process"] - row["allocated"] - row["unallocated"])
    if (mps := _MPS_OTHER.search(body)) is not None:
        row["non_pytorch"] = _bytes(mps)
    return row


def _own(named: list[int], row: dict[str, Any]) -> int | None:
    """What this process holds where it stands in the list of the others, None where it does not.

    In a container it has another number than on the host, and PyTorch does not know itself in the driver's list.
    It is there when all that are named hold more than the device has beside what PyTorch itself says to hold.
    """
    if row["capacity"] is None or row["allocated"] is None:
        return None
    held = row["allocated"] + (row["unallocated"] or 0)
    if held + sum(named) <= row["capacity"]:
        return None
    return min((bytes_ for bytes_ in named if bytes_ >= held - ROUNDING), default=None)


def _one_line(text: str) -> str:
    """Lines that a log wrapped or prefixed, as one; ends where a traceback or another record begins."""
    kept: list[str] = []
    for raw in text.split("\n"):
        stripped = _PREFIX.sub("", raw).strip(" :\r\t")
        if kept and (not stripped or stripped.startswith(("Traceback", "File ", "During handling"))):
            break
        kept.append(stripped)
    return " ".join(kept)


def _rank(head: str) -> int:
    found = _PREFIX.search(head)
    number = int(found[1] or found[2]) if found else 0
    return number if number < 1 << 31 else 0


def _first(patterns: tuple[str, ...], body: str) -> int | None:
    for pattern in patterns:
        found = re.search(pattern, body, re.IGNORECASE)
        if found is not None:
            return _bytes(found)
    return None


def _bytes(found: re.Match[str]) -> int | None:
    return _whole(float(found[1].replace(",", "")) * _UNITS[found[2].lower()])


def _whole(number: float) -> int | None:
    """A size, unless no machine could have it."""
    return round(number) if number < 1 << 62 else None


def _shape_bytes(shape: str, kind: str) -> int | None:
    count = _TYPE_BYTES.get(kind, 0)
    for dimension in filter(None, re.split(r"[, ]+", shape)):
        count *= int(dimension)
    return _whole(count) or None
