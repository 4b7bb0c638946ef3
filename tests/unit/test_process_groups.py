"""Where it was not recorded which ranks communicate with each other, the report says so, and how to record it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from traceanalyzer import analyze, load
from traceanalyzer.analyzers.replay.whatif import what_if
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.reporters import render

if TYPE_CHECKING:
    from traceanalyzer.rules.analysis import Analysis

SIMULATED = Path(__file__).parents[2] / "fixtures" / "simulated"
WHAT = "process groups and arguments of collectives"
REMEDY = "record with PyTorch 2.3 or newer and ProfilerActivity.CPU, which write process groups and arguments"


def without_groups(folder: Path, name: str = "AllReduce", keep: int = 0) -> Analysis:
    """Two ranks whose kernels, of another `name`, have no arguments but for the first `keep` of each."""
    for rank in (0, 1):
        content = json.loads(gzip.decompress((SIMULATED / f"sim_straggler_rank{rank}.json.gz").read_bytes()))
        kernels = [e for e in content["traceEvents"] if "Collective name" in e.get("args", {})]
        kernels = [e for e in kernels if e.get("cat") == "kernel"]
        for event in kernels[keep:]:
            event["name"] = event["name"].replace("AllReduce_Sum_f32_RING_LL", name)
            event["args"] = {k: v for k, v in event["args"].items() if k[0].islower()}
        (folder / f"rank{rank}.json").write_text(json.dumps(content))
    return analyze(load(folder, options=LoadOptions(use_cache=False)))


@pytest.mark.parametrize("format_", ["html", "markdown", "text"])
def test_every_report_says_that_process_groups_were_not_recorded(tmp_path: Path, format_: str) -> None:
    told = " ".join(render(without_groups(tmp_path), format_).split())
    assert WHAT in told
    assert format_ == "text" or REMEDY in told


def test_the_page_says_it_where_the_ranks_of_a_collective_would_stand(tmp_path: Path) -> None:
    page = render(without_groups(tmp_path), "html")
    section = page[page.index('<section id="communication"') :]
    assert WHAT in section[: section.index("</section>")]


def test_where_kernels_send_it_is_not_known_who_waits_for_whom(tmp_path: Path) -> None:
    analysis = without_groups(tmp_path, "SendRecv")
    assert not analysis["peers"].rows
    (reason,) = [n.needs for n in analysis.not_assessed if n.code == "COMM003"]
    assert reason.startswith(REMEDY)


def test_what_is_taken_for_granted_is_said(tmp_path: Path) -> None:
    analysis = without_groups(tmp_path)
    (finding,) = [f for f in analysis.findings if f.code == "COMM003"]
    assert "which ranks take part was not recorded" in [str(e) for e in finding.evidence][-1]
    result = what_if(analysis.trace, analysis["steps"], ["COMM003"], ())
    assert any(REMEDY in str(note) for note in result.notes)


def test_of_some_kernels_it_says_how_many(tmp_path: Path) -> None:
    told = render(without_groups(tmp_path, "SendRecv", keep=3), "markdown")
    assert "Of 2 of 8 communication kernels no process group was recorded" in told
    assert "PyTorch records it with dist.isend and dist.irecv, not with dist.batch\\_isend\\_irecv" in told


def test_a_job_whose_groups_were_recorded_lacks_nothing(tmp_path: Path) -> None:
    assert "process group" not in render(without_groups(tmp_path, keep=9), "markdown")
