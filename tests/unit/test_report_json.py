"""The JSON report: it fits its schema, is complete, the same every time, and null where nothing was measured."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import report_cases as cases
from jsonschema import Draft202012Validator

from traceanalyzer.reporters import json_report, render

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceanalyzer.rules.analysis import Analysis

CASES: list[Callable[[], Analysis]] = [cases.training, cases.nothing, cases.cpu_only]


@pytest.fixture(scope="module")
def validator() -> Draft202012Validator:
    Draft202012Validator.check_schema(json_report.schema())
    return Draft202012Validator(json_report.schema())


@pytest.mark.parametrize("case", CASES)
def test_a_report_fits_the_schema(case: Callable[[], Analysis], validator: Draft202012Validator) -> None:
    document = json.loads(render(case(), "json"))
    assert [e.message for e in validator.iter_errors(document)] == []


def test_the_schema_refuses_what_is_not_a_report(validator: Draft202012Validator) -> None:
    document = json_report.document(cases.training())
    document["breakdown"][0]["idle_ns"] = None
    assert not validator.is_valid(document)


@pytest.mark.parametrize("case", CASES)
def test_text_and_document_say_the_same(case: Callable[[], Analysis]) -> None:
    assert json.loads(render(case(), "json")) == json_report.document(case())


def test_equal_analyses_give_equal_bytes() -> None:
    assert render(cases.training(), "json") == render(cases.training(), "json")


def test_tables_are_complete_whatever_top_says() -> None:
    assert render(cases.training(), "json", top=1) == render(cases.training(), "json", top=50)


def test_the_four_parts_sum_to_the_wall_time() -> None:
    for device in json_report.document(cases.training())["breakdown"]:
        for part in (device, *device["steps"]):
            keys = ("compute_ns", "exposed_communication_ns", "exposed_copy_ns", "idle_ns")
            assert sum(part[k] for k in keys) == part["wall_ns"]


def test_what_no_analyzer_measured_is_null() -> None:
    document = json_report.document(cases.cpu_only())
    assert document["memory"] is None
    assert document["launches"] is None
    assert document["ops"][0]["device_ns"] is None, "no device was recorded: its time is unknown, not 0"
    assert document["op_totals"] == {"unattributed_device_ns": None}


def test_the_cost_of_a_kernel_is_unknown_without_a_cost_model() -> None:
    kernel = json_report.document(cases.training())["kernels"][0]
    assert [kernel[k] for k in ("bound", "flops", "bytes", "percent_of_roof")] == [None] * 4


def test_an_empty_trace_has_no_median_step() -> None:
    assert json_report.document(cases.nothing())["steps"] == {
        "kind": "window", "count": 0, "median_ns": None, "outliers": [], "list": [],
    }  # fmt: skip


@pytest.mark.parametrize("backwards", [False, True])
def test_findings_come_in_the_order_of_the_rules_everywhere(backwards: bool) -> None:
    """Also where no saving can be told, which orders them by what is at stake."""
    base = cases.training()
    told = base.findings[::-1] if backwards else base.findings
    analysis = replace(base, findings=told)
    assert [f["code"] for f in json_report.document(analysis)["findings"]] == [f.code for f in told]
    page = render(analysis, "html")
    assert re.findall(r'<article class="finding[^>]*id="finding-([A-Z0-9]+)', page) == [f.code for f in told]


def test_memory_by_stack_sums_the_holders() -> None:
    memory = json_report.document(cases.training())["memory"]
    assert sum(row["bytes"] for row in memory["peak_by_stack"]) == memory["timelines"][0]["accounted_bytes"]
    assert [row["module"] for row in memory["peak_by_module"]] == ["GPT/Block/MLP"]


def test_metadata_becomes_plain_json() -> None:
    odd: dict[str, Any] = {"b": float("nan"), "a": (1, {"z": object, "y": [2.5]})}
    plain = json_report._plain(odd)
    assert list(plain) == ["a", "b"]
    assert plain["b"] is None
    assert plain["a"][1]["y"] == [2.5]
    json.dumps(plain, allow_nan=False)
