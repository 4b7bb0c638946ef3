"""What every test shares: a cache folder of its own, and helpers importable from beside the tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says something of the machine's other work, not of the product.
settings.register_profile("whatever the machine does", deadline=None)
settings.load_profile("whatever the machine does")

HERE = Path(__file__).parent
for folder in (HERE / "unit", HERE / "conformance", HERE):
    sys.path.insert(0, str(folder))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("TRACEANALYZER_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests read English, whatever the locale of the machine."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
