"""Idle time by line: it sums to what the host caused, and the planted line comes first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import traceanalyzer as ta
from traceanalyzer.analyzers.idle import HOST_CAUSES
from traceanalyzer.ingest.inputs import read_inputs
from traceanalyzer.model.frames import parse_frame
from traceanalyzer.model.link import link
from traceanalyzer.model.tables import empty

SIMULATED = Path(__file__).parents[2] / "fixtures" / "simulated"


def breakdown(name: str):
    return ta.analyze(ta.load(SIMULATED / f"{name}.json.gz"))["breakdown"]


@pytest.mark.parametrize(
    "name", ["sim_training_mixed", "sim_sync_loop", "sim_dataloader_stall", "sim_launch_bound"]
)
def test_lines_sum_to_the_causes(name: str) -> None:
    found = breakdown(name)
    for cause in HOST_CAUSES:
        by_cause = sum(c.total_ns for d in found.devices for c in d.idle_causes if c.cause == cause)
        assert sum(line.total_ns for line in found.idle_lines if line.cause == cause) == by_cause


@pytest.mark.parametrize("name", ["sim_sync_loop", "sim_dataloader_stall", "sim_training_mixed"])
def test_the_planted_line_comes_first(name: str) -> None:
    truth = json.loads((SIMULATED / f"{name}.truth.json").read_text())
    planted = parse_frame(truth["planted"]["python"])
    first = breakdown(name).idle_lines[0]
    assert (first.cause, first.python, first.function) == (
        truth["planted"]["idle_cause"],
        f"{planted[0]}:{planted[1]}",
        planted[2],
    )


def test_without_stacks_there_are_no_lines() -> None:
    read = read_inputs([SIMULATED / "sim_sync_loop.json.gz"])
    tables = dict(read.tables) | {"python_calls": empty("python_calls")}
    assert ta.analyze(link(replace(read, tables=tables)))["breakdown"].idle_lines == ()
