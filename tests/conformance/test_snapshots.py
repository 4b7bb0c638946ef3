"""Real snapshots keep their own sums; made-up ones reproduce the figures that their generator counted."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from traceanalyzer.model.columns import ints, texts
from traceanalyzer.pipeline import load as load_inputs

from .corpus import CORPUS, NO_CACHE, needs_corpus

if TYPE_CHECKING:
    from traceanalyzer.model.trace import Trace

MEMORY = CORPUS / "memory"
REAL = ("cuda_full_step", "cuda_inference_compile_context", "cuda_no_history", "cuda_small",
        "cuda_torch20_history_form", "npu_expandable")  # fmt: skip
MADE = ("frag_oom", "kv", "leak", "oom", "train_trunc")


@lru_cache(maxsize=2)
def load(name: str) -> Trace:
    path = MEMORY / f"{name}.pickle"
    return load_inputs(path if path.exists() else MEMORY / f"synthetic/{name}.pickle.gz", options=NO_CACHE)


def truth(name: str) -> dict[str, Any]:
    return dict(json.loads((MEMORY / f"synthetic/{name}.truth.json").read_text()))


@needs_corpus
@pytest.mark.parametrize("name", REAL + MADE)
def test_totals_end_where_the_segments_say_and_never_leave_their_order(name: str) -> None:
    trace = load(name)
    assert not [n for n in trace.sources[0].notes if n.kind == "partial"], "blocks sum to segments"
    rows = trace.allocations
    if not rows.num_rows:
        return
    allocated, active, reserved, asked = (
        ints(rows, c) for c in ("allocated", "active", "reserved", "requested_total")
    )
    state, states = texts(trace.blocks, "state")
    size = ints(trace.blocks, "bytes")
    assert allocated[-1] == size[state == states.index("active_allocated")].sum()
    assert reserved[-1] == ints(trace.segments, "bytes").sum()
    assert (asked >= 0).all()
    assert (asked <= active).all()
    assert (allocated <= active).all()
    assert (active <= reserved).all()


@needs_corpus
@pytest.mark.parametrize("name", MADE)
def test_the_generators_totals_are_reproduced(name: str) -> None:
    rows, known = load(name).allocations, truth(name)
    asked, allocated = ints(rows, "requested_total"), ints(rows, "allocated")
    peak = int(asked.argmax())
    assert (asked[-1], allocated[-1]) == (known["requested_end"], known["allocated_end"])
    assert ints(rows, "reserved")[-1] == known["reserved_end"]
    assert ints(rows, "reserved").max() == known["peak_reserved"]
    assert (asked[peak], allocated[peak]) == (known["peak_requested"], known["allocated_at_peak"])
    if not known.get("dropped"):  # else the first peak of several equal ones is before the window
        assert peak == known["peak_event_index"]


@needs_corpus
def test_full_step_accounts_for_what_was_there_before_the_window() -> None:
    """Peers that add up the entries only start from 0 and so report a peak that is 13.8 GB too low."""
    rows = load("cuda_full_step").allocations
    moved = ints(rows, "bytes", 0)
    from_zero = int(np.cumsum(moved).max())
    assert int(ints(rows, "active").max()) - from_zero == int(ints(rows, "active")[0] - moved[0]) > 13e9
