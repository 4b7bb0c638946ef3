"""Samples of the CPU and calls into the operating system know the stack that made them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from nsys_files import Export, global_id, recorded

from traceanalyzer.analyzers.host_stacks import CallTree, HostStacks, HostStacksAnalyzer
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import analyze, load
from traceanalyzer.reporters import render

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.model.trace import Trace

NO_CACHE = LoadOptions(use_cache=False)


def chain(export: Export, table: str, number: int, *innermost_first: str) -> None:
    """Frames of one chain; `module!` is a frame without a symbol."""
    for depth, text in enumerate(innermost_first):
        unresolved = text.endswith("!")
        module = text[:-1] if unresolved else "/lib/libm.so"
        symbol = f"0x{number}{depth}" if unresolved else text
        export.add(table, id=number, symbol=export.name(symbol), module=export.name(module),
                   unresolved=1 if unresolved else None, stackDepth=depth)  # fmt: skip


def an_export() -> Export:
    export = Export()
    for number, start in ((1, 100), (2, 200), (3, 300), (4, 400)):
        export.add(
            "COMPOSITE_EVENTS", id=number, start=start, cpu=1, threadState=1, globalTid=global_id(9, 9)
        )
    samples = "SAMPLING_CALLCHAINS"
    chain(export, samples, 1, "g", "f", "main")
    chain(export, samples, 2, "h", "f", "main")
    chain(export, samples, 3, "/opt/libx.so!", "/opt/libx.so!", "main")  # and sample 4 has no chain
    for number, end in ((1, 1500), (0, 1700)):
        export.add("OSRT_API", start=1000, end=end, eventClass=27, globalTid=global_id(9, 9),
                   nameId=export.name("poll"), callchainId=number)  # fmt: skip
    chain(export, "OSRT_CALLCHAINS", 1, "poll", "wait", "main")
    return export


def loaded(*files: Path) -> Trace:
    return load(*files, options=NO_CACHE)


def paths(trace: Trace, table: str) -> list[str | None]:
    """The stack of each row, outermost first."""
    stacks, frames = trace.stacks.to_pylist(), trace.frames.to_pylist()

    def spelled(row: int | None) -> str:
        if row is None:
            return ""
        return f"{spelled(stacks[row]['parent'])}/{frames[stacks[row]['frame']]['name']}"

    return [None if row is None else spelled(row) for row in trace.tables[table]["stack"].to_pylist()]


@pytest.mark.parametrize("reverse", [False, True])
def test_every_row_has_its_stack_and_equal_beginnings_are_told_once(tmp_path: Path, *, reverse: bool) -> None:
    trace = loaded(an_export().write(tmp_path / "run.sqlite", reverse=reverse))
    assert paths(trace, "samples") == ["/main/f/g", "/main/f/h", "/main/libx.so", None]
    assert set(paths(trace, "others")) == {"/main/wait/poll", None}
    assert trace.stacks.num_rows == len({"main", "f", "g", "h", "libx", "wait", "poll"})
    assert trace.samples["state"].to_pylist() == ["Running"] * 4
    (frame,) = [f for f in trace.frames.to_pylist() if f["name"] == "libx.so"]
    assert frame["file"] == "/opt/libx.so"


def test_without_chains_samples_are_still_there(tmp_path: Path) -> None:
    file = an_export().write(tmp_path / "run.sqlite", without=["SAMPLING_CALLCHAINS", "OSRT_CALLCHAINS"])
    trace = loaded(file)
    assert trace.samples.num_rows == 4
    assert paths(trace, "samples") == [None] * 4
    assert HostStacksAnalyzer().analyze(trace, {}) == HostStacks(CallTree(), CallTree())
    assert json.loads(render(analyze(trace), "json"))["host_stacks"] is None


def test_stacks_of_several_files_do_not_mix(tmp_path: Path) -> None:
    other = Export()
    other.add("COMPOSITE_EVENTS", id=1, start=5, cpu=0, threadState=1, globalTid=global_id(7, 7))
    chain(other, "SAMPLING_CALLCHAINS", 1, "inner", "outer")
    trace = loaded(other.write(tmp_path / "a.sqlite"), an_export().write(tmp_path / "b.sqlite"))
    assert paths(trace, "samples") == ["/outer/inner", "/main/f/g", "/main/f/h", "/main/libx.so", None]


def test_the_report_counts_samples_and_sums_waits(tmp_path: Path) -> None:
    analysis = analyze(loaded(an_export().write(tmp_path / "run.sqlite")))
    found = analysis["host_stacks"]
    assert dict(zip(found.samples.name, found.samples.value, strict=True)) == {
        "main": 3, "f": 2, "g": 1, "h": 1, "libx.so": 1}  # fmt: skip
    assert found.system_calls == CallTree((-1, 0, 1), ("main", "wait", "poll"), (500, 500, 500), 0)
    page = render(analysis, "html")
    assert "3 samples of the CPU" in page
    assert json.loads(render(analysis, "json"))["host_stacks"]["samples"]["value"] == [3, 2, 1, 1, 1]


def test_a_real_recording_sleeps_where_the_program_sleeps(tmp_path: Path) -> None:
    trace = loaded(recorded(tmp_path))
    asleep = [path for path in paths(trace, "others") if path and "clock_nanosleep" in path]
    assert len(asleep) == 3
    assert all("/thread_run/" in path and "/time_sleep/" in path for path in asleep)
    assert trace.samples.num_rows == len([path for path in paths(trace, "samples") if path])
