"""What-if of a pipelined job against the truth: the simulator runs all its stages again with the change made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from fixtures.simulator.kineto import BASE_TIME_NS, chrome_trace
from fixtures.simulator.pipelined import Stage, pipelined
from traceanalyzer import analyze, load
from traceanalyzer.analyzers.replay.whatif import what_if
from traceanalyzer.analyzers.steps import StepsAnalyzer

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.analyzers.replay.whatif import WhatIf
    from traceanalyzer.analyzers.results import Steps
    from traceanalyzer.model.trace import Trace

REDRAWN = 0.02
EXACT = 0.0001
MICROBATCHES = 4
UNEVEN = (Stage(), Stage(layers=6), Stage())
SLOW_LOADER = (Stage(sample_us=900), Stage(), Stage(), Stage())


@dataclass(frozen=True)
class Job:
    """Its stages, in the order in which activations pass through them."""

    stages: tuple[Stage, ...]
    steps: int = 3

    def recorded(self, folder: Path) -> tuple[Trace, Steps]:
        for machine in pipelined(self.steps, self.stages, MICROBATCHES):
            (folder / f"rank{machine.rank}.json").write_text(chrome_trace(machine, f"rank{machine.rank}"))
        trace = load(folder)
        return trace, StepsAnalyzer().analyze(trace, {})

    def true_step_ns(self, folder: Path) -> float:
        """The mean step of the slowest rank."""
        steps = self.recorded(folder)[1].steps
        own = [[s for s in steps if s.rank == rank] for rank in range(len(self.stages))]
        return max((mine[-1].end_ns - mine[0].start_ns) / len(mine) for mine in own)


def best_ns(result: WhatIf) -> int:
    assert result.together is not None
    return result.together.step_ns[0]


def notes(result: WhatIf) -> str:
    return " ".join(map(str, result.notes))


@pytest.mark.parametrize(
    "stages", [UNEVEN, SLOW_LOADER, (Stage(), Stage(slowness=1.5))], ids=["uneven", "loader", "gpu"]
)
def test_unchanged_it_takes_as_long_as_measured(stages: tuple[Stage, ...], tmp_path: Path) -> None:
    result = what_if(*Job(stages).recorded(tmp_path), (), [("aten::addmm", 1.001)])
    assert result.ranks == tuple(range(len(stages)))
    assert abs(result.error_share) < EXACT
    messages = 2 * MICROBATCHES * Job.steps * (len(stages) - 1)
    assert f"{messages} messages go from one rank to another when both have come to it" in notes(result)
    assert "keep" not in notes(result)


def test_faster_stages_make_the_step_that_of_a_job_with_them(tmp_path: Path) -> None:
    """Over many steps: how far stages are apart when the recording begins stays as it was in a replay."""
    result = what_if(*Job(UNEVEN, steps=9).recorded(tmp_path), (), [("aten::addmm", 2.0)])
    faster = Job(tuple(replace(stage, slowness=0.5) for stage in UNEVEN), steps=9)
    assert best_ns(result) == pytest.approx(faster.true_step_ns(tmp_path), rel=REDRAWN)


@pytest.mark.parametrize("rank", [0, 1, 2])
def test_one_faster_stage_saves_what_the_others_do_not_wait_for_anyway(rank: int, tmp_path: Path) -> None:
    result = what_if(*Job(UNEVEN).recorded(tmp_path), (), [("aten::addmm", 2.0)], rank=rank)
    stages = [replace(stage, slowness=0.5 if i == rank else 1.0) for i, stage in enumerate(UNEVEN)]
    truth_ns = Job(tuple(stages)).true_step_ns(tmp_path)
    assert best_ns(result) == pytest.approx(truth_ns, rel=REDRAWN)
    alone_ns = (
        result.measured_ns - 3 * MICROBATCHES * UNEVEN[rank].layers * 98_000 / 2
    )  # if nobody waited for another
    assert best_ns(result) > 1.1 * alone_ns


def test_a_first_stage_that_need_not_load_lets_all_stages_begin_earlier(tmp_path: Path) -> None:
    result = what_if(*Job(SLOW_LOADER).recorded(tmp_path), ["INPUT001"], ())
    assert best_ns(result) == pytest.approx(Job((Stage(),) * 4).true_step_ns(tmp_path), rel=REDRAWN)
    assert result.measured_ns > 1.3 * best_ns(result)


def test_the_clocks_of_stages_do_not_matter(tmp_path: Path) -> None:
    asked = (), [("aten::addmm", 2.0)]
    told = what_if(*Job(UNEVEN).recorded(tmp_path), *asked)
    ahead = tmp_path / "rank1.json"
    key = '"baseTimeNanoseconds": '
    ahead.write_text(ahead.read_text().replace(f"{key}{BASE_TIME_NS}", f"{key}{BASE_TIME_NS + 7_000_000}"))
    trace = load(tmp_path)
    assert what_if(trace, StepsAnalyzer().analyze(trace, {}), *asked).changes == told.changes


def test_without_the_trace_of_a_stage_what_goes_there_keeps_its_time(tmp_path: Path) -> None:
    Job(UNEVEN).recorded(tmp_path)
    trace = load(tmp_path / "rank0.json", tmp_path / "rank1.json")
    result = what_if(trace, StepsAnalyzer().analyze(trace, {}), (), [("aten::addmm", 2.0)])
    messages = 2 * MICROBATCHES * Job.steps
    assert f"{messages} messages go from one rank to another" in notes(result)
    assert f"{messages} communication kernels keep their recorded duration" in notes(result)


def test_where_the_ranks_of_a_message_were_not_recorded_none_are_guessed(tmp_path: Path) -> None:
    Job(UNEVEN).recorded(tmp_path)
    for file in tmp_path.iterdir():
        file.write_text(file.read_text().replace('"Src Rank"', '"Other"').replace('"Dst Rank"', '"Other"'))
    trace = load(tmp_path)
    result = what_if(trace, StepsAnalyzer().analyze(trace, {}), (), [("aten::addmm", 2.0)])
    assert result.ranks == (0,)
    assert (
        f"Between which ranks {2 * MICROBATCHES * Job.steps} communication kernels send or receive is not known"
        in notes(result)
    )


def test_a_stage_that_waits_for_the_one_before_it_is_no_straggler_s_victim(tmp_path: Path) -> None:
    Job(UNEVEN).recorded(tmp_path)
    analysis = analyze(load(tmp_path))
    assert not analysis["peers"].rows
    assert "COMM003" not in {finding.code for finding in analysis.findings}
