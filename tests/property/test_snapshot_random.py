"""Random programs on devices, streams, pools and expandable segments: every total after every entry is the true one."""

from __future__ import annotations

import pytest
from snapshot_files import trace_of

from fixtures.random_memory import generate
from traceanalyzer.analyzers.oom.whatif import what_if
from traceanalyzer.analyzers.snapshot.state import device_states
from traceanalyzer.ingest.snapshot.assemble import assemble
from traceanalyzer.ingest.snapshot.walk import walk
from traceanalyzer.model.columns import ints

CASES = [(seed, expandable) for seed in range(6) for expandable in (False, True)]


@pytest.mark.parametrize(("seed", "expandable"), CASES)
def test_totals_are_true_after_every_entry(seed: int, *, expandable: bool) -> None:
    content, truths = generate(seed, devices=2, expandable=expandable, steps=300)
    done = assemble(walk(content, 1 << 20))
    assert not [note for note in done.notes if note.kind == "partial"], "segments sum to their blocks"
    rows = done.tables["allocations"]
    for device, truth in enumerate(truths):
        mine = ints(rows, "device") == device
        for column, known in (
            ("allocated", truth.allocated), ("active", truth.active), ("requested_total", truth.requested),
            ("reserved", truth.reserved),
        ):  # fmt: skip
            assert ints(rows, column)[mine].tolist() == known, column


@pytest.mark.parametrize(("seed", "expandable"), CASES)
def test_a_cut_window_tells_the_same_as_the_whole_one(seed: int, *, expandable: bool) -> None:
    content, (truth,) = generate(seed, devices=1, expandable=expandable, steps=300)
    content["device_traces"][0] = content["device_traces"][0][-120:]
    done = assemble(walk(content, 1 << 20))
    rows = done.tables["allocations"]
    assert ints(rows, "reserved").tolist() == truth.reserved[-120:]
    assert ints(rows, "requested_total").tolist() == truth.requested[-120:]
    if not any("true size is not recorded" in note.message for note in done.notes) and not expandable:
        assert ints(rows, "active").tolist() == truth.active[-120:]


@pytest.mark.parametrize("seed", range(6))
def test_holders_streams_and_pools_add_up_at_any_time(seed: int) -> None:
    content, truths = generate(seed, devices=2, expandable=False, steps=200)
    for state, truth in zip(device_states(trace_of(assemble(walk(content, 1 << 20)))), truths, strict=True):
        for entry in (5, len(truth.active) // 2, len(truth.active) - 1):
            holders = state.holders_at(entry)
            assert sum(h.bytes for h in holders) == truth.active[entry]
            assert {h.stream for h in holders} <= {0, 7}
            assert {h.pool for h in holders} <= {"0,0", "1,0", "0,3"}
            free = state.free_after(entry)
            assert free.total_bytes == truth.reserved[entry] - truth.active[entry]


@pytest.mark.parametrize(("seed", "expandable"), CASES)
def test_the_replay_of_what_was_recorded_reserves_the_same(seed: int, *, expandable: bool) -> None:
    """The way from entries back to requests: blocks, pools, streams, waits and empty_cache() are all found again."""
    content, _ = generate(seed, devices=1, expandable=expandable, steps=300)
    (state,) = device_states(trace_of(assemble(walk(content, 1 << 20))))
    found = what_if(state, "expandable_segments:True")
    assert found.error_share == 0.0
    if expandable:
        assert found.peak_reserved_bytes == found.recorded_peak_reserved_bytes
