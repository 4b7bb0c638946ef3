"""`--mapping`: a second trace of the same program says what the kernels inside CUDA graphs belong to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from linked import Linked

import traceanalyzer as ta
from fixtures.simulator import decoder
from traceanalyzer.cli.command_line import run
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.mapping import Match, attribute

SIMULATED = Path(__file__).parents[2] / "fixtures" / "simulated"
GRAPH, EAGER = (str(SIMULATED / f"{name}.json.gz") for name in ("sim_cuda_graph", "sim_cuda_graph_off"))


@pytest.fixture(scope="module")
def mapped() -> ta.Trace:
    return ta.load(GRAPH, mapping=EAGER)


def test_every_kernel_of_the_graph_gets_its_own_op_module_and_line(mapped: ta.Trace) -> None:
    """The simulator knows what each node of the graph is; 5 replays of 65 kernels."""
    calls = list(decoder.calls())
    link, links = texts(mapped.kernels, "link")
    in_graph = np.flatnonzero(link == links.index("graph"))
    assert len(in_graph) == 5 * len(calls)
    second = mapped.mapping.trace
    op = ints(second.kernels, "op")[mapped.mapping.kernel[in_graph]]
    codes, names = texts(second.ops, "name")
    assert [names[codes[row]] for row in op] == [call.op for call in calls] * 5
    codes, paths = texts(second.kernels, "module")
    found = [paths[codes[row]].split("/")[-1] for row in mapped.mapping.kernel[in_graph]]
    assert found == [call.modules[-1] for call in calls] * 5
    assert (mapped.mapping.how[in_graph] == Match.ORDER).all()


def test_costs_and_labels_are_those_of_the_second_trace(mapped: ta.Trace) -> None:
    analysis = ta.analyze(mapped)
    assert analysis["roofline"].coverage.mapping > 0.95
    assert (analysis.verdict.bottleneck, analysis.verdict.confidence) == ("memory_bandwidth", "high")
    (head,) = [r for r in analysis["modules"].rows if r.name == "LMHead_0"]
    (row,) = [r for r in analysis["mapping"].rows if r.module == head.path]
    assert head.device_ns == row.total_ns
    assert (row.op, row.python, row.how, row.count) == ("aten::mm", "decoder.py:71", "order", 5)


def test_without_a_second_trace_products_of_few_rows_are_told_by_their_tiles() -> None:
    analysis = ta.analyze(ta.load(GRAPH))
    assert analysis["mapping"] is None
    assert (analysis.verdict.bottleneck, analysis.verdict.confidence) == ("memory_bandwidth", "low")


def graph(*names: str) -> Linked:
    b = Linked()
    call = b.call("cudaGraphLaunch", 0, 5)
    for i, name in enumerate(names):
        b.kernel(name, 10 + i, 11 + i, api_call=call, link="graph", grid=[i + 1, 1, 1], block=[32, 1, 1])
    return b


def eager(*names: str) -> Linked:
    b = Linked()
    for i, name in enumerate(names):
        op = b.op(f"aten::{name}", 10 * i, 10 * i + 5)
        grid = {"grid": [i + 1, 1, 1], "block": [32, 1, 1]}
        b.launch(name, 10 * i + 1, 100 + i, 101 + i, op=op, link="nesting", **grid)
    return b


def hows(first: Linked, second: Linked) -> list[str]:
    return [Match(how).name for how in attribute(first.trace(), second.trace()).how]


def test_equal_neighbours_make_a_match_by_order() -> None:
    assert hows(graph("a", "b", "c"), eager("a", "b", "c")) == ["ORDER"] * 3


def test_the_grid_alone_is_less_and_the_name_alone_least() -> None:
    assert hows(graph("a", "b", "c"), eager("a", "x", "c")) == ["ORDER", "NONE", "ORDER"]
    assert hows(graph("a", "b", "c"), eager("z", "a", "y", "x")) == ["NAME", "NONE", "NONE"]
    assert hows(graph("x", "b", "y"), eager("z", "b", "w")) == ["NONE", "GRID", "NONE"]


def test_kernels_of_the_second_trace_that_lie_in_a_graph_themselves_tell_nothing() -> None:
    assert hows(graph("a", "b"), graph("a", "b")) == ["NONE", "NONE"]


def test_a_kernel_with_an_op_of_its_own_keeps_it() -> None:
    found = attribute(eager("a").trace(), eager("a").trace())
    assert found.kernel.tolist() == [-1]


def test_the_matched_share_is_in_text_json_and_page(tmp_path: Path) -> None:
    outputs = {suffix: tmp_path / f"report.{suffix}" for suffix in ("txt", "json", "html", "md")}
    for path in outputs.values():
        assert run(["report", GRAPH, "--mapping", EAGER, "-o", str(path)]) == 0
    document = json.loads(outputs["json"].read_text())
    assert document["mapping"]["matched"] == 1
    for suffix in ("txt", "html", "md"):
        assert "100 % of the time of kernels without an op was found in" in " ".join(
            outputs[suffix].read_text().split()
        )


def test_what_is_not_found_stays_inside_the_graph() -> None:
    """The mapping run of another program gives nothing, and says so."""
    other = str(SIMULATED / "sim_bandwidth_bound.json.gz")
    mapped = ta.analyze(ta.load(GRAPH, mapping=other))["mapping"]
    assert mapped.none > 0.9
    assert {row.op for row in mapped.rows if row.how == "none"} == {None}
