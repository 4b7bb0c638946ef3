"""The headline: what is slow, why, and how sure. Times are µs."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from linked import Linked
from situations import (
    NCCL,
    communicating,
    copying,
    late_kernels,
    queued_kernels,
    stalled_by,
)

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.rules import judge
from traceanalyzer.rules.base import Facts
from traceanalyzer.rules.savings import Combined
from traceanalyzer.rules.verdict import verdict as judged
from traceanalyzer.rules.wording import count, duration, percent, size

if TYPE_CHECKING:
    from traceanalyzer.model.trace import Capability
    from traceanalyzer.rules.findings import Verdict


def verdict(b: Linked, capabilities: set[Capability] | None = None, **results: Any) -> Verdict:
    trace = b.trace(capabilities)
    return judge(trace, {**run_analyzers(trace)[0], **results})[0]


def test_launch_bound() -> None:
    found = verdict(late_kernels())
    assert found.bottleneck == "overhead"
    assert found.headline == "GPU idle 70 % of the step: the host launches too slowly; up to 2.5×"
    assert found.confidence == "high"


def test_pauses_are_told_apart_from_slow_launches() -> None:
    b = Linked()
    b.launch("gemm", called=0, start=5, end=500)
    b.launch("gemm", called=2500, start=2505, end=2600)
    b.step(1, 0, 2600)
    assert "the host pauses" in verdict(b).headline


def test_without_steps_it_speaks_of_the_trace_and_is_less_sure() -> None:
    b = late_kernels()
    b.rows["annotations"].clear()
    found = verdict(b)
    assert "of the trace" in found.headline
    assert found.confidence == "medium"


def test_without_launches_idle_has_no_cause_and_no_promise() -> None:
    b = late_kernels()
    for row in b.rows["kernels"]:
        row["api_call"] = None
    found = verdict(b)
    assert (found.bottleneck, found.confidence) == ("overhead", "low")
    assert "does not show why" in found.headline
    assert "up to" not in found.headline


def test_it_promises_what_the_replay_of_its_cause_gives_as_the_finding_does() -> None:
    """By the idle time alone 1 / (1 - 0.7) = 3.3 times; the launches that remain take their time too."""
    trace = late_kernels().trace()
    facts = Facts(run_analyzers(trace)[0], trace.capabilities, trace.sources)
    step_ns = facts.steps.median_ns
    (finding,) = (f for f in judge(trace, facts.results).findings if f.code == "IDLE001")
    half = [replace(finding, saving_ns=(step_ns // 4, step_ns // 2))]
    replayed = Combined(
        ("IDLE001",), 1, 0, (0,), 0, 1, 1, measured_ns=step_ns, error_share=0.0, saving_ns=(1, 2)
    )
    assert judged(facts, replayed, half).headline.endswith("up to 2.0×")
    assert judged(facts).headline.endswith("up to 3.3×")
    assert "up to" not in judged(facts, replayed, [replace(finding, saving_ns=None)]).headline
    of_another_rank = replace(replayed, ranks=(1,))
    assert judged(facts, of_another_rank, half).headline.endswith("up to 3.3×")


def test_communication() -> None:
    b = communicating(1000, 3000)
    assert verdict(b).bottleneck == "communication"


def test_copies_and_the_waits_for_them() -> None:
    assert verdict(copying("pageable", 510, 1400)).bottleneck == "copy"


@pytest.mark.parametrize(
    ("kernel", "bottleneck"),
    [
        ("nvjet_hsh_128x256_64x4_2x1_v_bz_TNT", "compute"),
        ("void flash_fwd_kernel<Flash_fwd_kernel_traits<128>>", "compute"),
        ("void at::native::vectorized_elementwise_kernel<4>", "memory_bandwidth"),
        ("my_mystery_kernel", "unknown"),
    ],
)
def test_a_busy_device_is_judged_by_the_names_of_its_kernels_at_low_confidence(
    kernel: str, bottleneck: str
) -> None:
    found = verdict(queued_kernels(kernel, runs=99))
    assert (found.bottleneck, found.confidence) == (bottleneck, "low")


def test_no_cause_dominates() -> None:
    """36 % compute, 34 % idle, 30 % communication."""
    b = Linked()
    b.launch("gemm", called=0, start=0, end=360)
    b.launch(NCCL, called=5, start=360, end=660, stream=20)
    b.launch("gemm", called=990, start=999, end=1000)
    b.step(1, 0, 1000)
    found = verdict(b)
    assert found.bottleneck == "mixed"
    assert "compute 36 %" in found.headline
    assert "34 %" in found.headline


def test_no_device_work_says_so_and_names_the_top_op_of_the_host() -> None:
    b = Linked()
    b.op("aten::mm", 0, 100)
    row = SimpleNamespace(name="aten::mm", self_ns=100_000)
    found = verdict(b, set(), ops=SimpleNamespace(by_name=(row,)))
    assert found.bottleneck == "unknown"
    assert "no GPU work" in found.headline
    assert "aten::mm" in found.headline


@pytest.mark.parametrize(
    ("table", "name", "says"),
    [
        (
            "annotations",
            "enumerate(DataLoader)#_X.__next__",
            "the next batch is waited for during 90 % of the step",
        ),
        ("python_calls", "<built-in function collect>", "Python collects garbage during 90 % of the step"),
        (
            "python_calls",
            "train.py(9): f",
            "in Python, or waits, outside of operators during 92 % of the step",
        ),
        ("ops", "aten::conv2d", "aten::conv2d takes most of the host's time, 90 % of the step"),
    ],
)
def test_without_device_work_a_stall_of_the_host_is_named_before_small_operators(
    table: str, name: str, says: str
) -> None:
    b = Linked()
    b.host(table, name, 0, 900, **({"self_dur": 900_000} if table == "ops" else {}))
    b.op("aten::mm", 910, 990, self_dur=80_000)
    b.step(1, 0, 1000)
    assert says in verdict(b, set()).headline


def test_an_empty_trace_has_a_verdict() -> None:
    assert verdict(Linked(), set()).bottleneck == "unknown"


def test_the_dataloader_is_named() -> None:
    found = verdict(stalled_by("annotations", "enumerate(DataLoader)#_X.__next__", stall=900))
    assert "the next batch" in found.headline


def test_numbers_in_sentences() -> None:
    assert [duration(ns) for ns in (1_210_000_000, 122_400_000, 3_456, 999, 0, 59.96e3)] == [
        "1.21 s", "122 ms", "3.46 µs", "999 ns", "0 ns", "60.0 µs",
    ]  # fmt: skip
    assert [percent(share) for share in (0.54, 0.034, 0, 1)] == ["54 %", "3.4 %", "0 %", "100 %"]
    assert [size(n) for n in (1 << 20, 1536, 12)] == ["1.00 MiB", "1.50 KiB", "12 B"]
    assert [count(1, "gap"), count(1200, "gap")] == ["1 gap", "1,200 gaps"]
