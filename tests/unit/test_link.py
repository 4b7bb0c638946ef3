"""How rows find each other: launches, ops, frames, modules, steps and forward ops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceanalyzer.model.capabilities import capabilities_of
from traceanalyzer.model.link import link
from traceanalyzer.model.schema import TABLES
from traceanalyzer.model.tables import empty, from_rows
from traceanalyzer.model.trace import Source, Trace

if TYPE_CHECKING:
    from collections.abc import Iterable

HOST = {"rank": 0, "pid": 1, "tid": 2}


def linked(**rows: Iterable[dict[str, Any]]) -> Trace:
    tables = {t.name: empty(t.name) for t in TABLES}
    tables |= {name: from_rows(name, list(r)) for name, r in rows.items()}
    source = Source("run.json", "chrome", "", 0, 0, 0)
    return link(Trace((source,), tables, capabilities_of(tables)))


def op(name: str, ts: int, dur: int, **more: Any) -> dict[str, Any]:
    return {**HOST, "name": name, "ts": ts, "dur": dur, **more}


def launch(ts: int, correlation: int, **more: Any) -> dict[str, Any]:
    return {
        **HOST,
        "name": "cudaLaunchKernel",
        "ts": ts,
        "dur": 2,
        "correlation": correlation,
        "layer": "runtime",
        **more,
    }


def kernel(ts: int, correlation: int | None, **more: Any) -> dict[str, Any]:
    row = {"rank": 0, "name": "k", "ts": ts, "dur": 5, "device": 0, "stream": 7, "correlation": correlation}
    return {**row, **more}


def column(trace: Trace, table: str, name: str) -> list[Any]:
    values: list[Any] = trace.tables[table][name].to_pylist()
    return values


def test_a_kernel_finds_the_innermost_op_around_its_launch() -> None:
    trace = linked(
        ops=[op("aten::linear", 0, 50), op("aten::addmm", 5, 30), op("aten::relu", 60, 10)],
        api_calls=[launch(10, 1), launch(40, 2), launch(62, 3), launch(80, 4)],
        kernels=[kernel(100, 1), kernel(110, 2), kernel(120, 3), kernel(130, 4)],
    )
    assert column(trace, "kernels", "op") == [1, 0, 2, None]
    assert column(trace, "kernels", "api_call") == [0, 1, 2, 3]
    assert column(trace, "kernels", "link") == ["nesting", "nesting", "nesting", "none"]


def test_an_op_on_another_thread_is_not_around_a_launch() -> None:
    trace = linked(
        ops=[op("aten::mul", 0, 50) | {"tid": 9}],
        api_calls=[launch(10, 1)],
        kernels=[kernel(100, 1)],
    )
    assert column(trace, "kernels", "op") == [None]


def test_the_profilers_own_id_helps_where_there_is_no_launch_row() -> None:
    trace = linked(
        ops=[op("aten::mul", 0, 50, external_id=17), op("aten::later", 500, 5, external_id=18)],
        kernels=[
            kernel(100, 1, external_id=17),
            kernel(110, 2, external_id=18),
            kernel(120, 3, external_id=99),
        ],
    )
    assert column(trace, "kernels", "op") == [0, None, None]
    assert column(trace, "kernels", "link") == ["external_id", "none", "none"]


def test_a_flow_stands_in_for_a_missing_correlation() -> None:
    ends = {"name": "ac2g", "kind": "ac2g", "flow_id": 5, "rank": 0}
    trace = linked(
        ops=[op("aten::mul", 0, 50)],
        api_calls=[launch(10, None)],
        kernels=[kernel(100, None)],
        flows=[
            {**ends, "end": "s", "ts": 10, "pid": 1, "tid": 2},
            {**ends, "end": "f", "ts": 100, "pid": 0, "tid": 7},
        ],
    )
    assert column(trace, "kernels", "api_call") == [0]
    assert column(trace, "kernels", "link") == ["flow"]


def test_correlation_zero_joins_nothing() -> None:
    trace = linked(api_calls=[launch(10, 0)], kernels=[kernel(100, 0)])
    assert column(trace, "kernels", "api_call") == [None]


def test_all_kernels_of_a_graph_launch_belong_to_it() -> None:
    graph = launch(10, 1) | {"name": "cudaGraphLaunch"}
    trace = linked(ops=[op("run", 0, 50)], api_calls=[graph], kernels=[kernel(100 + i, 1) for i in range(3)])
    assert column(trace, "kernels", "link") == ["graph"] * 3
    assert column(trace, "kernels", "api_call") == [0, 0, 0]


def test_ranks_do_not_mix() -> None:
    trace = linked(
        ops=[op("aten::zero", 0, 50), op("aten::one", 0, 50) | {"rank": 1}],
        api_calls=[launch(10, 1), launch(10, 1) | {"rank": 1}],
        kernels=[kernel(100, 1), kernel(100, 1) | {"rank": 1}],
    )
    assert column(trace, "kernels", "op") == [0, 1]


def test_parents_depths_and_self_times_of_ops() -> None:
    trace = linked(ops=[op("a", 0, 100), op("b", 10, 50), op("c", 20, 30), op("d", 70, 10)])
    assert column(trace, "ops", "parent") == [None, 0, 1, 0]
    assert column(trace, "ops", "depth") == [0, 1, 2, 1]
    assert column(trace, "ops", "self_dur") == [40, 20, 30, 10]


def test_frames_give_file_line_function_and_module_paths() -> None:
    frames = [
        op("train.py(12): main", 0, 100),
        op("nn.Module: Model_0", 10, 80),
        op("nn.Module: Linear_3", 20, 20),
        op("torch/nn/modules/linear.py(130): forward", 22, 10),
        op("<built-in function linear>", 25, 5),
        op("nn.Module: Linear_4", 50, 20),
    ]
    trace = linked(python_calls=frames, ops=[op("aten::linear", 26, 2), op("aten::add", 95, 2)])
    assert column(trace, "python_calls", "file")[:4] == ["train.py", None, None, "torch/nn/modules/linear.py"]
    assert column(trace, "python_calls", "line")[:4] == [12, None, None, 130]
    assert column(trace, "python_calls", "function")[-2] == "<built-in function linear>"
    assert column(trace, "python_calls", "module") == [
        None, "Model_0", "Model_0/Linear_3", "Model_0/Linear_3", "Model_0/Linear_3", "Model_0/Linear_4",
    ]  # fmt: skip
    assert column(trace, "ops", "module") == ["Model_0/Linear_3", None]
    assert column(trace, "ops", "python_call") == [4, 0]


def test_a_backward_op_gets_the_module_of_its_forward() -> None:
    trace = linked(
        python_calls=[op("nn.Module: Linear_0", 0, 50)],
        ops=[
            op("aten::linear", 5, 40, seq=7, fwd_tid=0),
            op("aten::addmm", 10, 20, seq=7, fwd_tid=0),
            op("autograd::engine::evaluate_function: AddmmBackward0", 200, 50, seq=7, fwd_tid=1) | {"tid": 3},
            op("aten::mm", 210, 20) | {"tid": 3},
        ],
        api_calls=[launch(215, 1) | {"tid": 3}],
        kernels=[kernel(300, 1)],
    )
    assert column(trace, "ops", "forward") == [None, None, 1, 1]
    assert column(trace, "ops", "module") == ["Linear_0"] * 4
    assert column(trace, "kernels", "module") == ["Linear_0"]


def test_rows_belong_to_the_step_of_their_launch() -> None:
    steps = [
        op("ProfilerStep#1", 0, 100, on_gpu=False, domain="user_annotation"),
        op("ProfilerStep#2", 100, 90, on_gpu=False, domain="user_annotation"),
    ]
    trace = linked(
        annotations=steps,
        ops=[op("a", 10, 5), op("b", 150, 5), op("c", 195, 5)],
        api_calls=[launch(12, 1), launch(152, 2)],
        kernels=[kernel(140, 1), kernel(260, 2), kernel(20, None)],
    )
    assert column(trace, "ops", "step") == [0, 1, None]
    assert column(trace, "kernels", "step") == [
        0,
        0,
        1,
    ]  # sorted by start: 20 (by time), 140, 260 (by launch)


def test_linking_leaves_its_input_alone() -> None:
    tables = {t.name: empty(t.name) for t in TABLES}
    trace = Trace((Source("run.json", "chrome", "", 0, 0, 0),), tables, frozenset())
    link(trace)
    assert "op" not in trace.kernels.column_names
    assert "op" in link(trace).kernels.column_names
