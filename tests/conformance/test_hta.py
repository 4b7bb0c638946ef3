"""HTA's own figures, reproduced on its definitions, and where ours differ and why.

HTA 0.5.0 computed them on the same files with its defaults (../shared/corpus/oracles/hta).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from traceanalyzer.pipeline import analyze

from . import hta
from .corpus import hta_answers, load, needs_corpus, start_ns
from .intervals import intersection, total, union

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


def _of_rank(rows: list[dict[str, Any]], rank: int) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "rank"} for row in rows if row["rank"] == rank]


@needs_corpus
@each_case
@pytest.mark.parametrize("keep_last_step", [False, True], ids=["last step dropped", "all steps"])
def test_temporal_breakdown(name: str, answers: str, rank: int, keep_last_step: bool) -> None:
    said = hta_answers(answers)
    everything = said["include_last_profiler_step_temporal"]["result"]["temporal"]
    expected = everything if keep_last_step else said["temporal_breakdown"]["result"]
    rows = hta.device_rows(load(name), start_ns(name), keep_last_step=keep_last_step)
    assert [hta.temporal_breakdown(rows)] == _of_rank(expected, rank)


@needs_corpus
@each_case
def test_overlap(name: str, answers: str, rank: int) -> None:
    (expected,) = _of_rank(hta_answers(answers)["comm_comp_overlap"]["result"], rank)
    rows = hta.device_rows(load(name), start_ns(name))
    assert hta.overlap_percent(rows) == expected["comp_comm_overlap_pctg"]


@needs_corpus
@each_case
def test_idle(name: str, answers: str, rank: int) -> None:
    said = hta_answers(answers)["idle_time_breakdown"]["result"]
    idle = hta.idle_breakdown(hta.device_rows(load(name), start_ns(name)))
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
    between the two of `Queue`, change by change; so do mean, extremes and quantiles. The standard deviation is a
    seminorm: it can differ from that of `low` by no more than the deviation that the spread between the two allows.
    Where no launch and start share a microsecond, both are one series and the figures are equal.
    """
    expected = {
        row["stream"]: {k.removeprefix("queue_length/"): v for k, v in row.items()}
        for row in _of_rank(hta_answers(answers)["queue_length_summary"]["result"], rank)
    }
    queues = hta.queue_length(hta.device_rows(load(name), start_ns(name)))
    assert list(queues) == list(expected)
    for stream, queue in queues.items():
        theirs, low, high = expected[stream], _described(queue.low), _described(queue.high)
        deviation = theirs.pop("std")
        n = len(queue.low)
        assert all(low[k] <= v <= high[k] for k, v in theirs.items() if k != "stream"), (
            stream,
            low,
            theirs,
            high,
        )
        spread = np.sqrt(((queue.high - queue.low) ** 2).sum() / (n - 1))
        assert abs(deviation - queue.low.std(ddof=1)) <= spread + 1e-9
        assert high["mean"] - low["mean"] < 0.05  # so that the bounds say something


def _described(series: NDArray[np.int64]) -> dict[str, float]:
    quarter, half, three_quarters = np.percentile(series, [25, 50, 75])
    return {
        "count": len(series), "mean": series.mean(), "min": series.min(), "max": series.max(),
        "25%": quarter, "50%": half, "75%": three_quarters,
    }  # fmt: skip
