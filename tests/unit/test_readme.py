"""What README says can be typed does work, in the order in which it stands there."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest

from traceanalyzer.cli.command_line import COMMANDS
from traceanalyzer.ingest.cache import DIRECTORY_VARIABLE

ROOT = Path(__file__).parents[2]
MANIFEST = tomllib.loads((ROOT / "fixtures/MANIFEST.toml").read_text())
README = (ROOT / "README.md").read_text()
TRACE = ROOT / "fixtures/simulated/sim_training_mixed.json.gz"  # small, with every kind of finding
SNAPSHOT = ROOT / "fixtures/gpu/oom_leak.plain.snapshot.pickle.gz"
ERROR = "CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 7.80 GiB total capacity; 6.10 GiB already allocated)\n"
RANKS = [ROOT / f"fixtures/simulated/sim_straggler_rank{rank}.json.gz" for rank in (0, 1)]
INPUTS = {
    **dict.fromkeys(("run.json", "traces/run.json", "graphs.json", "eager.json"), TRACE),
    **{f"rank{rank}.json.gz": path for rank, path in enumerate(RANKS)},
}


@dataclass(frozen=True)
class Block:
    """A fenced block: its language line, the heading above it and its text."""

    language: str
    heading: str
    text: str

    @property
    def commands(self) -> list[str]:
        lines = [line.removeprefix("$ ") for line in self.text.splitlines()]
        return [line.partition(" #")[0].strip() for line in lines]


def blocks(text: str) -> list[Block]:
    found, heading = [], ""
    for match in re.finditer(
        r"^#+ (?P<heading>.+)$|^```(?P<language>.+)\n(?P<text>[^`]*?)^```$", text, re.MULTILINE
    ):
        if match["heading"]:
            heading = match["heading"]
        else:
            found.append(Block(match["language"], heading, match["text"]))
    return found


SHELL = [block for block in blocks(README) if block.language in ("console", "bash")]
PYTHON = [block for block in blocks(README) if block.language == "python"]
OURS = [block for block in SHELL if "trace-analyze" in block.text]
SETUP = [command for block in SHELL if block not in OURS for command in block.commands]

needs_trace = pytest.mark.skipif(not TRACE.exists(), reason=f"{TRACE.relative_to(ROOT)} is not there")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the files that README talks about, and the command on the PATH."""
    for name, recorded in INPUTS.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(recorded, path)
    for name in ("snapshot.pickle", "before.pickle", "after.pickle"):
        shutil.copy(SNAPSHOT, tmp_path / name)
    (tmp_path / "train.log").write_text(ERROR)
    command = tmp_path / "bin/trace-analyze"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" -c "from traceanalyzer.cli import main; main()" "$@"\n'
    )
    command.chmod(0o755)
    return tmp_path


def environment(place: Path) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "BROWSER": "true",  # the command that does nothing
        DIRECTORY_VARIABLE: str(place / "cache"),
    }


def run(command: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=place, env=environment(place), capture_output=True, text=True, timeout=120, check=False
    )


def run_until_it_serves(command: list[str], place: Path) -> subprocess.CompletedProcess[str]:
    """What serves until Ctrl+C gets it as soon as it has said where."""
    with subprocess.Popen(
        command, cwd=place, env=environment(place), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        address = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert address.startswith("http://127.0.0.1:"), errors
    return subprocess.CompletedProcess(command, process.returncode, address, errors)


def test_the_first_commands_are_demo_and_test() -> None:
    assert SETUP[:2] == ["make demo", "make test"]


def test_what_make_shows_was_recorded_on_a_gpu() -> None:
    shown = dict(re.findall(r"^(TRACE|OOM) \?= (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in shown.values():
        entry = MANIFEST[path.removeprefix("fixtures/")]
        assert (entry["origin"], entry["device"]) == ("recorded", "NVIDIA H200")
    assert set(shown) == {"TRACE", "OOM"}


@pytest.mark.parametrize("command", SETUP)
def test_setting_up_names_what_there_is(command: str) -> None:
    tool, *arguments = command.split()
    if tool == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert set(arguments) <= set(targets)
    else:
        assert (tool, arguments) == ("pip", ["install", "."])
        assert (ROOT / "pyproject.toml").exists()


def test_every_command_is_shown() -> None:
    shown = {match for block in OURS for match in re.findall(r"trace-analyze ([a-z]+)", block.text)}
    assert shown == {name for name, _ in COMMANDS}


@needs_trace
@pytest.mark.parametrize("block", OURS, ids=lambda block: block.heading)
def test_commands_work_as_printed(block: Block, place: Path) -> None:
    assert block.commands
    for command in block.commands:
        runs = run_until_it_serves if command.startswith("trace-analyze open") else run
        done = runs(["bash", "-euo", "pipefail", "-c", command], place)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert "Traceback" not in done.stderr


@needs_trace
@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.heading)
def test_python_works_as_printed(block: Block, place: Path) -> None:
    done = run([sys.executable, "-W", "error", "-c", block.text], place)
    assert done.returncode == 0, done.stderr
    assert (place / "page.html").stat().st_size > 0


@needs_trace
def test_the_workflow_fails_at_its_gate_and_still_writes_the_summary(place: Path) -> None:
    (workflow,) = [block for block in blocks(README) if block.language == "yaml"]
    gate, report = re.findall(r"^- run: (.+)$", workflow.text, re.MULTILINE)
    failed = run(["bash", "-c", gate], place)
    assert failed.returncode == 1
    assert failed.stdout.startswith("::error file=data.py,line=24")
    assert "The gate failed: INPUT001" in failed.stderr
    assert run(["bash", "-c", f"export GITHUB_STEP_SUMMARY=summary.md; {report}"], place).returncode == 0
    assert (place / "summary.md").read_text().startswith("## GPU idle 53 % of the step")
