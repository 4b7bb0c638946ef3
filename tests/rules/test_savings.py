"""What findings are said to save: the recorded steps are replayed with their cure."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from linked import Linked
from situations import ending, late_kernels, pausing, stalled_by
from written_cases import CASES, Case

from traceanalyzer import load
from traceanalyzer.analyzers import run_analyzers, thresholds
from traceanalyzer.model.trace import Capability
from traceanalyzer.rules import judge
from traceanalyzer.rules.findings import SEVERITIES, Finding, Speedup, severity
from traceanalyzer.rules.savings import with_savings

if TYPE_CHECKING:
    from traceanalyzer.model.trace import Trace

US = 1_000
SIMULATED = Path(__file__).parents[2] / "fixtures" / "simulated"


def a_finding(**fields: object) -> Finding:
    plain = Finding("X001", "title", "medium", "claim", (), "fix", "high", saving_ns=(1, 2))
    return replace(plain, **fields)  # type: ignore[arg-type]


def waited_for(b: Linked, called: float, until: float) -> Linked:
    """Close the step as a program does that reads its result: the host waits until the device is through."""
    b.call("cudaDeviceSynchronize", called, until)
    return ending(b, until)


def queued() -> Linked:
    """200 kernels of 9 µs, launched in time."""
    b = Linked()
    for i in range(200):
        b.launch("add", called=i * 3, start=10 + i * 10, end=19 + i * 10)
    return waited_for(b, 600, 2010)


def saved(trace: Trace, *findings: Finding) -> tuple[list[Finding], object]:
    judged, combined = with_savings(trace, run_analyzers(trace)[0], findings)
    return list(judged), combined


def test_a_removed_stall_saves_what_the_replay_says_not_the_time_at_stake() -> None:
    judged = judge(
        trace := stalled_by("python_calls", "<built-in function collect>").trace(), run_analyzers(trace)[0]
    )
    (finding,) = [f for f in judged.findings if f.code == "GC001"]
    assert finding.saving_basis == "replay"
    assert finding.saving_ns is not None
    assert finding.saving_ns[0] == finding.saving_ns[1]
    assert 390 * US <= finding.saving_ns[1] <= 410 * US


def test_a_faster_kernel_saves_its_time_when_the_device_is_what_decides() -> None:
    (finding,), _ = saved(queued().trace(), a_finding(speedups=(Speedup("add", 0.75, 0.5),)))
    assert finding.saving_basis == "replay"
    low, high = finding.saving_ns or (0, 0)
    assert low == pytest.approx(200 * 9 * US * 0.25, rel=0.02)
    assert high == pytest.approx(200 * 9 * US * 0.5, rel=0.02)


def test_a_faster_kernel_saves_nothing_where_the_host_is_what_decides() -> None:
    (finding,), _ = saved(late_kernels().trace(), a_finding(speedups=(Speedup("add", 0.75, 0.5),)))
    assert finding.saving_ns is None or finding.saving_ns[1] < 5 * US
    assert finding.saving_ns or "does not get shorter" in finding.saving_reason


def test_fixes_that_remove_the_same_time_do_not_add_up() -> None:
    twice = (a_finding(speedups=(Speedup("add", 0.5, 0.5),)), a_finding(speedups=(Speedup("add", 0.5, 0.5),)))
    (one, other), combined = saved(queued().trace(), *twice)
    assert one.saving_ns == other.saving_ns == combined.saving_ns  # type: ignore[attr-defined]
    assert combined.findings == 2  # type: ignore[attr-defined]


def test_a_replay_that_saves_more_than_was_thought_at_stake_makes_a_finding_severe() -> None:
    faster = (Speedup("add", 1.0, 0.5),)
    (mild, severe), _ = saved(
        queued().trace(),
        a_finding(severity="low", speedups=faster),
        a_finding(severity="high", speedups=faster),
    )
    assert (mild.severity, severe.severity) == ("high", "high")


def test_a_replay_that_saves_little_leaves_what_is_at_stake_as_it_is() -> None:
    (finding,), _ = saved(queued().trace(), a_finding(speedups=(Speedup("add", 1.0, 0.999),)))
    assert (finding.saving_basis, finding.severity) == ("replay", "medium")


def test_what_is_told_for_information_is_not_made_severe_by_a_replay() -> None:
    (finding,), _ = saved(queued().trace(), a_finding(severity="info", speedups=(Speedup("add", 1.0, 0.5),)))
    assert finding.severity == "info"


@pytest.mark.parametrize("code", ["SYNC002", "SYNC003"])
def test_waits_that_two_findings_name_are_saved_once(code: str) -> None:
    trace = Case(CASES[code]["problem"]).trace()
    judged = judge(trace, run_analyzers(trace)[0])
    savings = [f.saving_ns for f in judged.findings if f.code in ("SYNC001", code) and f.saving_ns]
    assert len(savings) == 2
    assert judged.combined is not None
    assert judged.combined.saving_ns is not None
    assert judged.combined.saving_ns[1] == max(saving[1] for saving in savings)


@pytest.mark.parametrize(("stake_ns", "explained"), [(1, True), (10**9, False)])
def test_a_saving_beyond_the_time_at_stake_is_explained(stake_ns: int, explained: bool) -> None:
    finding = a_finding(saving_ns=(0, stake_ns), speedups=(Speedup("add", 0.75, 0.5),))
    (judged,), _ = saved(queued().trace(), finding)
    assert any("saves more than this time" in e.text for e in judged.evidence) is explained


def test_what_the_replay_does_not_know_keeps_its_bound() -> None:
    (judged,), combined = saved(queued().trace(), a_finding())
    assert "cannot be replayed" in judged.saving_reason
    assert replace(judged, saving_reason="") == a_finding()
    assert combined is None


def test_without_launches_nothing_is_replayed() -> None:
    trace = queued().trace(set(Capability) - {Capability.LAUNCHES})
    finding = a_finding(speedups=(Speedup("add", 0.5, 0.5),))
    (judged,), combined = saved(trace, finding)
    assert combined is None
    assert "without launches" in judged.saving_reason
    assert judged.saving_ns == finding.saving_ns


def test_a_replay_that_misses_the_measured_step_shows_no_time_at_all() -> None:
    b = Linked()
    b.launch("gemm", called=0, start=5, end=500)
    b.launch("gemm", called=10, start=1500, end=2000)  # nothing in the trace explains why it began so late
    judged, combined = saved(
        waited_for(b, 15, 2000).trace(), a_finding(speedups=(Speedup("gemm", 0.5, 0.5),)), a_finding()
    )
    assert combined is not None
    assert abs(combined.error_share) > thresholds.REPLAY_ERROR_SHARE  # type: ignore[attr-defined]
    assert combined.saving_ns is None  # type: ignore[attr-defined]
    assert [f.saving_ns for f in judged] == [None, None]
    assert all("misses the measured ones" in f.saving_reason for f in judged)


def test_a_pause_saves_what_the_replay_without_it_is_shorter() -> None:
    trace = pausing(2000).trace()
    (finding,) = [f for f in judge(trace, run_analyzers(trace)[0]).findings if f.code == "IDLE004"]
    assert finding.saving_basis == "replay"
    assert finding.saving_ns is not None
    assert finding.saving_ns[1] == pytest.approx(1998 * US, rel=0.01)


def waiting_for_batches(*waits: float, on_gpu: bool) -> Trace:
    """Steps that work for 9 ms, after they have waited for a batch, ms."""
    b, at = Linked(), 0.0
    for i, wait in enumerate(ms * 1000 for ms in waits):
        begun = at + wait
        b.annotation("enumerate(DataLoader)#_SingleProcessDataLoaderIter.__next__", at, begun)
        b.op("aten::mm", begun + 1, begun + 8000)
        if on_gpu:
            b.launch("gemm", begun + 2, begun + 10, begun + 8990)
        b.step(i, at, begun + 9000)
        at = begun + 9000
    return b.trace() if on_gpu else b.trace({Capability.STEPS})


@pytest.mark.parametrize(("on_gpu", "code"), [(True, "INPUT001"), (False, "HOST001")])
def test_where_steps_differ_a_saving_is_the_same_share_of_the_step_that_is_shown(
    on_gpu: bool, code: str
) -> None:
    """93 of 120 ms are waits, most of them in one step: a program without them takes 27 ms, 4.4 times as fast."""
    trace = waiting_for_batches(1, 1, 91, on_gpu=on_gpu)
    results = run_analyzers(trace)[0]
    judged = judge(trace, results)
    (finding,) = [f for f in judged.findings if f.code == code]
    assert results["steps"].median_ns == 10_000 * US
    assert finding.saving_ns is not None
    assert finding.saving_ns[1] == pytest.approx(10_000 * US * 93 / 120, rel=0.01)
    if on_gpu:
        assert "78 % of the step (7.75 ms)" in str(finding.claim)
        assert "up to 4.4×" in str(judged.verdict.headline)


def test_a_step_too_large_to_replay_for_every_finding_keeps_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thresholds, "FINDINGS_REPLAY_MOST", 1000)
    (finding,), combined = saved(queued().trace(), a_finding(speedups=(Speedup("add", 0.75, 0.5),)))
    assert (finding.saving_ns, finding.saving_basis) == ((1, 2), "bound")
    assert "too large" in finding.saving_reason
    assert combined is None


def test_where_no_saving_can_be_told_what_is_at_stake_orders_findings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trace = pausing(2000).trace()
    results = run_analyzers(trace)[0]
    told = [f.code for f in judge(trace, results).findings]
    monkeypatch.setattr(thresholds, "REPLAY_ERROR_SHARE", -1.0)
    judged = judge(trace, results)
    assert judged.combined is not None
    assert judged.combined.distrust
    assert all(f.saving_ns is None for f in judged.findings)
    assert judged.findings[0].code == told[0] == "IDLE004"


def two_ranks() -> Trace:
    folder = Path(__file__).parents[2] / "fixtures" / "simulated"
    return load(*(folder / f"sim_straggler_rank{rank}.json.gz" for rank in (0, 1)))


def test_savings_of_several_ranks_come_from_all_of_them() -> None:
    trace = two_ranks()
    judged = judge(trace, run_analyzers(trace)[0])
    assert judged.combined is not None
    assert judged.combined.ranks == (0, 1)
    straggler, batches = (
        next(f for f in judged.findings if f.code == code) for code in ("COMM003", "INPUT001")
    )
    assert straggler.saving_ns is not None
    assert batches.saving_ns is not None
    assert straggler.saving_ns[1] < batches.saving_ns[1]  # which are gone from both ranks
    assert judged.combined.saving_ns is not None
    assert judged.combined.saving_ns[1] < straggler.saving_ns[1] + batches.saving_ns[1]


def test_where_all_ranks_are_too_large_to_be_replayed_the_first_is(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = two_ranks()
    results = run_analyzers(trace)[0]
    monkeypatch.setattr("traceanalyzer.rules.savings.replay_size", lambda *args: len(args[2]) ** 2 * 1000)
    monkeypatch.setattr(thresholds, "FINDINGS_REPLAY_MOST", 15_000)
    judged = judge(trace, results)
    assert judged.combined is not None
    assert judged.combined.ranks == (0,)


@pytest.mark.parametrize(
    "recording", ["training_mixed", "sync_loop", "host_pauses", "gemm_bound", "launch_bound"]
)
def test_no_finding_is_less_severe_than_what_it_saves(recording: str) -> None:
    """By what is at stake, or by what the replay saves where that is more: the optimizer's, too."""
    trace = load(SIMULATED / f"sim_{recording}.json.gz")
    results = run_analyzers(trace)[0]
    found = judge(trace, results).findings
    for finding in found:
        if finding.saving_ns and finding.severity != "info":
            saved = severity(finding.saving_ns[1] / results["steps"].median_ns)
            assert SEVERITIES.index(finding.severity) <= SEVERITIES.index(saved), finding.code
    assert [f.severity for f in found if f.code == "OPT001"] == ["medium"] * (recording == "training_mixed")
