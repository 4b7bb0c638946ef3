"""A few seconds of `make fuzz`: damaged files give an answer or one clear line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_some_rounds_of_fuzzing_find_nothing() -> None:
    spec = importlib.util.spec_from_file_location("fuzz_run", ROOT / "tests" / "fuzz" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    fuzz_run = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fuzz_run)
    said: list[str] = []
    small = [ROOT / "fixtures" / "simulated" / f"sim_{n}.json.gz" for n in ("gemm_bound", "pageable_copies")]
    assert fuzz_run.fuzz(small, minutes=0.08, seed=1, say=said.append) == 0, said
    assert not said[-1].startswith("0 rounds")
