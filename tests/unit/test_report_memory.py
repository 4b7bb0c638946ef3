"""The JSON report of a memory snapshot holds the post-mortem, and validates."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

import traceanalyzer as ta
from traceanalyzer.reporters import render

SNAPSHOTS = sorted((Path(__file__).parents[2] / "fixtures" / "snapshots").glob("*.pickle*"))


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda p: p.name)
def test_a_snapshot_fills_the_memory_section(path: Path) -> None:
    analysis = ta.analyze(ta.load(path))
    document = json.loads(render(analysis, "json"))
    jsonschema.validate(
        document, json.loads(files("traceanalyzer.reporters").joinpath("schema.json").read_text())
    )
    memory = document["memory"]
    device = max(analysis["snapshot"].devices, key=lambda d: d.peak_reserved_bytes)
    assert memory["peak_by_category"] == device.peak.by_category
    assert memory["fragmentation"]["total_bytes"] == device.free_at_end.total_bytes
    errors = [e["headline"] for e in memory["oom"]["errors"]] if memory["oom"] else []
    assert errors == [row.headline for row in analysis["oom"].rows]


def test_there_is_a_snapshot_to_look_at() -> None:
    assert SNAPSHOTS
