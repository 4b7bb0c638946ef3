"""The timeline's columns: every event that fits is there to the ns, and what does not fit is summed."""

from __future__ import annotations

import base64
import itertools
import json
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import played_run
import report_cases as cases

from traceanalyzer.analyzers import results as r
from traceanalyzer.model.link import link
from traceanalyzer.model.tables import from_rows
from traceanalyzer.model.trace import Trace
from traceanalyzer.reporters import timeline
from traceanalyzer.reporters.timeline import narrowed
from traceanalyzer.reporters.timeline.narrowed import Narrowed
from traceanalyzer.rules.analysis import Analysis
from traceanalyzer.rules.findings import Evidence, Finding
from traceanalyzer.text import say

if TYPE_CHECKING:
    import pytest


def unpack(packed: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the page's script does, in Python: the header and the columns, starts made absolute."""
    assert packed is not None
    data = zlib.decompress(base64.b64decode(packed))
    length = int.from_bytes(data[:4], "little")
    head = json.loads(data[4 : 4 + length])
    at, columns = 4 + length, {}
    for key, count, width in head["columns"]:
        planes = np.frombuffer(data, np.uint8, count * width, at).reshape(width, count).astype(np.int64)
        columns[key] = sum((planes[i] << (8 * i) for i in range(width)), np.zeros(count, np.int64))
        at += count * width
    assert at == len(data)
    firsts = [first for _, _, first in head["rows"]] + [head["n"]]
    for first, last in itertools.pairwise(firsts):
        columns["start"][first:last] = np.cumsum(columns["start"][first:last])
    columns["start"] += head["origin"]
    columns["sum_key"] = np.cumsum(columns["sum_key"])
    return head, columns


def only(table: str, rows: list[dict[str, Any]]) -> Analysis:
    """An analysis of a trace that holds one table."""
    base = cases.nothing()
    tables = dict(base.trace.tables) | {table: from_rows(table, [{"rank": 0} | row for row in rows])}
    trace = link(Trace(base.trace.sources, tables, frozenset()))
    return Analysis(trace, {"steps": r.Steps("window", (), 0)}, base.verdict, (), (), ())


def on_host(*spans: tuple[int, int]) -> Analysis:
    return only(
        "ops", [{"name": f"op{i}", "ts": t, "dur": d, "pid": 1, "tid": 1} for i, (t, d) in enumerate(spans)]
    )


def test_every_event_is_there_with_its_name_to_the_ns() -> None:
    analysis = cases.training()
    head, columns = unpack(timeline.embed(analysis))
    tables = analysis.trace.tables
    expected = sorted(
        (row["ts"], row["dur"], row["name"])
        for name in ("kernels", "copies", "ops", "api_calls", "annotations")
        for row in tables[name].to_pylist()
    )
    found = zip(
        columns["start"], columns["dur"], (head["names"][c - 1] for c in columns["name"]), strict=True
    )
    assert sorted((int(s), int(d), n) for s, d, n in found) == expected
    assert head["notes"] == []


def test_streams_come_before_threads_and_have_one_row() -> None:
    head, _ = unpack(timeline.embed(cases.training()))
    assert [lane["side"] for lane in head["lanes"]] == ["device", "device", "host"]
    assert {row for lane, row, _ in head["rows"] if lane < 2} == {0}
    assert head["lanes"][2]["label"] == "python main thread"


def test_nested_events_lie_on_rows_of_their_own() -> None:
    head, _ = unpack(timeline.embed(on_host((0, 100), (10, 30), (10, 10), (50, 10), (100, 5))))
    assert [row for _, row, _ in head["rows"]] == [0, 1, 2]
    sizes = np.diff([first for _, _, first in head["rows"]] + [head["n"]])
    assert list(sizes) == [2, 2, 1]


def test_instants_do_not_end_before_what_starts_with_them() -> None:
    head, _ = unpack(timeline.embed(on_host((0, 100), (10, 0), (10, 0))))
    assert head["n"] == 3


def test_communication_is_what_the_kernel_analyzer_says_it_is() -> None:
    head, columns = unpack(timeline.embed(cases.training()))
    is_nccl = np.array([head["names"][c - 1] == played_run.NCCL for c in columns["name"]])
    assert set(columns["kind"][is_nccl]) == {timeline.KINDS.index("communication")}


def test_beyond_the_budget_the_longest_are_drawn_and_the_rest_is_summed() -> None:
    spans = [(i * 1000, 10 + i) for i in range(500)]
    head, columns = unpack(timeline.embed(on_host(*spans), budget=100))
    assert head["n"] <= 100
    assert columns["dur"].min() > columns["dur"].max() - 100
    assert head["n"] + columns["sum_count"].sum() == 500
    assert columns["dur"].sum() + columns["sum_busy"].sum() == sum(d for _, d in spans)
    assert "summed per slice" in head["notes"][0]


def test_events_that_are_all_alike_are_sampled_evenly() -> None:
    head, columns = unpack(timeline.embed(on_host(*((i * 1000, 10) for i in range(500))), budget=100))
    assert head["n"] == 100
    assert columns["start"].max() > 490_000


def test_gaps_carry_the_cause_that_the_breakdown_found() -> None:
    analysis = cases.training()
    head, _ = unpack(timeline.embed(analysis))
    (gaps,) = head["gaps"]
    longest = analysis["breakdown"].largest_gaps[0]
    at = gaps["start"].index(longest.start_ns - head["origin"])
    assert gaps["dur"][at] == longest.duration_ns
    assert gaps["cause"][at] == longest.cause
    assert longest.cause in head["causes"]


def test_the_quietest_streams_give_way() -> None:
    rows = [
        {"name": "k", "ts": i * 10 + n, "dur": 3, "device": 0, "stream": i}
        for i in range(40)
        for n in range(i + 1)
    ]
    head, _ = unpack(timeline.embed(only("kernels", rows)))
    assert len(head["lanes"]) == 24
    assert {int(lane["label"].rsplit(" ", 1)[1]) for lane in head["lanes"]} == set(range(16, 40))
    assert "16 quieter streams" in head["notes"][-1]


def test_one_event_and_none() -> None:
    head, columns = unpack(timeline.embed(on_host((7, 0))))
    assert (head["n"], head["end"], list(columns["start"])) == (1, 1, [7])
    assert timeline.embed(cases.nothing()) is None


def naming(*rows: int) -> Analysis:
    """An op, frames on its thread and on one that runs only Python, and a finding that names some of them."""
    frames = [("step", 1, 0, 900), ("serve", 2, 10, 500), ("parse", 2, 20, 300)]
    table = from_rows(
        "python_calls",
        [
            {"name": n, "rank": 0, "ts": t, "dur": d, "pid": 1, "tid": tid, "depth": 0}
            for n, tid, t, d in frames
        ],
    )
    base = on_host((100, 400))
    trace = link(replace(base.trace, tables=dict(base.trace.tables) | {"python_calls": table}))
    proof = tuple(Evidence(say("x"), table="python_calls", row=row, rank=0, pid=1, tid=2) for row in rows)
    text = say("x")
    return replace(base, trace=trace, findings=(Finding("X001", text, "low", text, proof, text, "low"),))


def test_of_a_thread_that_runs_only_python_what_findings_name_is_drawn() -> None:
    head, columns = unpack(timeline.embed(naming(2)))
    assert [lane["label"] for lane in head["lanes"]] == ["thread 1", "thread 2"]
    assert [head["names"][i - 1] for i in columns["name"]] == ["op0", "parse"]
    assert columns["kind"].tolist() == [timeline.KINDS.index(kind) for kind in ("host", "python")]
    assert "Of threads that run only Python, the functions that findings name are drawn." in head["notes"]


def test_python_is_not_drawn_on_threads_that_have_more_to_show() -> None:
    head, columns = unpack(timeline.embed(naming(0)))
    assert [head["names"][i - 1] for i in columns["name"]] == ["op0"]
    assert head["notes"] == []


def with_curve(*extent: int) -> Analysis:
    base = on_host((1000, 500))
    points = tuple((t, 1, 2) for t in extent)
    line = r.MemoryTimeline(0, "cuda", 0, 2, 1, extent[0], 2, points, (), 0)
    return replace(base, results={**base.results, "memory": r.Memory((line,))})


def test_memory_extends_the_axis_unless_that_squeezes_the_events() -> None:
    assert unpack(timeline.embed(with_curve(800, 1600)))[0]["end"] == 800
    head, _ = unpack(timeline.embed(with_curve(0, 90_000)))
    assert (head["origin"], head["end"]) == (1000, 500)
    assert head["memory"][0]["at"] == [-1000, 89_000]


def test_calls_of_modules_that_a_range_does_not_count_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(narrowed, "MAX_CALLS", 2)
    frames = [
        {"name": "nn.Module: Net_0", "module": "Net_0", "ts": i * 100, "dur": 10 + i, "pid": 1, "tid": 1}
        for i in range(5)
    ]
    analysis = only("python_calls", frames)
    analysis = replace(analysis, trace=replace(analysis.trace, tables=on_host((0, 1000)).trace.tables | {
        "python_calls": analysis.trace.python_calls,
    }))  # fmt: skip
    head, columns = unpack(timeline.embed(analysis, narrowed=Narrowed(modules=["Net_0"])))
    assert list(np.cumsum(columns["call_start"])) == [300, 400]
    assert list(columns["call_dur"]) == [13, 14]
    assert head["inside"] == [0]
    assert head["notes"] == ["3 shorter calls of modules are not counted in a range."]


def test_a_module_lies_in_the_listed_one_around_it() -> None:
    assert Narrowed(modules=["Net_0", "Net_0/Block_1/Linear_2", "Other_0"]).inside == [0, 1, 0]
