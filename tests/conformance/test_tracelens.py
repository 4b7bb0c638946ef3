"""TraceLens' own figures, reproduced on its definitions, and where ours differ and why."""

from __future__ import annotations

import csv
import dataclasses
from collections import defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.communication import is_communication

from .corpus import CORPUS, load, needs_corpus, results, start_ns
from .intervals import intersection, total
from .tracelens import COPY, Choices, device_rows, gpu_timeline, launched, recomputed, timeline

if TYPE_CHECKING:
    from traceanalyzer.model.trace import Trace

TRACELENS = Choices()
OURS = Choices(only_launched=False, memset=COPY, is_communication=is_communication)

WITHOUT_RECOMPUTE = [
    "b200_vllm_prefill", "h100_owlv2", "h100_qwen", "h100_timesformer", "mi300_vllm_decode_graph",
]  # fmt: skip
ALL = [*WITHOUT_RECOMPUTE, "mi300_resnet_train"]


def _table(trace: str, name: str) -> list[dict[str, str]]:
    with (CORPUS / "oracles" / "tracelens" / trace / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _printed(table: dict[str, tuple[float, float]]) -> dict[str, tuple[str, str]]:
    return {part: (repr(ms), repr(percent)) for part, (ms, percent) in table.items()}


@needs_corpus
@pytest.mark.parametrize("name", WITHOUT_RECOMPUTE)
def test_gpu_timeline_to_the_printed_digit(name: str) -> None:
    rows = device_rows(load(name), TRACELENS)
    expected = {row["type"]: (row["time ms"], row["percent"]) for row in _table(name, "gpu_timeline")}
    assert _printed(gpu_timeline(rows, start_ns(name))) == expected


@needs_corpus
@pytest.mark.parametrize("again", [False, True], ids=["first time", "recomputed"])
def test_gpu_timeline_with_recomputation_apart_to_the_printed_digit(again: bool) -> None:
    name = "mi300_resnet_train"
    trace = load(name)
    rows = device_rows(trace, TRACELENS)
    mine = rows.only(np.isin(rows.correlation, recomputed(trace)) == again)
    expected = {
        row["type"]: (row["time ms"], row["percent"])
        for row in _table(name, "gpu_timeline")
        if row["is_recompute"] == str(again)
    }
    assert _printed(gpu_timeline(mine, start_ns(name))) == expected


@needs_corpus
@pytest.mark.parametrize("name", WITHOUT_RECOMPUTE)
def test_kernel_sums_per_name_equal_kernel_summary(name: str) -> None:
    """Here TraceLens counts kernels without a launch too, and no copies: exactly our kernels table.

    It has one row per name, op and stream; its float sums are within 1e-6 us of whole nanoseconds.
    """
    expected: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for row in _table(name, "kernel_summary"):
        count, ns = expected[row["Kernel name"]]
        more = int(round(Decimal(row["Kernel duration (µs)_sum"]), 5) * 1000)
        expected[row["Kernel name"]] = (count + int(row["Kernel duration (µs)_count"]), ns + more)
    ours = {row.name: (row.count, row.total_ns) for row in results(name)["kernels"].rows}
    assert ours == dict(expected)


@needs_corpus
@pytest.mark.parametrize("name", ALL)
def test_our_breakdown_is_the_same_sum_under_our_choices(name: str) -> None:
    """Nothing else differs: TraceLens' formula with our choices, over our window, is our breakdown.

    Our choices, and why:
    - every device row counts, whether its launch was recorded or not: the device was busy all the same.
    - memset is a copy: it moves no result forward and goes through the same engines.
    - more names are communication: a multimem or one-shot all-reduce is no computation.
    - the window begins with the first step (or the first event) on the host, not with the first kernel, so
      that idle time before it counts, and time is whole nanoseconds.
    """
    trace = load(name)
    rows = device_rows(trace, OURS)
    parts = timeline(rows.ts.tolist(), rows.end.tolist(), rows.kind)
    (device,) = results(name)["breakdown"].devices
    whole = device.whole
    window = [(device.window_start_ns, device.window_start_ns + whole.wall_ns)]
    assert whole.compute_ns == total(intersection(parts.computation, window))
    assert whole.exposed_communication_ns == total(intersection(parts.exposed_communication, window))
    assert whole.exposed_copy_ns == total(intersection(parts.exposed_copy, window))
    assert whole.idle_ns == whole.wall_ns - total(intersection(parts.busy, window))


REASONS = {
    # TraceLens calls multimem_all_reduce computation, and counts 2.1 ms of waiting for peers as work.
    "b200_vllm_prefill": {"is_communication"},
    "h100_owlv2": {"memset"},
    # 30 % of the kernel time was launched before the window; TraceLens drops it.
    "h100_qwen": {"only_launched", "memset"},
    "h100_timesformer": {"memset"},
    "mi300_vllm_decode_graph": set(),
    # Kernels launched before the window. Its memsets have no arrow, so TraceLens drops them instead of
    # counting them as computation: `memset` alone changes nothing.
    "mi300_resnet_train": {"only_launched"},
}
"""Which of our choices, made alone, changes TraceLens' computation time."""


@needs_corpus
@pytest.mark.parametrize("name", ALL)
def test_each_difference_has_a_known_reason(name: str) -> None:
    trace = load(name)

    def computation_ns(choices: Choices) -> int:
        rows = device_rows(trace, choices)
        return int(total(timeline(rows.ts.tolist(), rows.end.tolist(), rows.kind).computation))

    theirs = computation_ns(TRACELENS)
    ours = {f.name: getattr(OURS, f.name) for f in dataclasses.fields(OURS)}
    reasons = {
        choice
        for choice, value in ours.items()
        if computation_ns(dataclasses.replace(TRACELENS, **{choice: value})) != theirs
    }
    assert reasons == REASONS[name]


@needs_corpus
def test_tracelens_loses_what_has_no_arrow() -> None:
    """Both ways in which it drops device work; we link by correlation and keep what has no launch."""
    assert _lost(load("h100_qwen")) == (0, 509)
    assert _lost(load("mi300_resnet_train")) == (81, 968)


def _lost(trace: Trace) -> tuple[int, int]:
    """Device rows whose call is in the window but draws no arrow, and those without a call."""
    correlation = device_rows(trace, OURS).correlation
    has_call = np.isin(correlation, ints(trace.api_calls, "correlation"))
    dropped = ~np.isin(correlation, launched(trace))
    return int((dropped & has_call).sum()), int((~has_call).sum())


@needs_corpus
def test_no_kernel_of_the_graph_launch_is_lost() -> None:
    """One hipGraphLaunch holds 425 kernels; all of them hang on it by correlation."""
    trace = load("mi300_vllm_decode_graph")
    codes, names = texts(trace.api_calls, "name")
    calls = ints(trace.kernels, "api_call")
    by_graph = [names[codes[call]] for call in calls[calls >= 0].tolist()].count("hipGraphLaunch")
    assert by_graph > 400
    assert (calls >= 0).all()
