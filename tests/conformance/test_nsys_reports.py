"""Every export of nsys gives a report, whatever it lacks: no GPU, no ranges, no rows at all."""

from __future__ import annotations

import json

import numpy as np
import pytest

from traceanalyzer.model.columns import ints
from traceanalyzer.pipeline import analyze
from traceanalyzer.reporters import render

from .corpus import needs_corpus
from .nsys import EXPORTS, load


@needs_corpus
@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_gives_a_report(name: str) -> None:
    analysis = analyze(load(name))
    document = json.loads(render(analysis, "json"))
    assert document["sources"][0]["format"] == "nsys"
    for device in document["breakdown"] or []:
        parts = ("compute_ns", "exposed_communication_ns", "exposed_copy_ns", "idle_ns")
        assert sum(device[part] for part in parts) == device["wall_ns"]
    for form in ("html", "markdown", "text"):
        assert analysis.verdict.headline.split()[0] in render(analysis, form)


@needs_corpus
def test_two_processes_are_two_ranks_and_kernels_find_their_own_calls() -> None:
    trace = load("h100x2_train")
    call = ints(trace.kernels, "api_call")
    known = call >= 0
    assert int(known.sum()) == 3986  # joined on the correlation alone there would be 4280 pairs
    assert np.array_equal(ints(trace.kernels, "rank")[known], ints(trace.api_calls, "rank")[call[known]])
    assert {(r, d) for r, d in zip(*(ints(trace.kernels, c) for c in ("rank", "device")), strict=True)} == {
        (0, 0),
        (1, 1),
    }
    assert int((ints(trace.kernels, "op") >= 0).sum()) == 3986  # emit_nvtx ranges are ops
