"""Two runs: what changed per step, what explains it, and what is only noise."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET  # of our own output only

import pytest
from linked import Linked

from traceanalyzer import pipeline
from traceanalyzer.analyzers.matching import family_name, matched
from traceanalyzer.cli.command_line import run
from traceanalyzer.model.trace import Capability
from traceanalyzer.reporters.comparison import gate, headline
from traceanalyzer.rules.comparison import compare

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceanalyzer.rules.analysis import Analysis
    from traceanalyzer.rules.comparison_results import Comparison

ROOT = Path(__file__).parents[2]
SIMULATED = str(ROOT / "fixtures/simulated/sim_training_mixed.json.gz")
SNAPSHOT = str(ROOT / "fixtures/snapshots/oom.pickle.gz")
RECORDED = str(ROOT / "fixtures/recorded/cpu_train.json.gz")
BEFORE, AFTER = "void gemm<float, 4>(float*)", "void gemm<c10::Half, 8>(c10::Half*)"


def training(gemm: Sequence[float], *, name: str = "gemm", extra: bool = False, pad: int = 100) -> Analysis:
    """One step per entry: a gemm of so many µs after 10 µs, and `pad` µs until the next step."""
    b, at = Linked(), 0.0
    for number, length in enumerate(gemm):
        end = at + 10 + length + pad
        b.step(number, at, end)
        op = b.op("aten::mm", at + 1, at + 6, self_dur=5000)
        b.launch(name, called=at + 2, start=at + 10, end=at + 10 + length, op=op)
        if extra:
            b.launch("scale", called=at + 5, start=at + 10 + length, end=at + 30 + length, op=op)
        at = end
    return pipeline.analyze(b.trace())


def compared(before: Sequence[float], after: Sequence[float], **after_options: object) -> Comparison:
    return compare(training(before), training(after, **after_options))  # type: ignore[arg-type]


def test_runs_with_other_numbers_of_steps_compare_per_step() -> None:
    found = compared([100, 102, 101], [200, 202, 201, 199, 203, 201])
    assert found.step is not None
    assert (found.step.before_ns, found.step.after_ns) == (211_000, 311_000)
    (kernel,) = found.tables["kernels"]
    assert (kernel.before_ns, kernel.after_ns, kernel.before_count, kernel.after_count) == (
        101_000,
        201_000,
        1,
        1,
    )
    assert kernel.share == pytest.approx(1.0)
    assert kernel.within_spread is False
    assert found.slower == pytest.approx(100 / 211)


def test_parts_add_up_to_the_step_exactly() -> None:
    found = compared([100, 101, 103], [190, 191, 190], extra=True, pad=77)
    assert found.step is not None
    for side in ("before_ns", "after_ns", "change_ns"):
        assert sum(getattr(part, side) for part in found.parts) == getattr(found.step, side)
    assert sum(part.share or 0 for part in found.parts) == pytest.approx(1.0)


def test_idle_causes_add_up_to_the_idle_part() -> None:
    found = compared([100, 101, 103], [100, 101, 103], pad=500)
    idle = next(part for part in found.parts if part.name == "idle")
    assert sum(c.change_ns for c in found.idle_causes) == pytest.approx(
        idle.change_ns, abs=len(found.idle_causes)
    )


def test_a_difference_within_the_spread_is_called_noise_and_not_shared_out() -> None:
    found = compared([100, 160, 130, 110], [120, 150, 140, 105])
    assert found.step is not None
    assert found.step.within_spread is True
    assert found.step.share is None
    assert all(part.share is None for part in found.parts)
    assert "within the spread" in headline(found)


@pytest.mark.parametrize(("after", "noise"), [([160, 160, 900], False), ([130, 130, 900], True)])
def test_a_single_long_step_hides_no_change_of_all_others(after: Sequence[float], noise: bool) -> None:
    """Where every step is longer by a fifth and more than any was before, one that is out of line is no spread."""
    found = compared([100, 100, 100], after)
    assert found.step is not None
    assert found.step.within_spread is noise
    back = compare(found.after, found.before)
    assert back.step is not None
    assert back.step.within_spread is noise


def test_a_step_that_hardly_changes_is_not_shared_out() -> None:
    """Else its parts, which balance each other, are many times the change."""
    found = compare(training([100]), training([190], pad=11))
    assert found.step is not None
    assert found.step.change_ns == 1000
    assert all(part.share is None for part in found.parts)
    assert str(headline(found)) == "The step is 1.00 µs (0.5 %) slower, 211 µs instead of 210 µs."


def test_causes_of_idle_time_that_one_run_cannot_tell_are_not_compared() -> None:
    rows = Linked()
    for i in range(2):
        rows.step(i, 100 * i, 100 * i + 100)
        rows.kernel("gemm", 100 * i + 10, 100 * i + 60)
    blind = pipeline.analyze(rows.trace({Capability.DEVICE_WORK, Capability.STEPS}))
    found = compare(blind, training([50, 50]))
    assert found.idle_causes == ()
    assert any("not compared" in note and "launches" in note for note in found.notes)


def test_one_step_does_not_tell_how_far_steps_vary() -> None:
    found = compared([100], [130])
    assert found.step is not None
    assert found.step.within_spread is None
    assert any("single step" in note for note in found.notes)


def test_kernels_of_one_family_are_put_together_and_what_only_one_run_has_is_named() -> None:
    found = compare(training([100, 101], name=BEFORE), training([50, 51], name=AFTER, extra=True))
    rows = {row.name: row for row in found.tables["kernels"]}
    assert rows["gemm"].matched == "family"
    assert rows["gemm"].variants == ((BEFORE,), (AFTER,))
    assert (rows["scale"].matched, rows["scale"].before_ns, rows["scale"].after_ns) == ("after", None, 20_000)


def test_the_same_run_twice_has_no_change() -> None:
    analysis = training([100, 110, 120])
    found = compare(analysis, analysis)
    assert found.step is not None
    assert found.step.change_ns == 0
    assert all(not row.change_ns for rows in found.tables.values() for row in rows)
    assert {finding.state for finding in found.findings} <= {"stays"}


def test_findings_are_new_gone_or_stay() -> None:
    found = compared([100, 101, 99], [100, 101, 99], pad=4000)
    back = compare(found.after, found.before)
    assert {f.code: f.state for f in found.findings} != {f.code: f.state for f in back.findings}
    swapped = {"new": "gone", "gone": "new", "stays": "stays"}
    assert {f.code: swapped[f.state] for f in found.findings} == {f.code: f.state for f in back.findings}


@pytest.mark.parametrize("order", [1, -1])
def test_a_snapshot_and_a_trace_compare_in_memory_alone(order: int) -> None:
    two = [pipeline.analyze(pipeline.load(SNAPSHOT)), pipeline.analyze(pipeline.load(SIMULATED))]
    found = compare(*two[::order])
    assert found.step is None
    assert str(headline(found)).startswith("The peak of memory (rank 0, cuda 0: ")
    assert "step" not in str(headline(found))
    assert found.memory
    assert not [note for note in found.notes if "steps" in note.split(":")[0]]
    unknown = {rule.code for analysis in two for rule in analysis.not_assessed}
    assert unknown.isdisjoint(finding.code for finding in found.findings), "not looked for is not gone"


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("ampere_sgemm_128x64_tn", "sgemm_*_tn"),
        ("volta_sgemm_32x32_sliced1x4_tn", "sgemm_*_sliced*_tn"),
        ("triton_poi_fused_add_12", "triton_poi_fused_add"),
        (
            "void at::native::(anonymous namespace)::norm<float, int>(int, float)",
            "at::native::anonymous::norm",
        ),
        ("<<<", "<<<"),
        ("", ""),
    ],
)
def test_a_family_leaves_out_what_compilers_put_in(name: str, family: str) -> None:
    assert family_name(name) == family


def test_equal_names_match_before_families_do() -> None:
    before, after = [("k<1>", None), ("k<2>", None)], [("k<1>", None), ("k<3>", None)]
    found = [(key[0], len(olds), len(news)) for key, olds, news in matched(before, after, by_family=True)]
    assert found == [("k<1>", 1, 1), ("k", 1, 1)]


def test_the_gate_fails_on_what_is_slower_by_more_than_allowed_and_than_noise() -> None:
    assert gate(compared([100, 101, 99], [130, 131, 129]), 0.05)[0] is False
    assert gate(compared([100, 101, 99], [130, 131, 129]), 0.5)[0] is True
    assert gate(compared([130, 131, 129], [100, 101, 99]), 0.0)[0] is True
    assert gate(compared([100, 160, 130, 110], [160, 110, 150, 170]), 0.01)[0] is True, "noise"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(["diff", *arguments]) == code
    return capsys.readouterr().out


def test_the_command_prints_what_changed(capsys: pytest.CaptureFixture[str]) -> None:
    out = printed(capsys, SIMULATED, SIMULATED)
    assert out.startswith("The step takes ")
    assert "Where the step's change comes from" in out


def test_json_and_csv_hold_the_same_rows(capsys: pytest.CaptureFixture[str]) -> None:
    whole = json.loads(printed(capsys, SIMULATED, SIMULATED, "--json"))
    assert whole["schema_version"] == 1
    rows = list(csv.DictReader(io.StringIO(printed(capsys, SIMULATED, SIMULATED, "--csv"))))
    kernels = [row for row in rows if row["subject"] == "kernels"]
    assert [row["name"] for row in kernels] == [row["name"] for row in whole["trace_diff"]["kernels"]]


def test_a_slower_run_fails_the_gate_with_code_1(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    fast, slow = tmp_path / "fast.json", tmp_path / "slow.json"
    for path, length in ((fast, 100), (slow, 300)):
        events = []
        for step in range(4):
            at = step * 1000.0 * length / 100
            events += [
                {"ph": "X", "cat": "user_annotation", "name": f"ProfilerStep#{step}", "pid": 1, "tid": 1,
                 "ts": at, "dur": 10.0 * length},
                {"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": at + 5, "dur": 9.0 * length,
                 "args": {"device": 0, "stream": 7, "correlation": step}},
            ]  # fmt: skip
        path.write_text(json.dumps({"schemaVersion": 1, "traceEvents": events}))
    printed(capsys, str(fast), str(slow), "--fail-on-slower", "5%", code=1)
    printed(capsys, str(slow), str(fast), "--fail-on-slower", "5%")
    suite = ET.fromstring(
        printed(capsys, str(fast), str(slow), "--fail-on-slower", "5", "--output-format", "junit", code=1)
    )
    assert suite.find("testcase[@name='step']/failure") is not None
    told = printed(capsys, str(fast), str(slow), "--fail-on-slower", "5", "--output-format", "github", code=1)
    assert told.startswith("::error title=step::The gate failed")


def test_a_page_is_written_and_not_overwritten(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "diff.html"
    printed(capsys, SIMULATED, SIMULATED, "-o", str(page))
    assert "<!doctype html>" in page.read_text("utf-8")
    printed(capsys, SIMULATED, SIMULATED, "-o", str(page), code=2)
    printed(capsys, SIMULATED, SIMULATED, "-o", str(page), "--force")


def test_without_a_device_the_host_explains_the_step(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    slow, fast = (
        str(ROOT / f"fixtures/cpu/slow_loader.{which}.trace.json.gz") for which in ("plain", "fixed")
    )
    out = printed(capsys, slow, fast)
    assert re.search(r"faster, 3\.15 ms instead of 20\.2 ms: data loader explains 1?\d\d % of it", out)
    parts = json.loads(printed(capsys, slow, fast, "--json"))["trace_diff"]["parts"]
    assert {"dataloader", "autograd", "ops", "outside_ops"} <= {part["name"] for part in parts}
    page = tmp_path / "diff.html"
    assert run(["diff", slow, fast, "-o", str(page)]) == 0
    assert "data loader" in page.read_text()


def test_what_a_simulator_wrote_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "Simulated: a simulator wrote BEFORE, not a profiler on a GPU." in printed(
        capsys, SIMULATED, RECORDED
    )


def test_what_cannot_be_compared_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    printed(capsys, SIMULATED, code=2)
    printed(capsys, SIMULATED, SIMULATED, "--fail-on-slower", "much", code=2)
    out = printed(capsys, SIMULATED, RECORDED)
    assert "Recorded in one run only, so not compared" in out


def test_a_report_with_a_baseline_has_the_diff(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assert run(["report", SIMULATED, "--baseline", SIMULATED, "-o", str(page), "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)["diff"]["step"]["change_ns"] == 0
    assert '<section id="diff">' in page.read_text("utf-8")
