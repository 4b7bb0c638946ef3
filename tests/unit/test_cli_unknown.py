"""What was not measured is not shown as 0, in no command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from traceanalyzer.cli.command_line import run


@pytest.mark.parametrize("command", ["ops", "modules"])
def test_device_time_that_nobody_recorded_is_unknown_not_zero(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = Path(__file__).parents[2] / "fixtures" / "recorded" / "cpu_train.json.gz"
    assert run([command, str(recorded), "--json", "--top", "1"]) == 0
    (row,) = json.loads(capsys.readouterr().out)[command]
    assert row["device_ns"] is None
    assert row["self_device_ns"] is None
    assert run([command, str(recorded), "--top", "1"]) == 0
    assert "0 s" not in capsys.readouterr().out
