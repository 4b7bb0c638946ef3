"""A planted secret reaches no output and no cache: environments are dropped when a file is read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from chrome_files import dump, simple_events, trace

from traceanalyzer.cli.command_line import run

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hf_TopSecretToken1234567890"
COMMANDS = [
    ["report", "-o", "page.html", "--json", "page.json"],
    ["report", "--format", "markdown", "-o", "page.md"],
    ["report", "--format", "text", "-o", "page.txt"],
    ["export", "-o", "tables"],
    ["info"], ["summary"], ["kernels"], ["ops"], ["modules"], ["steps"], ["memory"],
]  # fmt: skip


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A trace whose header carries an environment in every place that has been seen in the wild."""
    environment = {"HF_TOKEN": SECRET, "HOME": f"/home/{SECRET}"}
    content = dump(
        trace(
            simple_events(),
            metadata={"env": environment, "argv": ["train.py", f"--token={SECRET}"]},
            environment=environment,
            env=[f"HF_TOKEN={SECRET}"],
            host_name=SECRET,
            username=SECRET,
            INFO=[f"started by {SECRET}"],
            traceName=f"/home/{SECRET}/run.json",
            distributedInfo={"rank": 0, "world_size": 1, "environment": environment},
        )
    )
    path = tmp_path / "run.json"
    path.write_text(content)
    assert SECRET in content
    return path


def test_no_output_and_no_cache_holds_a_planted_secret(
    planted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "out"
    outputs.mkdir()
    monkeypatch.chdir(outputs)
    monkeypatch.setenv("TRACEANALYZER_CACHE_DIR", str(tmp_path / "cache"))
    for command, *options in COMMANDS:
        assert run([command, str(planted), *options]) == 0, command
        shown = capfd.readouterr()
        assert shown.out or shown.err, command
        assert SECRET not in shown.out + shown.err, command
    written = [p for folder in (outputs, tmp_path / "cache") for p in folder.rglob("*") if p.is_file()]
    assert len(written) > 20
    for file in written:
        assert SECRET.encode() not in file.read_bytes(), file
    tables = [p for p in written if p.suffix == ".parquet"]
    assert tables
    import pyarrow.parquet as pq

    for file in tables:  # compressed: look at the values, and at what Parquet keeps beside them
        assert SECRET not in str(pq.read_table(file).to_pylist())
        assert SECRET not in str(pq.read_schema(file).metadata)
