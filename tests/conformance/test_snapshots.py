"""Real snapshots keep their own sums; made-up ones reproduce the figures that their generator counted."""

from __future__ import annotations

import json
import pickle
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from traceanalyzer.analyzers import run_analyzers
from traceanalyzer.analyzers.snapshot.groups import WAYS, grouped
from traceanalyzer.analyzers.snapshot.state import device_states
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.pipeline import load as load_inputs

from .corpus import CORPUS, NO_CACHE, needs_corpus

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from traceanalyzer.model.trace import Trace

    Ints = NDArray[np.int64]

MEMORY = CORPUS / "memory"
REAL = ("cuda_full_step", "cuda_inference_compile_context", "cuda_no_history", "cuda_small",
        "cuda_torch20_history_form", "npu_expandable")  # fmt: skip
MADE = ("frag_oom", "kv", "leak", "oom", "train_trunc")


@lru_cache(maxsize=2)
def load(name: str) -> Trace:
    path = MEMORY / f"{name}.pickle"
    return load_inputs(path if path.exists() else MEMORY / f"synthetic/{name}.pickle.gz", options=NO_CACHE)


@lru_cache(maxsize=2)
def results(name: str) -> dict[str, Any]:
    return run_analyzers(load(name))[0]


OUR_NAMES = {
    "param": "parameters", "gradient": "gradients", "optimizer_state": "optimizer_state", "input": "inputs",
    "kv_cache": "kv_cache", "temp": "temporaries", "activation": "activations",
    "leak": "unknown", "pinned_stat": "unknown",  # nothing on these stacks tells what they are for
}  # fmt: skip


def in_our_names(by_category: dict[str, int], **other: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, amount in by_category.items():
        ours = (OUR_NAMES | other)[name]
        found[ours] = found.get(ours, 0) + amount
    return {name: amount for name, amount in found.items() if amount}


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


def by_mosaics_rule(rows: pa.Table) -> Ints:
    """Mosaic's running sum (memory_snapshot.py): from 0, without releases of what it did not see allocated."""
    usage, seen, curve = 0, set(), []
    columns = (rows[name].to_pylist() for name in ("action", "address", "requested"))
    for action, address, size in zip(*columns, strict=True):
        if action == "alloc":
            usage += size
            seen.add(address)
        elif action == "free_completed" and address in seen:
            usage -= size
            seen.discard(address)
        curve.append(usage)
    return np.array(curve, np.int64)


@needs_corpus
@pytest.mark.parametrize("name", ["cuda_small", *(n for n in MADE if n != "train_trunc")])
def test_mosaic_counts_the_same_where_the_window_begins_with_nothing(name: str) -> None:
    rows = load(name).allocations
    moves = np.isin(rows["action"].to_pylist(), ["alloc", "free_completed"])
    assert (by_mosaics_rule(rows) == ints(rows, "requested_total"))[moves].all()


@needs_corpus
@pytest.mark.parametrize(
    ("name", "missed"),
    [("cuda_full_step", 13_699_606_528), ("cuda_inference_compile_context", 1_701_482_496)],
)
def test_mosaic_misses_what_was_there_before_a_cut_window(name: str, missed: int) -> None:
    """Its peak of cuda_full_step, 41.2 GB of 54.9 GB, lacks the weights and state that were allocated before."""
    (state,) = device_states(load(name))
    theirs, ours = by_mosaics_rule(state.trace.allocations), state.requested
    peak = int(theirs.argmax())
    older = [block for block in state.live_after(peak).tolist() if state.alloc[block] < 0]
    assert ours[peak] - theirs[peak] == state.block_requested[older].sum() == missed
    assert ours.max() - theirs.max() >= missed


@needs_corpus
@pytest.mark.parametrize("name", ["cuda_full_step", "cuda_inference_compile_context", "npu_expandable", "kv"])
def test_holders_at_any_time_add_up_whatever_they_are_grouped_by(name: str) -> None:
    (state,) = device_states(load(name))
    times = np.linspace(state.ts[0], state.ts[-1], 5).astype(int).tolist() if state.timed else []
    for entry in {state.peak_entry, *(state.entry_at(at) for at in times)}:
        holders = state.holders_at(entry)
        for by in WAYS:
            rows = grouped(holders, by)
            assert sum(row.bytes for row in rows) == state.active[entry], by
            assert len({row.key for row in rows}) == len(rows)


@needs_corpus
@pytest.mark.parametrize("name", MADE)
def test_who_holds_memory_at_the_end_is_reproduced(name: str) -> None:
    (device,) = results(name)["snapshot"].devices
    assert device.end.by_category == in_our_names(truth(name)["live_by_category_end"])
    assert sum(h.requested_bytes for h in device.end.holders) == device.end.requested_bytes
    assert sum(h.bytes for h in device.end.holders) == device.end.active_bytes


@needs_corpus
@pytest.mark.parametrize("name", [n for n in MADE if n != "train_trunc"])
def test_who_holds_memory_at_the_peak_is_reproduced(name: str) -> None:
    (device,) = results(name)["snapshot"].devices
    known = truth(name)
    # decoding releases its activations within forward, which makes them temporaries
    other = {"activation": "temporaries"} if name == "kv" else {}
    assert device.complete
    assert device.peak.entry == known["peak_event_index"]
    assert device.peak.by_category == in_our_names(known["peak_by_category"], **other)


@needs_corpus
def test_what_a_cut_window_does_not_show_is_told_apart() -> None:
    (device,) = results("train_trunc")["snapshot"].devices
    assert not device.complete
    known = in_our_names(truth("train_trunc")["peak_by_category"])
    for category in ("parameters", "optimizer_state", "temporaries"):
        assert device.peak.by_category[category] == known[category]
    lost = sum(known.values()) - sum(v for k, v in device.peak.by_category.items() if k != "unknown")
    assert device.peak.by_category["unknown"] == lost == device.peak.unseen_bytes


@needs_corpus
@pytest.mark.parametrize("name", MADE)
def test_free_memory_is_reproduced(name: str) -> None:
    (device,) = results(name)["snapshot"].devices
    known, free = truth(name), device.free_at_end
    largest = {"small": free.largest_small_bytes, "large": free.largest_bytes}
    assert largest == known["largest_free_block"]
    assert free.split_bytes == known["inactive_split_bytes"]
    assert free.total_bytes == known["reserved_end"] - known["allocated_end"]


@needs_corpus
@pytest.mark.parametrize("name", MADE)
def test_growth_and_retries_are_reproduced(name: str) -> None:
    (device,) = results(name)["snapshot"].devices
    known = truth(name)
    assert device.churn.retries == known["num_alloc_retries"]
    leaks = [g for g in device.growth if g.category != "kv_cache"]
    assert sum(g.total_bytes for g in leaks) == known["leaked_bytes"]
    assert [f"{g.python}:{g.function}" for g in leaks] == [known["leak_stack"]] * bool(known["leak_stack"])
    assert sum(g.bytes_per_step for g in leaks) == known["leak_bytes_per_iter"]
    cache = [g for g in device.growth if g.category == "kv_cache"]
    assert [g.bytes_per_step for g in cache] == ([50331648] if name == "kv" else [])


@needs_corpus
@pytest.mark.parametrize(("name", "cause"), [("oom", "optimizer_state"), ("frag_oom", "fragmentation")])
def test_an_oom_gets_its_cause(name: str, cause: str) -> None:
    (oom,) = results(name)["oom"].rows
    known = truth(name)
    assert (oom.requested_bytes, oom.device_free_bytes) == (known["oom"]["size"], known["oom"]["device_free"])
    assert oom.causes[0].name == cause
    assert oom.changes[0].frees_bytes
    # it could have fitted in all that was free, but in no block of it
    assert (
        oom.free.total_bytes == known["inactive_split_bytes"] > oom.requested_bytes > oom.free.largest_bytes
    )


@needs_corpus
@pytest.mark.parametrize("name", ["kv", "oom", "cuda_small"])
def test_free_memory_at_any_moment_is_reserved_less_active(name: str) -> None:
    (state,) = device_states(load(name))
    for entry in np.linspace(0, len(state.rows) - 1, 25).astype(int).tolist():
        assert state.free_after(entry).total_bytes == state.reserved[entry] - state.active[entry]


@needs_corpus
@pytest.mark.parametrize("name", [n for n in REAL + MADE if n not in ("cuda_no_history", "npu_expandable")])
def test_the_simulated_allocator_makes_the_recorded_segments(name: str) -> None:
    """Real runs too: every byte that was reserved, at every entry, and every segment with its size."""
    from traceanalyzer.analyzers.oom.whatif import what_if

    (state,) = device_states(load(name))
    found = what_if(state, "expandable_segments:True")
    assert (found.error_share, found.same_segments_share) == (0.0, 1.0)
    assert found.peak_reserved_bytes is not None


@needs_corpus
def test_a_post_mortem_of_fragmentation_tells_what_expandable_segments_would_do() -> None:
    (oom,) = results("frag_oom")["oom"].rows
    assert oom.what_if.runs_out is False
    assert (
        oom.moment.active_bytes <= oom.what_if.peak_reserved_bytes < oom.what_if.recorded_peak_reserved_bytes
    )


@needs_corpus
@pytest.mark.parametrize("name", [n for n in REAL if n != "cuda_torch20_history_form"])
def test_torchs_own_viewer_counts_the_same_state(name: str) -> None:
    viewer = pytest.importorskip("torch.cuda._memory_viz")
    with (MEMORY / f"{name}.pickle").open("rb") as file:
        said = dict(re.findall(r"^(total_\w+): (\S+)", viewer.segsum(pickle.load(file)), re.MULTILINE))
    blocks = load(name).blocks
    state, states = texts(blocks, "state")
    held = state == states.index("active_allocated")
    reserved = sum(d.end.reserved_bytes for d in results(name)["snapshot"].devices)
    assert said["total_reserved"] == str(viewer.Bytes(reserved))
    assert said["total_allocated"] == str(viewer.Bytes(int(ints(blocks, "requested", 0)[held].sum())))


@needs_corpus
def test_torchs_own_viewer_starts_from_nothing_where_the_window_is_cut() -> None:
    """Its listing subtracts releases of blocks that it never saw allocated, and ends below zero."""
    viewer = pytest.importorskip("torch.cuda._memory_viz")
    with (MEMORY / "cuda_full_step.pickle").open("rb") as file:
        theirs = re.findall(r"TOTAL MEM: (\S+)", viewer.trace(pickle.load(file)))[-1]
    (device,) = results("cuda_full_step")["snapshot"].devices
    assert theirs.startswith("-")
    assert device.end.requested_bytes == ints(load("cuda_full_step").segments, "requested").sum() > 50e9


@needs_corpus
def test_the_leak_of_a_demo_of_leaks_is_found_though_it_marks_no_steps() -> None:
    (device,) = results("npu_expandable")["snapshot"].devices
    (row,) = device.growth
    assert row.python.endswith("memory_leaks_demo.py:12")
    assert not row.marked
