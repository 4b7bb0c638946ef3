"""Forward, backward, recompute and optimizer; prefill and decode; compiled regions; use of the peak."""

from __future__ import annotations

import pytest
from compute_situations import FAST, Computing
from linked import AUTOGRAD, Linked

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.analyzers.phases_results import GraphBreak, Phases
from traceanalyzer.analyzers.serving import phase_of
from traceanalyzer.reporters.phases import phase_lines


def phases(b: Linked) -> Phases:
    found: Phases = run_analyzers(b.trace())[0]["phases"]
    return found


def shares(b: Linked) -> dict[str, float]:
    return {row.phase: round(row.share, 3) for row in phases(b).rows}


def training(*, recompute: bool = False) -> Linked:
    """10 µs forward, 30 µs backward (of which 10 recomputed), 10 µs optimizer."""
    b = Linked()
    b.launch("f", 0, 20, 30, op=b.op("aten::mm", 0, 3, seq=7))
    node = b.op("autograd::engine::evaluate_function: MmBackward0", 10, 29, tid=AUTOGRAD, seq=7, fwd_tid=1)
    again = b.op("aten::mm", 11, 15, tid=AUTOGRAD, parent=node, depth=1, seq=9 if recompute else -1)
    b.launch("f", 12, 30, 40, op=again, tid=AUTOGRAD)
    for i in range(2):
        op = b.op("aten::mm", 16 + 4 * i, 19 + 4 * i, tid=AUTOGRAD, parent=node, depth=1)
        b.launch("g", 17 + 4 * i, 40 + 10 * i, 50 + 10 * i, op=op, tid=AUTOGRAD)
    b.annotation("Optimizer.step#AdamW.step", 30, 40)
    b.launch("adam", 32, 60, 70, op=b.op("aten::_fused_adamw_", 31, 36))
    return b


def test_training_splits_into_forward_backward_and_optimizer() -> None:
    assert shares(training()) == {"forward": 0.2, "backward": 0.6, "optimizer": 0.2}
    assert phases(training()).recompute_share == 0


def test_a_forward_op_that_autograd_runs_again_is_recomputed() -> None:
    assert shares(training(recompute=True)) == {
        "forward": 0.2,
        "backward": 0.4,
        "recompute": 0.2,
        "optimizer": 0.2,
    }
    assert phases(training(recompute=True)).recompute_share == pytest.approx(0.2)


def test_time_in_which_two_phases_run_is_told_apart_and_all_shares_make_the_whole() -> None:
    """50 µs of work, in 10 of which a copy that the forward pass launched runs beside the backward pass."""
    b = training()
    call = b.call("cudaMemcpyAsync", 4, 6)
    b.copy("DtoH", 45, 55, "device", "pinned", api_call=call, op=b.op("aten::copy_", 3, 7), stream=9)
    found = phases(b)
    assert shares(b) == {"forward": 0.2, "backward": 0.4, "optimizer": 0.2}
    assert {row.phase: row.busy_ns for row in found.rows} == {
        "forward": 20_000,
        "backward": 30_000,
        "optimizer": 10_000,
    }
    assert found.several_share == pytest.approx(0.2)
    assert sum(row.share for row in found.rows) + found.several_share == pytest.approx(1)
    assert str(phase_lines({"phases": found})[0]).endswith(", several at a time 20 %.")


def test_where_phases_follow_each_other_nothing_is_said_of_several() -> None:
    found = phases(training())
    assert found.several_share == 0
    assert "several" not in str(phase_lines({"phases": found})[0])


def test_a_trace_that_tells_of_no_phase_has_none() -> None:
    b = Linked()
    b.launch("k", 0, 10, 20, op=b.op("aten::mm", 0, 3))
    assert (phases(b).kind, phases(b).rows) == (None, ())


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("execute_context_1(888_788544)_generation_0(0)", "prefill"),
        ("execute_32_context_0(sq0sk0sqsq0sqsk0)_generation_32(sq32sk55086)", "decode"),
        ("execute_context_2(64)_generation_5(5)", "mixed"),
        ("step[DECODE bs=8]", "decode"),
        ("forward_extend", "prefill"),
        ("decoder", None),
        ("extended_attention", None),
    ],
)
def test_names_of_serving_engines(name: str, phase: str | None) -> None:
    assert phase_of(name) == (None if phase is None else ("prefill", "decode", "mixed").index(phase))


def serving() -> Linked:
    b = Linked()
    b.annotation("execute_context_1(5)_generation_0(0)", 0, 10)
    b.launch("flash_fwd", 5, 20, 50)
    b.annotation("execute_context_0(0)_generation_1(1)", 11, 20)
    b.launch("vectorized_elementwise_kernel", 15, 50, 60)
    b.launch("sampler", 25, 60, 70)
    return b


def test_prefill_and_decode_have_a_label_each() -> None:
    rows = {row.phase: row for row in phases(serving()).rows}
    assert {name: round(row.share, 2) for name, row in rows.items()} == {
        "prefill": 0.6,
        "decode": 0.2,
        "other": 0.2,
    }
    assert rows["prefill"].limit.bound == "compute"
    assert rows["decode"].limit.bound == "memory_bandwidth"
    assert rows["decode"].calls == 1


def test_in_transformers_loop_the_first_call_of_the_model_is_prefill() -> None:
    b = Linked()
    loop = b.host("python_calls", "transformers/generation/utils.py(3100): _sample", 0, 100,
                  file="transformers/generation/utils.py", line=3100, function="_sample", depth=0)  # fmt: skip
    for i in range(3):
        b.host("python_calls", "nn.Module: Llama_0", 10 + 30 * i, 35 + 30 * i, parent=loop, depth=1,
               module="Llama_0")  # fmt: skip
        b.launch("k", 12 + 30 * i, 40 + 30 * i, 50 + 30 * i)
    assert shares(b) == {"prefill": 0.333, "decode": 0.667}


def test_compiled_regions_and_the_functions_that_break_the_graph() -> None:
    b = Linked()
    for i in range(2):
        region = b.op(f"Torch-Compiled Region: {i}/0", 20 * i, 20 * i + 10)
        op = b.op("triton_poi_fused_add_0", 20 * i + 1, 20 * i + 5, parent=region, depth=1)
        b.launch("triton_poi_fused_add_0", 20 * i + 2, 100 + 10 * i, 110 + 10 * i, op=op)
    b.launch("eager", 50, 120, 140, op=b.op("aten::mul", 50, 52))
    b.host("python_calls", "m.py(9): torch_dynamo_resume_in_forward_at_12", 15, 40,
           file="m.py", line=9, function="torch_dynamo_resume_in_forward_at_12", depth=0)  # fmt: skip
    found = phases(b).compiled
    assert (found.regions, found.calls, found.host_ns, found.share) == (2, 2, 20_000, 0.5)
    assert found.breaks == (GraphBreak("forward_at_12", 1),)


def test_use_of_the_peak_is_flops_by_wall_time() -> None:
    """One product of 2·4096³ FLOPs in 200 µs of a window of 210 µs, on 989.4 TFLOP/s."""
    b = Computing().work("aten::mm", FAST, 200, [4096, 4096], [4096, 4096]).done()
    use = phases(b).utilisation
    wall = run_analyzers(b.trace())[0]["breakdown"].devices[0].whole.wall_ns
    assert use.model == use.hardware == pytest.approx(2 * 4096**3 / (use.peak_flops_per_s * wall / 1e9))
    assert (use.dtype, use.costed) == ("bf16", 1)


def test_use_of_the_peak_counts_the_work_of_steps_alone() -> None:
    """What the device still did of the warm-up is in no step: with its FLOPs, a busy GPU came out above 100 %."""
    b = Computing()
    square = [4096, 4096]
    b.kernel(FAST, 10, 210)  # launched before the recording began
    b.work("aten::mm", FAST, 200, square, square)
    b.rows["kernels"][-1].update(ts=210_000)
    b.step(1, 0, 410)
    once = phases(b).utilisation
    b.work("aten::mm", FAST, 200, square, square)  # launched after the last step
    b.rows["api_calls"][-1].update(ts=420_000)
    b.rows["kernels"][-1].update(ts=430_000)
    assert phases(b).utilisation.model == pytest.approx(once.model)
    assert once.flops == 2 * 4096**3


def test_use_of_the_peak_is_unknown_without_shapes_or_gpu() -> None:
    assert phases(training()).utilisation is None
    b = Computing(gpu=None).work("aten::mm", FAST, 200, [4096, 4096], [4096, 4096]).done()
    assert phases(b).utilisation is None
