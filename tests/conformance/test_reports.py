"""Every real trace gives a report, whatever it lacks: no GPU, no steps, no launches, names of 2021."""

from __future__ import annotations

import json

import jsonschema
import pytest

from traceanalyzer.pipeline import analyze
from traceanalyzer.reporters import render
from traceanalyzer.reporters.json_report import schema

from .corpus import load, needs_corpus, traces


@needs_corpus
@pytest.mark.parametrize("name", traces())
def test_every_trace_gives_a_report(name: str) -> None:
    analysis = analyze(load(name))
    document = json.loads(render(analysis, "json"))
    jsonschema.Draft202012Validator(schema()).validate(document)
    assert document["sources"][0]["events"] > 0
    assert analysis.verdict.headline
    for device in document["breakdown"] or []:
        parts = ("compute_ns", "exposed_communication_ns", "exposed_copy_ns", "idle_ns")
        assert sum(device[part] for part in parts) == device["wall_ns"]
    page = render(analysis, "html")
    assert page.lower().startswith("<!doctype html>")
    assert analysis.verdict.headline.split()[0] in page
    assert len(render(analysis, "markdown")) > 100
    assert len(render(analysis, "text")) > 100
