"""The sample report in reports/ is what the program writes today; `make reports` renews it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import traceanalyzer as ta

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
TRACE = "fixtures/gpu/train.plain.trace.json.gz"


def test_the_sample_in_the_repository_is_what_the_program_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    analysis = ta.analyze(ta.load(TRACE))
    written = ta.report(analysis, tmp_path / "sample.json").read_text()
    committed = (ROOT / "reports" / "sample.json").read_text()
    assert json.loads(written) == json.loads(committed), "run `make reports`"
