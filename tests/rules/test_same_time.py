"""Findings that count the same time are told as one: the weaker behind the stronger, its saving not on top of that."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import report_cases
from jsonschema import Draft202012Validator

from traceanalyzer import analyze, load
from traceanalyzer.reporters import findings as forms
from traceanalyzer.reporters import json_report, notebook, render
from traceanalyzer.rules.findings import Counted, Finding
from traceanalyzer.rules.same_time import shared_ns, told_once

if TYPE_CHECKING:
    from traceanalyzer.rules.analysis import Analysis

SIMULATED = Path(__file__).parents[2] / "fixtures" / "simulated"


def counting(code: str, *counts: tuple[str, int, int], saves: tuple[int, int] | None = (1, 2)) -> Finding:
    told = tuple(Counted(*part) for part in counts)
    return Finding(code, f"title of {code}", "medium", "claim", (), "fix", "high", saves, counts=told)


def behind(*findings: Finding) -> dict[str, str | None]:
    return {finding.code: finding.part_of for finding in told_once(findings)}


def test_the_weaker_of_two_that_count_the_same_time_is_part_of_the_stronger() -> None:
    alike = [counting(code, ("idle allocator", 100, 100)) for code in ("ALLOC001", "ALLOC002")]
    assert behind(*alike) == {"ALLOC001": None, "ALLOC002": "ALLOC001"}


def test_it_stands_right_behind_the_stronger_one() -> None:
    found = [counting("A", ("x", 9, 9)), counting("B", ("y", 9, 9)), counting("C", ("x", 9, 9))]
    assert [finding.code for finding in told_once(found)] == ["A", "C", "B"]


def test_what_counts_mostly_other_time_stands_for_itself() -> None:
    wide = counting("IDLE001", ("idle dispatch", 900, 900), ("idle optimizer", 100, 100))
    narrow = counting("OPT001", ("idle optimizer", 100, 100))
    assert behind(narrow, wide) == {"OPT001": None, "IDLE001": None}
    assert behind(wide, narrow) == {"IDLE001": None, "OPT001": "IDLE001"}


def test_two_parts_of_the_same_time_share_no_more_than_they_must() -> None:
    some, others = counting("A", ("kernel add", 60, 100)), counting("B", ("kernel add", 70, 100))
    assert shared_ns(some, others) == 30
    assert shared_ns(counting("A", ("kernel add", 40, 100)), counting("B", ("kernel add", 60, 100))) == 0
    assert behind(some, others) == {"A": None, "B": None}


def test_who_promises_no_saving_in_time_promises_nothing_twice() -> None:
    promise, none = counting("A", ("x", 9, 9)), counting("B", ("x", 9, 9), saves=None)
    assert behind(promise, none) == {"A": None, "B": None}
    assert behind(none, promise) == {"B": None, "A": None}


def test_none_is_part_of_one_that_is_part_of_another_itself() -> None:
    chain = [
        counting("A", ("x", 10, 10)),
        counting("B", ("x", 10, 10), ("y", 9, 9)),
        counting("C", ("y", 9, 9)),
    ]
    assert behind(*chain) == {"A": None, "B": "A", "C": None}


@pytest.mark.parametrize(
    ("recording", "expected"),
    [
        ("sync_loop", {"SYNC002": "SYNC001"}),  # single values are read, and the host waits: the same gaps
        ("host_pauses", {"ALLOC002": "ALLOC001"}),  # the cache is emptied, and memory allocated
        ("pageable_copies", {"OVERLAP001": "COPY001"}),  # copies run alone
        ("overlapped_allreduce", {"COMM004": "COMM001"}),  # communication does
        ("launch_bound", {}),  # idle time and kernels are not the same time
        ("dataloader_stall", {}),
    ],
)
def test_findings_of_recordings_tell_the_same_time_once(recording: str, expected: dict[str, str]) -> None:
    found = analyze(load(SIMULATED / f"sim_{recording}.json.gz")).findings
    assert {f.code: f.part_of for f in found if f.part_of} == expected


def test_a_kernel_that_two_rules_are_about_is_told_once() -> None:
    chains = analyze(load(SIMULATED / "sim_bandwidth_bound.json.gz"))["fusion"].rows
    assert chains
    for chain in chains:
        assert sum(chain.kernel_ns) == chain.total_ns
        assert len(chain.kernel_ns) == len(chain.kernels)


@pytest.fixture(scope="module")
def twice() -> Analysis:
    base = report_cases.training()
    other = replace(base.findings[1], code="OVERLAP001", title="Transfers", part_of=base.findings[0].code)
    return replace(base, findings=(base.findings[0], other, *base.findings[1:]))


@pytest.mark.parametrize("form", ["text", "markdown"])
def test_summaries_name_it_in_a_line_below_the_stronger_and_do_not_number_it(
    twice: Analysis, form: str
) -> None:
    shown = render(twice, form, top=2)
    assert "Mostly the same time, saved once: Transfers (OVERLAP001)" in re.sub(r"\s+", " ", shown)
    assert re.search(r"\n2\. (\*\*)?Copies from pageable", shown)


def test_the_page_says_what_saves_the_same_time(twice: Analysis) -> None:
    page = render(twice, "html")
    article = page[page.index('id="finding-OVERLAP001"') :]
    article = article[: article.index("</article>")]
    assert 'mostly the same time as <a href="#finding-LOAD001">LOAD001</a>, saved once' in article
    assert "<strong>" not in article[: article.index("</header>")], "its saving is no figure of its own"


@pytest.mark.parametrize("form", ["text", "markdown", "sarif"])
def test_findings_say_it_in_every_form_that_tells_savings(twice: Analysis, form: str) -> None:
    assert "mostly the same time as LOAD001, saved once" in forms.render(twice, form)


def test_a_notebook_says_it(twice: Analysis) -> None:
    assert "mostly the same time as LOAD001, saved once" in notebook.html(twice)


def test_programs_are_told(twice: Analysis) -> None:
    document = json_report.document(twice)
    assert [finding["part_of"] for finding in document["findings"]] == [None, "LOAD001", None, None]
    assert json.loads(forms.render(twice, "json"))["findings"] == document["findings"]
    assert not list(Draft202012Validator(json_report.schema()).iter_errors(document))
    described = json_report.schema()["properties"]["findings"]["items"]["properties"]["part_of"]
    assert "most of the same time" in described["description"]
