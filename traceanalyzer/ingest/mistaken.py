"""What a file is that holds no trace, told by its first bytes, and how to come by the trace."""

from __future__ import annotations

import re

from traceanalyzer.text import Text, say

_UNPACK = say("Unpack it and give what is inside.")
_INFLATE = say("Inflate it first; gzip and zstd are read as they are.")
_EXPORT = say("Give the trace of the same profiler: prof.export_chrome_trace().")
_BEGINS: tuple[tuple[bytes, Text, Text], ...] = (
    (b"PK\x03\x04", say("is a zip archive"), _UNPACK),
    (b"BZh", say("is compressed with bzip2"), _INFLATE),
    (b"\xfd7zXZ", say("is compressed with xz"), _INFLATE),
    (b"\x1f\x8b", say("is compressed twice"), _INFLATE),
    (b"\x28\xb5\x2f\xfd", say("is compressed twice"), _INFLATE),
    (b"\xff\xfe", say("is UTF-16 text"), say("Write it as UTF-8; the > of older PowerShells does not.")),
    (
        b"version https://git-lfs",
        say("is a pointer of Git LFS in place of the file"),
        say("Fetch the file with git lfs pull."),
    ),
    (b"<!doctype html", say("is a web page"), say("Download the file itself, not the page about it.")),
    (b"<html", say("is a web page"), say("Download the file itself, not the page about it.")),
)
_HOLDS: tuple[tuple[re.Pattern[bytes], Text, Text], ...] = (
    (
        re.compile(rb"PK\x03\x04.{22,64}/data\.pkl", re.DOTALL),
        say("is what torch.save wrote"),
        say("Weights tell nothing of a run. Give its trace, or its memory snapshot."),
    ),
    (
        re.compile(rb'\s*\{\s*"schema":\s*"[^"]{0,40}chakra'),
        say("is an execution trace, which has no times of the device"),
        say("Give the trace that the profiler recorded beside it: prof.export_chrome_trace()."),
    ),
    (
        re.compile(rb"\s*\[\[-?\d+,\s*-?\d+"),
        say("is a memory timeline of torch.profiler, without stacks"),
        say("Give a memory snapshot: torch.cuda.memory._dump_snapshot()."),
    ),
    (
        re.compile(rb'\s*\{.{0,400}?"https://www\.speedscope\.app/file-format-schema\.json"', re.DOTALL),
        say("is a profile for speedscope, which shows the host alone"),
        say("Give the trace of torch.profiler or of Nsight Systems."),
    ),
    (
        re.compile(rb"-{9}[- ]*\r?\n\s+Name\s+Self CPU"),
        say("is a table of key_averages(), without times of events"),
        _EXPORT,
    ),
    (
        re.compile(rb"(Time ?\(%\),Total Time|Start ?\(ns\),Duration ?\(ns\)),?"),
        say("is a table of nsys stats, without what it was made from"),
        say("Give the recording itself (.nsys-rep), or its export to .sqlite."),
    ),
    (
        re.compile(rb"[^\n;]+\(\d+\): ?[^\n;]+(;[^\n]*)? \d+\r?\n"),
        say("is a list of stacks, without times of events"),
        _EXPORT,
    ),
)
_TAR = slice(257, 262)  # POSIX.1-1988, the field `magic` of a header


def mistaken_for_a_trace(head: bytes) -> tuple[Text, Text] | None:
    """(problem, remedy) for the inflated first bytes of a file of some well-known other kind; None for the rest."""
    if head[_TAR] == b"ustar":
        return say("is a tar archive"), _UNPACK
    for pattern, problem, remedy in _HOLDS:
        if pattern.match(head):
            return problem, remedy
    start = head[:32].lstrip().lower()
    for begin, problem, remedy in _BEGINS:
        if head.startswith(begin) or start.startswith(begin):
            return problem, remedy
    return None
