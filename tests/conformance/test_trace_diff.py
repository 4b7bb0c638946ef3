"""HTA's trace diff (`compare_traces`, first rank and iteration of each) against ours: counts, durations, categories.

Ours differs in three ways, and by exactly that: work whose launch was not recorded counts in the step in which it
must have been launched (HTA drops it), what the host does after a step's range counts for that step up to the next
one's start (HTA drops it), and annotations of the program are no ops.
"""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from traceanalyzer.analyzers.launch_order import launch_moments
from traceanalyzer.analyzers.matching import matched
from traceanalyzer.analyzers.per_step import per_step
from traceanalyzer.analyzers.work import COPY, device_work
from traceanalyzer.model.columns import ints, texts

from .corpus import CORPUS, load, needs_corpus, results

if TYPE_CHECKING:
    from collections.abc import Mapping

SIDES = {"Control": "diff/control", "Test": "diff/test"}
Totals = dict[str, tuple[int, int]]  # name → how often, ns


@lru_cache(maxsize=4)
def ours(side: str, *subjects: str) -> Totals:
    """The first step of one run."""
    name = SIDES[side]
    found = per_step(load(name), results(name)["steps"])
    return {
        key: (int(values.count[0]), int(values.ns[0]))
        for subject in subjects
        for (key, _), values in found[subject].items()
        if values.count[0]
    }


@lru_cache(maxsize=2)
def without_launch(side: str) -> Totals:
    """Device work that counts for the first step although its launch was not recorded."""
    trace, (step, *later) = load(SIDES[side]), results(SIDES[side])["steps"].steps
    end = later[0].host_start_ns if later else step.window_end_ns
    totals: Totals = {}
    for work in device_work(trace):
        moment = launch_moments(work, trace)
        stray = (work.api_call < 0) & (moment >= step.host_start_ns) & (moment < end)
        for at in np.flatnonzero(stray).tolist():
            table = trace.copies if work.kind[at] == COPY else trace.kernels
            name = table.column("name")[int(work.row[at])].as_py()
            count, ns = totals.get(name, (0, 0))
            totals[name] = count + 1, ns + int(work.end[at] - work.start[at])
    return totals


@lru_cache(maxsize=2)
def after_the_range(side: str) -> Mapping[str, int]:
    """How many ops and API calls of each name begin between the end of the first step's range and the next step."""
    trace, (step, *later) = load(SIDES[side]), results(SIDES[side])["steps"].steps
    end = later[0].host_start_ns if later else step.window_end_ns
    counts: Counter[str] = Counter()
    for table in (trace.ops, trace.api_calls):
        codes, names = texts(table, "name")
        ts = ints(table, "ts")
        rows = np.flatnonzero((ts >= step.host_end_ns) & (ts < end))
        counts.update(names[code] for code in codes[rows].tolist())
    return counts


@lru_cache(maxsize=1)
def _answers() -> dict[str, Any]:
    path = CORPUS / "oracles" / "hta" / "diff_api.json"
    answers: dict[str, Any] = json.loads(path.read_text("utf-8"))["trace_diff"]
    return answers


def hta_rows(which: str) -> list[Mapping[str, Any]]:
    rows: list[Mapping[str, Any]] = _answers()[f"compare_{which}_full"]
    return rows


@needs_corpus
@pytest.mark.parametrize("side", SIDES)
def test_counts_and_durations_of_device_work_but_for_strays(side: str) -> None:
    mine, strays = ours(side, "kernels", "copies"), without_launch(side)
    for row in hta_rows("GPU"):
        count, ns = mine.get(row["name"], (0, 0))
        stray_count, stray_ns = strays.get(row["name"], (0, 0))
        expected = (row[f"{side}_counts"], row[f"{side}_total_duration"])
        assert (count - stray_count, (ns - stray_ns) / 1000) == expected, row["name"]
    assert not set(mine) - {row["name"] for row in hta_rows("GPU")} - set(strays)


@needs_corpus
@pytest.mark.parametrize("side", SIDES)
def test_counts_of_ops_and_api_calls(side: str) -> None:
    mine, late = ours(side, "host_ops", "api_calls"), after_the_range(side)
    annotations = set(texts(load(SIDES[side]).annotations, "name")[1])
    rows = [row for row in hta_rows("CPU") if row["name"] not in annotations]
    assert len(rows) > 150
    assert {row["name"]: row[f"{side}_counts"] for row in rows if row[f"{side}_counts"]} == {
        name: count - late[name]
        for name, (count, _) in mine.items()
        if name not in annotations and count > late[name]
    }


@needs_corpus
def test_names_that_appear_vanish_and_change() -> None:
    """HTA's `ops_diff`: added, deleted, increased, decreased, unchanged."""
    control, test = ours("Control", "host_ops", "api_calls"), ours("Test", "host_ops", "api_calls")
    annotations = {name for side in SIDES.values() for name in texts(load(side).annotations, "name")[1]}
    found: dict[str, list[str]] = {
        key: [] for key in ("added", "deleted", "increased", "decreased", "unchanged")
    }
    keys = [[(name, None) for name in side] for side in (control, test)]
    for (name, _), olds, news in matched(*keys, by_family=False):
        change = test.get(name, (0, 0))[0] - control.get(name, (0, 0))[0]
        found[
            "added" if not olds else "deleted" if not news else
            "increased" if change > 0 else "decreased" if change < 0 else "unchanged"
        ].append(name)  # fmt: skip
    theirs = _answers()["ops_diff_names_CPU"]
    assert {key: sorted(names) for key, names in found.items()} == {
        key: sorted(n for n in names if n not in annotations) for key, names in theirs.items()
    }
