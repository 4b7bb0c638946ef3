"""`findings` and `explain`: formats, selection, gates, and a page for every rule."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET  # of our own output only

from traceanalyzer.cli.command_line import run
from traceanalyzer.reporters.gates import Case, Suite, github, junit
from traceanalyzer.rules import RULES
from traceanalyzer.rules.explain import pages, reference

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
TRACE = str(ROOT / "fixtures" / "simulated" / "sim_training_mixed.json.gz")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(list(arguments)) == code
    return capsys.readouterr().out


def test_text_has_claim_evidence_fix_and_what_was_fine(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "findings", TRACE)
    assert "INPUT001 The step waits for the next batch [high, high confidence] saves" in out
    assert "    - 4 gaps with this cause" in out
    assert "    > DataLoader(" in out
    assert "Checked and fine: " in out


def test_what_could_not_be_checked_is_told_by_remedy_and_not_rule_by_rule(
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = json.loads(printed(capsys, "findings", TRACE, "--output-format", "json"))["not_assessed"]
    out = printed(capsys, "findings", TRACE)
    told = [line for line in out.splitlines() if line.startswith("Could not be checked: ")]
    assert len(told) == len({check["needs"] for check in whole}) < len(whole)
    assert all(check["code"] in "".join(told) for check in whole)
    marked = printed(capsys, "findings", TRACE, "--output-format", "markdown")
    assert marked.count("_record\\_memory\\_history()") == 1, "one snapshot serves for all of them"


def test_json_holds_the_same_findings_as_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    alone = json.loads(printed(capsys, "findings", TRACE, "--output-format", "json"))
    whole = json.loads(printed(capsys, "report", TRACE, "--json", "-"))
    for key in ("schema_version", "verdict", "findings", "not_assessed", "passed"):
        assert alone[key] == whole[key], key


def test_sarif_names_rule_level_message_and_file(capsys: pytest.CaptureFixture[str]) -> None:
    (sarif,) = json.loads(printed(capsys, "findings", TRACE, "--output-format", "sarif"))["runs"]
    defined = {rule["id"] for rule in sarif["tool"]["driver"]["rules"]}
    assert sarif["results"]
    for result in sarif["results"]:
        assert result["ruleId"] in defined
        assert result["level"] in {"error", "warning", "note"}
        assert result["locations"][-1]["physicalLocation"]["artifactLocation"]["uri"] == TRACE


WITH_STACKS = str(Path(__file__).parents[2] / "fixtures" / "gpu" / "slow_loader.plain.trace.json.gz")


def test_github_and_sarif_show_findings_at_their_lines_of_code(capsys: pytest.CaptureFixture[str]) -> None:
    told = printed(capsys, "findings", WITH_STACKS, "--select", "INPUT001", "--output-format", "github")
    assert told.startswith("::error file=fixtures/recorders/workloads/host.py,line=96,title=INPUT001::")
    sarif = json.loads(
        printed(capsys, "findings", WITH_STACKS, "--select", "INPUT001", "--output-format", "sarif")
    )
    assert sarif["runs"][0]["results"][0]["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "fixtures/recorders/workloads/host.py"},
        "region": {"startLine": 96},
    }


def test_a_workflow_of_github_gets_one_annotation_per_finding(capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(printed(capsys, "findings", TRACE, "--output-format", "json"))["findings"]
    lines = printed(capsys, "findings", TRACE, "--output-format", "github").splitlines()
    assert len(lines) == len(found)
    assert all(
        re.match(r"::(error|warning|notice) (file=[^,:]+,line=\d+,)?title=[A-Z]+\d+::\S", line)
        for line in lines
    )


def test_junit_has_every_rule_as_a_test(capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(printed(capsys, "findings", TRACE, "--output-format", "json"))
    suite = ET.fromstring(printed(capsys, "findings", TRACE, "--output-format", "junit"))
    assert int(suite.attrib["failures"]) == len(whole["findings"]) == len(suite.findall("testcase/failure"))
    assert int(suite.attrib["skipped"]) == len(whole["not_assessed"])
    assert int(suite.attrib["tests"]) == sum(
        len(whole[key]) for key in ("findings", "not_assessed", "passed")
    )


def test_hostile_text_neither_ends_an_annotation_nor_the_xml() -> None:
    hostile = "100 %\n::error::<b>&\x00\x1b]"
    case = Case("a:b,c", "x", hostile, "failed", "error", f"{hostile}:7")
    assert github(Suite("s", (case,))).startswith("::error file=100 %25%0A%3A%3Aerror%3A%3A<b>&")
    assert github(Suite("s", (case,))).count("\n") == 1
    assert ET.fromstring(junit(Suite("s", (case,)))).find("testcase/failure") is not None


def test_markdown_is_a_table_and_the_fixes(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, "findings", TRACE, "--output-format", "markdown")
    assert out.startswith("| Code | What |")
    assert "**INPUT001" in out


def test_select_and_ignore_go_by_the_beginning_of_codes(capsys: pytest.CaptureFixture[str]) -> None:
    def codes(*options: str) -> set[str]:
        content = json.loads(printed(capsys, "findings", TRACE, "--output-format", "json", *options))
        return {f["code"] for f in content["findings"]} | set(content["passed"])

    everything = codes()
    assert codes("--select", "sync,input001") == {c for c in everything if c.startswith(("SYNC", "INPUT001"))}
    assert codes("--ignore", "IDLE") == {c for c in everything if not c.startswith("IDLE")}
    assert run(["findings", TRACE, "--select", "NOPE"]) == 2
    assert "no rule begins with NOPE" in capsys.readouterr().err


def test_a_gate_fails_from_its_severity_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["findings", TRACE, "--fail-on", "high"]) == 1
    assert "The gate failed: INPUT001, SYNC001, SYNC002 from severity high on." in capsys.readouterr().err
    assert run(["findings", TRACE, "--fail-on", "high", "--ignore", "INPUT,SYNC"]) == 0
    assert re.search(r"The gate passed: .* \d+ rules could not be checked", capsys.readouterr().err)


def test_explain_lists_every_rule_and_prints_its_page(capsys: pytest.CaptureFixture[str]) -> None:
    listed = printed(capsys, "explain")
    for rule in RULES:
        assert rule.code in listed
    page = printed(capsys, "explain", "sync001")
    assert page.startswith("SYNC001")
    assert len(page.split()) > 40
    assert run(["explain", "SYNK001"]) == 2
    assert "Did you mean SYNC001?" in capsys.readouterr().err


def test_every_rule_has_a_page_of_more_than_a_line() -> None:
    for page in pages():
        assert page.summary.endswith("."), page.code
        assert len(page.text) > len(page.summary), page.code


def test_the_rule_reference_is_up_to_date() -> None:
    assert (ROOT / "reports" / "rules.md").read_text() == reference(), "run `make reports`"
