"""Where the real files and the answers of other tools are, and how a test gets them.

The corpus lies beside the checkout and is no part of the project: without it these tests skip, and say so.
"""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.pipeline import load as load_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from traceanalyzer.model.trace import Trace

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
NO_CACHE = LoadOptions(use_cache=False)


def needs_corpus(test: Callable[..., Any]) -> Any:
    """Mark a test that reads the corpus; it is skipped, with the place named, where there is none."""
    there = (CORPUS / "traces").is_dir()
    reason = f"NOT CHECKED AGAINST REAL FILES: no corpus at {CORPUS}"
    return pytest.mark.corpus(pytest.mark.skipif(not there, reason=reason)(test))


def traces() -> list[str]:
    """The name of every trace: its path below traces/ without the suffixes."""
    root = CORPUS / "traces"
    found = sorted(str(p.relative_to(root)).removesuffix(".json.gz") for p in root.rglob("*.json.gz"))
    return found or ["no corpus"]  # a test without parameters would be skipped without its reason


def path_of(name: str) -> Path:
    """The file of a trace."""
    return CORPUS / "traces" / f"{name}.json.gz"


@lru_cache(maxsize=8)
def load(name: str) -> Trace:
    """A trace as a user gets it. As many stay loaded as one peer has answers for."""
    return load_inputs(path_of(name), options=NO_CACHE)


@lru_cache(maxsize=8)
def results(name: str) -> Mapping[str, Any]:
    """Our own figures, by analyzer."""
    return run_analyzers(load(name))[0]


class _Time(msgspec.Struct):
    ph: str
    ts: Decimal = Decimal(0)


class _Times(msgspec.Struct):
    traceEvents: list[_Time]  # noqa: N815


@lru_cache
def start_ns(name: str) -> int:
    """The file's own time of `ts == 0`.

    Peers compute with the file's microseconds as 64-bit floats, so their last digits depend on this number.
    """
    events = msgspec.json.decode(gzip.decompress(path_of(name).read_bytes()), type=_Times).traceEvents
    return int(min(e.ts for e in events if e.ph != "M") * 1000)


@lru_cache
def hta_answers(name: str) -> dict[str, Any]:
    """What HTA 0.5.0 says of one trace, by analysis."""
    answers: dict[str, Any] = json.loads((CORPUS / "oracles" / "hta" / f"{name}.json").read_text())[
        "analyses"
    ]
    return answers
