"""Ops that no formula knows run on PyTorch's meta device, in another process; what is not allowed is refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from compute_situations import STREAM, Computing

from traceanalyzer import load
from traceanalyzer.analyzers.roofline import RooflineAnalyzer
from traceanalyzer.cost import attribution, meta
from traceanalyzer.cost.attribution import kernel_costs
from traceanalyzer.cost.call import parse_call
from traceanalyzer.cost.formulas import cost_of
from traceanalyzer.cost.meta import costs_on_meta
from traceanalyzer.cost.meta_child import run

if TYPE_CHECKING:
    from traceanalyzer.cost.meta import Recorded

pytest.importorskip("torch")

GPU = Path(__file__).parents[2] / "fixtures" / "gpu"


def recorded(name: str, dims: list[Any], values: list[str], dtype: str = "float") -> Recorded:
    types = [dtype if d else "Scalar" for d in dims]
    return name, json.dumps(dims), json.dumps(types), json.dumps([[] for _ in dims]), json.dumps(values)


CROSS = recorded("aten::linalg_cross", [[10, 3], [10, 3], []], ["", "", "-1"])
ADDMM = recorded("aten::addmm", [[5], [3, 4], [4, 5], [], []], ["", "", "", "1", "1"])


def test_traffic_is_that_of_inputs_and_output() -> None:
    (cost,) = costs_on_meta([CROSS])
    assert (cost.bytes, cost.matrix) == (3 * 4 * 30, False)
    assert "not counted" in cost.assumes


def test_what_pytorch_counts_is_what_the_formula_says() -> None:
    (cost,) = costs_on_meta([ADDMM])
    assert (cost.flops, cost.matrix) == (2 * 3 * 4 * 5, True)
    assert cost_of(parse_call(*ADDMM)).matrix


HOSTILE = [
    ("os::system", "[[1]]", '["float"]', "[]", "[]"),
    ("aten::__class__", "[[1]]", '["float"]', "[]", "[]"),
    ("aten::linalg_cross.__globals__", "[[1]]", '["float"]', "[]", "[]"),
    recorded("aten::unbind", [[1 << 30, 2], []], ["", "0"]),  # a list of any length
    recorded("aten::from_file", [[], [], [], []], ["/etc/passwd", "", "10", ""]),
    recorded("aten::linalg_cross", [[1 << 62, 3], [1 << 62, 3], []], ["", "", "-1"]),
    recorded("aten::linalg_cross", [[-1, 3], [10, 3], []], ["", "", "-1"]),
    recorded("aten::linalg_cross", [[10, 3], [10, 3], []], ["", "", "__import__('os')"]),
    recorded("aten::linalg_cross", [[10, 3], [10, 3], []], ["", "", "9" * 10_000]),
    ("aten::linalg_cross", "[", '["float"]', "[]", "[]"),
    ("aten::linalg_cross", "[[10,3],[10,3],[]]", '["float","float",7]', "{}", "3"),
]


def test_what_a_trace_may_not_ask_for_is_refused_and_the_next_call_is_run() -> None:
    answers = run([[*call] for call in (*HOSTILE, CROSS)])
    assert answers[:-1] == [None] * len(HOSTILE)
    assert answers[-1] is not None


def test_a_kernel_gets_its_cost_from_there_and_says_so() -> None:
    shape = [1 << 22, 3]
    b = Computing().work(
        "aten::linalg_cross", STREAM, 60, shape, shape, [], types=["float", "float", "Scalar"],
        concrete_inputs='["","","-1"]', input_strides="[[],[],[]]",
    )  # fmt: skip
    found = RooflineAnalyzer().analyze(b.done().trace(), {})
    (row,) = found.rows
    assert (row.source, row.bytes, row.confidence) == ("replayed", 3 * 4 * 3 * (1 << 22), "low")
    assert found.coverage.replayed == found.coverage.cost == 1


def test_without_pytorch_the_op_stays_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta, "find_spec", lambda _: None)
    assert costs_on_meta([CROSS]) == [None]


def test_pytorch_is_not_started_for_a_trifle_nor_where_a_formula_lacks_an_argument(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        attribution, "costs_on_meta", lambda calls: asked.append(calls) or [None] * len(calls)
    )
    b = Computing().work("aten::add", STREAM, 1000, [1 << 13, 1 << 13], [1 << 13, 1 << 13])
    b.work("aten::linalg_cross", STREAM, 5, [10, 3], [10, 3])
    b.work("aten::mm", STREAM, 1000, [10, 3])
    RooflineAnalyzer().analyze(b.done().trace(), {})
    assert asked == []


def test_pytorch_is_not_started_where_it_cannot_tell_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    """To start it takes seconds, as long as the whole report of a small trace."""
    started: list[Any] = []
    monkeypatch.setattr(subprocess, "run", lambda *told, **_: started.append(told))
    b = Computing().work("aten::add", STREAM, 100, [1 << 13, 1 << 13], [1 << 13, 1 << 13])
    b.work("aten::nonzero", STREAM, 1000, [1 << 13, 1 << 13])  # its result is as large as the data says
    b.work("fbgemm::permute_sparse_features", STREAM, 1000, [1 << 13], [1 << 13])  # is none of PyTorch's own
    b.work("aten::linalg_cross", STREAM, 5, [10, 3], [10, 3])
    RooflineAnalyzer().analyze(b.done().trace(), {})
    assert started == []


@pytest.mark.parametrize("recording", ["train", "math_sdpa", "nonzero_loop", "layernorm"])
def test_a_report_of_a_usual_run_does_not_wait_for_pytorch(
    recording: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(
        attribution, "costs_on_meta", lambda calls: asked.extend(calls) or [None] * len(calls)
    )
    kernel_costs(load(GPU / f"{recording}.plain.trace.json.gz"))
    assert asked == []
