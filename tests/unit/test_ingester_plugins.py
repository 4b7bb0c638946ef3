"""Formats of third parties: a plugin that fails is named, and nobody else's file suffers from it."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.inputs import read_inputs
from traceanalyzer.ingest.options import LoadOptions

if TYPE_CHECKING:
    from pathlib import Path

FRESH = LoadOptions(use_cache=False)


class Plugin:
    """Knows every file and reads none."""

    name = "theirs"

    def sniff(self, head: bytes, path: Path) -> bool:
        return True

    def read(self, path: Path, options: Any, progress: Any = None) -> Any:
        raise ZeroDivisionError("oops")


class Careful(Plugin):
    def read(self, path: Path, options: Any, progress: Any = None) -> Any:
        raise InputError(path, "is of version 7", "Write version 6.")


class Clumsy(Plugin):
    def sniff(self, head: bytes, path: Path) -> bool:
        raise KeyError("magic")


def offer(monkeypatch: pytest.MonkeyPatch, *plugins: type[Plugin]) -> None:
    points = []
    for plugin in plugins:
        point = EntryPoint(plugin.__name__, "somewhere:thing", "traceanalyzer.ingesters")
        vars(point)["load"] = lambda p=plugin: p
        points.append(point)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: points)


@pytest.mark.parametrize(
    ("plugins", "told"),
    [
        ((Plugin,), "the ingester plugin Plugin failed: oops"),
        ((Clumsy,), "The ingester plugin Clumsy failed: 'magic'"),
        ((Clumsy, Careful), "is of version 7"),
    ],
    ids=["read", "sniff", "its own words"],
)
def test_a_plugin_that_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, plugins: tuple[type[Plugin], ...], told: str
) -> None:
    offer(monkeypatch, *plugins)
    path = tmp_path / "run.theirs"
    path.write_text("theirs 7")
    with pytest.raises(InputError) as caught:
        read_inputs([path], FRESH)
    assert told in str(caught.value)
