"""`trace-analyze whatif`: text, JSON, and what is wrong with a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from traceanalyzer.cli.command_line import run
from traceanalyzer.pipeline import analyze, load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.rules.analysis import Analysis

TRACE = str(Path(__file__).parents[2] / "fixtures" / "simulated" / "sim_training_mixed.json.gz")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(["whatif", *arguments]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_text_has_the_step_each_change_and_the_critical_path(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, TRACE, "--remove", "INPUT001", "--speedup", "aten::addmm=2x")
    assert "Rank 0, mean of 4 steps: measured 12.3 ms, replayed unchanged 12.3 ms" in out
    assert "remove INPUT001" in out
    assert "speed up aten::addmm 2x" in out
    assert "all together" in out
    assert "work of the host" in out


def test_without_a_request_the_findings_are_replayed(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, TRACE)
    assert "remove INPUT001" in out
    assert "remove SYNC001" in out


def shares(saving_ns: Sequence[int] | None, of: int | Analysis) -> list[float]:
    """A saving as shares of the mean step, which `whatif` tells, or of the median, which a report tells."""
    assert saving_ns is not None
    step_ns = of if isinstance(of, int) else of["steps"].median_ns
    return [round(ns / step_ns, 5) for ns in saving_ns]


def test_it_replays_the_same_findings_as_the_summary(capsys: pytest.CaptureFixture[str]) -> None:
    """Those too that only make kernels faster."""
    trace = str(Path(__file__).parents[2] / "fixtures" / "gpu" / "gemm_fp32.plain.trace.json.gz")
    found = analyze(load(trace))
    assert found.combined is not None
    (finding,) = (f for f in found.findings if f.code in found.combined.codes)
    for asked in ((), ("--remove", finding.code.lower())):
        result = json.loads(printed(capsys, trace, *asked, "--json"))["what_if"]
        (change,) = result["changes"]
        assert shares(change["saving_ns"], result["measured_ns"]) == shares(finding.saving_ns, found)


def test_json_has_ns(capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(printed(capsys, TRACE, "--remove", "INPUT001", "--json"))["what_if"]
    (change,) = result["changes"]
    assert change["change"] == "remove INPUT001"
    assert change["saving_ns"][0] == result["measured_ns"] - change["step_ns"][1] > 0
    assert result["distrust"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--speedup", "aten::mm"), "is not NAME=FACTORx"),
        (("--speedup", "aten::mm=0x"), "is not NAME=FACTORx"),
        (("--speedup", "nope=2x"), "is named 'nope'"),
        (("--rank", "7", "--remove", "INPUT001"), "no rank 7"),
    ],
)
def test_a_request_that_fits_nothing(
    arguments: Sequence[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert message in printed(capsys, TRACE, *arguments, code=2)


RANKS = [TRACE.replace("training_mixed", f"straggler_rank{rank}") for rank in (0, 1)]


def test_ranks_that_were_given_together_are_replayed_together(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, *RANKS)
    assert "Mean of 4 steps of the slowest of ranks 0, 1: measured 17.0 ms" in out
    assert "4 collectives begin when the last of their ranks has come" in out
    assert "remove COMM003" in out


def test_the_straggler_is_cured_as_its_finding_says(capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(printed(capsys, *RANKS, "--json"))["what_if"]
    found = analyze(load(*RANKS))
    told = next(f for f in found.findings if f.code == "COMM003")
    (change,) = (c for c in result["changes"] if c["change"] == "remove COMM003")
    assert shares(change["saving_ns"], result["measured_ns"]) == shares(told.saving_ns, found)


def test_json_says_which_ranks_were_replayed_and_changed(capsys: pytest.CaptureFixture[str]) -> None:
    result = json.loads(printed(capsys, *RANKS, "--remove", "INPUT001", "--rank", "0", "--json"))["what_if"]
    assert (result["ranks"], result["rank"], result["changed"]) == ([0, 1], 0, 0)
    assert result["changes"][0]["saving_ns"] == [0, 0]  # rank 0 waits for rank 1 anyway


def test_one_rank_alone_has_no_straggler(capsys: pytest.CaptureFixture[str]) -> None:
    assert "needs a replay of several ranks" in printed(capsys, RANKS[0], "--remove", "COMM003", code=2)
