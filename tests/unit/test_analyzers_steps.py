"""Steps: which ranges count, and where they end."""

from __future__ import annotations

import pytest
from linked import US, Linked

from traceanalyzer.analyzers.launch_order import BEFORE_THE_RECORDING, launch_moments
from traceanalyzer.analyzers.results import Steps
from traceanalyzer.analyzers.steps import StepsAnalyzer
from traceanalyzer.analyzers.work import device_work
from traceanalyzer.errors import UsageError


def steps_of(b: Linked, step: str | None = None) -> Steps:
    return StepsAnalyzer(step).analyze(b.trace(), {})


def spans(steps: Steps) -> list[tuple[str, float, float, float, float]]:
    return [
        (s.name, s.start_ns / US, s.host_end_ns / US, s.end_ns / US, s.window_end_ns / US)
        for s in steps.steps
    ]


def test_a_step_ends_with_its_last_device_work_and_its_window_with_the_next_step() -> None:
    b = Linked()
    b.step(7, 0, 100)
    b.launch("early", called=50, start=60, end=95)
    b.launch("aside", called=90, start=110, end=120, stream=20)
    b.step(8, 105, 200)
    b.launch("later", called=190, start=210, end=260)
    found = steps_of(b)
    assert found.kind == "profiler_step"
    assert spans(found) == [
        ("ProfilerStep#7", 0, 100, 120, 105),
        ("ProfilerStep#8", 105, 200, 260, 260),
    ]
    assert [s.duration_ns / US for s in found.steps] == [105, 155]


def test_a_step_that_an_error_cut_off_lasts_as_long_as_something_was_recorded() -> None:
    """A snapshot has no end of the step in which memory ran out."""
    b = Linked()
    b.step(1, 0, 100)
    b.step(2, 100, 100)["dur"] = None
    b.op("aten::mm", 110, 140)
    assert [s.duration_ns / US for s in steps_of(b).steps] == [100, 40]


@pytest.mark.parametrize("steps", [1, 2])
def test_a_last_step_in_which_nothing_happens_is_the_way_out_of_the_profiler(steps: int) -> None:
    """Without a schedule the last `prof.step()` begins one more, which ends where the `with` block does."""
    rows = Linked()
    for i in range(steps):
        rows.step(i, 1000 * i, 1000 * i + 1000)
        rows.op("aten::mm", 1000 * i + 5, 1000 * i + 10)
        rows.launch("gemm", 1000 * i + 6, 1000 * i + 20, 1000 * i + 900)
    rows.step(steps, 1000 * steps, 1000 * steps + 15)
    found = StepsAnalyzer().analyze(rows.trace(), {})
    assert [s.name for s in found.steps] == [f"ProfilerStep#{i}" for i in range(steps)]
    assert found.median_ns == 1000 * US


def test_when_the_host_runs_ahead_windows_follow_the_device() -> None:
    b = Linked()
    for i in range(3):
        b.step(i, 10 * i, 10 * i + 9)
        b.launch(f"k{i}", called=10 * i + 1, start=5 + 100 * i, end=105 + 100 * i)
    found = steps_of(b)
    assert [(s.start_ns / US, s.window_end_ns / US) for s in found.steps] == [
        (0, 105),
        (105, 205),
        (205, 305),
    ]
    assert [s.host_start_ns / US for s in found.steps] == [0, 10, 20]


def test_what_the_device_still_did_when_the_first_step_began_is_no_part_of_it() -> None:
    b = Linked()
    b.kernel("launched before the recording", 1, 80)
    b.step(1, 2, 10)
    b.launch("k", called=4, start=80, end=130)
    b.step(2, 12, 20)
    b.launch("k", called=14, start=130, end=180)
    assert [(s.start_ns / US, s.window_end_ns / US) for s in steps_of(b).steps] == [(80, 130), (130, 180)]


def test_work_whose_launch_is_lost_in_the_middle_moves_no_step() -> None:
    for linked in ({9}, {0, 9}):
        b = Linked()
        for i in range(10):
            b.step(i, 100 * i, 100 * i + 90)
            if i in linked:
                b.launch("linked", called=100 * i + 1, start=100 * i + 5, end=100 * i + 50)
            b.kernel("launch lost", 100 * i + 51, 100 * i + 85)
        assert {s.duration_ns / US for s in steps_of(b).steps[:-1]} == {100}


def test_what_began_before_the_host_was_recorded_was_launched_before() -> None:
    b = Linked()
    b.kernel("early", 1, 3)
    b.step(1, 2, 100)
    b.launch("k", called=10, start=15, end=60)
    trace = b.trace()
    (work,) = device_work(trace)
    assert launch_moments(work, trace).tolist() == [BEFORE_THE_RECORDING, 10 * US]


def test_one_launch_for_several_steps_sets_no_pace() -> None:
    b = Linked()
    for i in range(4):
        b.step(i, 100 * i, 100 * i + 90)
    b.launch("all of them", called=1, start=5, end=395)
    assert [s.duration_ns / US for s in steps_of(b).steps] == [100, 100, 100, 90]


def test_without_steps_the_whole_window_begins_with_the_host() -> None:
    b = Linked()
    b.op("aten::mm", 0, 10)
    b.kernel("launched before the recording", 5, 300)
    b.launch("k", called=8, start=300, end=600)
    assert spans(steps_of(b))[0][1] == 0


def test_what_runs_beside_the_next_step_does_not_hold_it_up() -> None:
    b = Linked()
    b.step(1, 0, 100)
    b.launch("k", called=10, start=20, end=90)
    call = b.call("cudaMemcpyAsync", 95, 96)
    b.copy("DtoH", 96, 250, "device", "pinned", stream=20, api_call=call)
    b.step(2, 105, 200)
    b.launch("k", called=110, start=120, end=190)
    assert [(s.start_ns / US, s.window_end_ns / US) for s in steps_of(b).steps] == [(0, 105), (105, 200)]


def test_work_launched_between_steps_does_not_prolong_one() -> None:
    b = Linked()
    b.step(1, 0, 100)
    b.launch("validation", called=150, start=160, end=900)
    assert spans(steps_of(b)) == [("ProfilerStep#1", 0, 100, 100, 100)]


def test_work_without_a_launch_belongs_where_it_begins() -> None:
    b = Linked()
    b.step(1, 0, 100)
    b.kernel("unlinked", 95, 140)
    assert spans(steps_of(b))[0][3] == 140


def test_steps_projected_on_the_gpu_are_not_counted_twice() -> None:
    b = Linked()
    b.step(1, 0, 100)
    b.annotation("ProfilerStep#1", 20, 120, on_gpu=True, device=0, stream=7)
    assert len(steps_of(b).steps) == 1


def test_steps_of_old_traces_are_among_the_ops() -> None:
    b = Linked()
    b.op("ProfilerStep#3", 0, 50)
    b.op("aten::add", 1, 5)
    assert [s.name for s in steps_of(b).steps] == ["ProfilerStep#3"]


def test_each_rank_has_its_own_steps() -> None:
    b = Linked()
    b.step(1, 0, 100)
    b.step(1, 10, 130, rank=1)
    b.launch("k", called=20, start=30, end=500, rank=1)
    assert [(s.rank, s.end_ns / US) for s in steps_of(b).steps] == [(0, 100), (1, 500)]


def test_without_steps_the_whole_window_is_one() -> None:
    b = Linked()
    b.op("aten::add", 5, 10)
    b.launch("k", called=6, start=20, end=40)
    b.frame("profiler.py", 1, 0, 900)
    found = steps_of(b)
    assert found.kind == "window"
    assert spans(found) == [("whole trace", 5, 40, 40, 40)]


def test_an_empty_trace_has_no_steps() -> None:
    assert steps_of(Linked()) == Steps("window", (), 0, ())


class TestNamedSteps:
    @pytest.fixture
    def trace(self) -> Linked:
        b = Linked()
        b.step(1, 0, 100)
        for i in range(3):
            b.annotation(f"iteration {i}", i * 30, i * 30 + 25)
            b.annotation("decode", i * 30 + 5, i * 30 + 10)
        return b

    @pytest.mark.parametrize(("wanted", "count"), [("decode", 3), ("iteration*", 3), (r"iteration [01]$", 2)])
    def test_exact_name_then_glob_then_regex(self, trace: Linked, wanted: str, count: int) -> None:
        found = steps_of(trace, wanted)
        assert found.kind == "annotation"
        assert len(found.steps) == count

    def test_a_range_inside_another_is_part_of_it(self, trace: Linked) -> None:
        assert [s.name for s in steps_of(trace, "iteration|decode").steps] == [
            f"iteration {i}" for i in range(3)
        ]

    def test_no_match_names_candidates(self, trace: Linked) -> None:
        with pytest.raises(UsageError, match="decode"):
            steps_of(trace, "train_step")

    def test_a_broken_pattern_is_the_users_error(self, trace: Linked) -> None:
        with pytest.raises(UsageError, match="regular expression"):
            steps_of(trace, "step(")


def test_outliers_are_far_from_the_median_in_both_senses() -> None:
    b = Linked()
    start = 0
    for number, length in enumerate([100, 101, 99, 300, 100, 102]):
        b.step(number, start, start + length)
        start += length
    found = steps_of(b)
    assert found.median_ns / US == 100.5
    assert found.outliers == (3,)
