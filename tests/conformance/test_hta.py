"""HTA's own figures, reproduced on its definitions, and where ours differ and why.

HTA 0.5.0 computed them on the same files with its defaults (../shared/corpus/oracles/hta).
"""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from . import hta
from .corpus import hta_answers, load, needs_corpus, results, start_ns
from .intervals import intersection, total

if TYPE_CHECKING:
    from numpy.typing import NDArray

CASES = [
    # trace, file of answers, rank that HTA gives it
    ("a100_nccl_train", "a100_nccl_train", 0),
    ("v100_memory_events", "v100_memory_events", 1),
    ("v100_ns_resolution", "v100_ns_resolution", 0),
    ("ranks/rank-0", "ranks", 0),
    ("ranks/rank-1", "ranks", 1),
    ("diff/control", "diff_control", 3),
    ("diff/test", "diff_test", 1),
]
each_case = pytest.mark.parametrize(("name", "answers", "rank"), CASES, ids=[c[0] for c in CASES])


@lru_cache(maxsize=64)
def _rows(name: str, choices: hta.Choices = hta.HTA) -> hta.Rows:
    return hta.device_rows(load(name), start_ns(name), choices)


def _of_rank(rows: list[dict[str, Any]], rank: int) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "rank"} for row in rows if row["rank"] == rank]


@needs_corpus
@each_case
@pytest.mark.parametrize("keep_last_step", [False, True], ids=["last step dropped", "all steps"])
def test_temporal_breakdown(name: str, answers: str, rank: int, keep_last_step: bool) -> None:
    said = hta_answers(answers)
    everything = said["include_last_profiler_step_temporal"]["result"]["temporal"]
    expected = everything if keep_last_step else said["temporal_breakdown"]["result"]
    choices = hta.Choices(keep_last_step=keep_last_step)
    rows = _rows(name, choices)
    assert [hta.temporal_breakdown(rows)] == _of_rank(expected, rank)


@needs_corpus
@each_case
def test_overlap(name: str, answers: str, rank: int) -> None:
    (expected,) = _of_rank(hta_answers(answers)["comm_comp_overlap"]["result"], rank)
    rows = _rows(name)
    assert hta.overlap_percent(rows) == expected["comp_comm_overlap_pctg"]


@needs_corpus
@each_case
def test_idle(name: str, answers: str, rank: int) -> None:
    said = hta_answers(answers)["idle_time_breakdown"]["result"]
    idle = hta.idle_breakdown(_rows(name))
    expected = {
        (row["stream"], row["idle_category"]): (row["idle_time"], row["idle_time_ratio"])
        for row in _of_rank(said["breakdown"], rank)
    }
    gaps = {(r["stream"], r["idle_category"]): r["count"] for r in _of_rank(said["interval_stats"], rank)}
    assert {key: (i.time_us, i.share) for key, i in idle.items()} == expected
    assert {key: i.gaps for key, i in idle.items()} == gaps


@needs_corpus
@each_case
def test_queue_length(name: str, answers: str, rank: int) -> None:
    """Equal wherever HTA's figure is defined.

    Within one microsecond its order of launches and starts is that of an unstable sort. Every such order lies
    between the two of `Queue`, change by change; so do mean, extremes and quantiles. The standard deviation
    is a seminorm: it can differ from that of `low` by no more than the deviation that the spread between the
    two allows. Where no launch and start share a microsecond, both are one series and the figures are equal.
    """
    expected = {
        row["stream"]: {k.removeprefix("queue_length/"): v for k, v in row.items()}
        for row in _of_rank(hta_answers(answers)["queue_length_summary"]["result"], rank)
    }
    queues = hta.queue_length(_rows(name))
    assert list(queues) == list(expected)
    for stream, queue in queues.items():
        theirs, low, high = expected[stream], _described(queue.low), _described(queue.high)
        deviation = theirs.pop("std")
        n = len(queue.low)
        outside = {k: (low[k], theirs[k], high[k]) for k in low if not low[k] <= theirs[k] <= high[k]}
        assert not outside, f"stream {stream}: {outside}"
        spread = np.sqrt(((queue.high - queue.low) ** 2).sum() / (n - 1))
        assert abs(deviation - queue.low.std(ddof=1)) <= spread + 1e-9
        assert high["mean"] - low["mean"] < 0.05  # so that the bounds say something


def _described(series: NDArray[np.int64]) -> dict[str, float]:
    quarter, half, three_quarters = np.percentile(series, [25, 50, 75])
    return {
        "count": len(series), "mean": series.mean(), "min": series.min(), "max": series.max(),
        "25%": quarter, "50%": half, "75%": three_quarters,
    }  # fmt: skip


OURS = hta.Choices(whole_us=False, keep_last_step=True, keep_without_launch=True)


@needs_corpus
@each_case
def test_our_breakdown_is_the_same_sum_under_our_choices(name: str, answers: str, rank: int) -> None:
    """HTA's formula with our choices, over our window, is our breakdown to the nanosecond.

    Our choices, and why:
    - whole ns: rounding to us loses up to 2 us per stretch of work, 2.3 % of the compute time of
      a100_nccl_train.
    - the last step counts: its work is in the trace.
    - what was launched before the window counts: the device was busy with it.
    - the window begins with the first step on the host, HTA's with the first row of the device: idle time
      before that is idle time of the step. We end with the last work of the last step, as HTA does.
    """
    (device,) = results(name)["breakdown"].devices
    rows = _rows(name, OURS)
    start = start_ns(name) + device.window_start_ns
    window = [(start, start + device.whole.wall_ns)]
    compute, communication = rows.merged("computation"), rows.merged("communication")
    whole = device.whole
    assert whole.compute_ns == total(intersection(compute, window))
    assert whole.idle_ns == whole.wall_ns - total(intersection(rows.merged(), window))
    assert sum(cause.total_ns for cause in device.idle_causes) == whole.idle_ns
    share = total(intersection(compute, communication)) / total(communication) if communication else None
    ours = results(name)["collectives"].overlap_share
    assert ours is None if share is None else ours == pytest.approx(share, rel=1e-12)


REASONS = {
    "a100_nccl_train": {"whole_us", "keep_last_step"},
    "v100_memory_events": {"keep_last_step"},  # times are whole us in this file, so rounding changes nothing
    "v100_ns_resolution": {"whole_us", "keep_last_step"},
    "ranks/rank-0": {"keep_last_step"},
    "ranks/rank-1": {"keep_last_step"},
    "diff/control": {"keep_last_step"},
    "diff/test": {"keep_last_step", "keep_without_launch"},  # 614 device rows were launched before the window
}
"""Which of our choices, made alone, changes HTA's compute time."""


@needs_corpus
@each_case
def test_each_difference_has_a_known_reason(name: str, answers: str, rank: int) -> None:

    def compute_ns(choices: hta.Choices) -> int:
        time = total(_rows(name, choices).merged("computation"))
        return time * (1000 if choices.whole_us else 1)

    reasons = {
        field.name
        for field in dataclasses.fields(OURS)
        if compute_ns(dataclasses.replace(hta.HTA, **{field.name: getattr(OURS, field.name)}))
        != compute_ns(hta.HTA)
    }
    assert reasons == REASONS[name]


@needs_corpus
@each_case
def test_our_idle_and_queue_answer_another_question(name: str, answers: str, rank: int) -> None:
    """Per device where HTA's are per stream, so only their order can be compared.

    Idle: HTA adds up the gaps of each stream, although another stream may be busy meanwhile; ours is the time
    in which the whole device has nothing to do. Queue: HTA's falls when a row starts, per stream, and only
    for some API calls; ours falls when the work is finished, over all streams, as the hardware's queue does.
    """
    rows = _rows(name, hta.Choices(keep_last_step=True, keep_without_launch=True))
    busy = [total(mine.merged()) for _, mine in rows.streams()]
    (device,), (launches,) = results(name)["breakdown"].devices, results(name)["launches"].devices
    assert device.whole.idle_ns <= device.whole.wall_ns - max(busy) * 1000
    assert launches.queue_max >= max(queue.low.max() for queue in hta.queue_length(rows).values())
