"""The totals after each entry: backwards from the end, with the allocator's own block sizes."""

from __future__ import annotations

from typing import Any

from snapshot_files import BASE, MIB, block, entry, segment, simple, snapshot

from traceanalyzer.ingest.snapshot.assemble import assemble
from traceanalyzer.ingest.snapshot.walk import walk


def column(content: Any, name: str) -> list[int]:
    return list(assemble(walk(content, 1 << 20)).tables["allocations"][name].to_pylist())


def test_a_whole_window_begins_with_nothing_and_ends_with_the_segments() -> None:
    kept, freed = 5 * MIB, 3 * MIB
    assert column(simple(), "bytes") == [None, kept, freed, None, -freed]
    assert column(simple(), "allocated") == [0, kept, kept + freed, kept, kept]
    assert column(simple(), "active") == [0, kept, kept + freed, kept + freed, kept]
    assert column(simple(), "requested_total") == [
        0,
        kept - 100,
        kept - 100 + freed,
        kept - 100 + freed,
        kept - 100,
    ]
    assert column(simple(), "reserved") == [20 * MIB] * 5


def test_what_is_before_a_cut_window_stays_in_the_totals() -> None:
    cut = simple()
    cut["device_traces"][0] = cut["device_traces"][0][3:]
    assert column(cut, "allocated") == [5 * MIB, 5 * MIB]
    assert column(cut, "active") == [8 * MIB, 5 * MIB]
    assert column(cut, "reserved") == [20 * MIB, 20 * MIB]


def test_a_block_is_as_large_as_the_rest_that_was_not_split_off() -> None:
    """12 MiB segment (rounded to 2 MiB): 11.5 MiB leave half a MiB, which stays in the block."""
    asked = 11 * MIB + MIB // 2
    trace = [
        entry("segment_alloc", BASE, 12 * MIB, 1),
        entry("alloc", BASE, asked, 2),
        entry("free_requested", BASE, asked, 3),
        entry("free_completed", BASE, asked, 4),
    ]
    ended = [segment(BASE, [block(BASE, 12 * MIB, asked, "inactive")])]
    assert column(snapshot(ended, trace), "allocated") == [0, 12 * MIB, 0, 0]


def test_neighbours_merge_within_a_segment_and_not_across_segments() -> None:
    """Two segments that touch: 15 MiB asked for after both are empty cannot come from 10 + 10."""
    first, second = BASE, BASE + 10 * MIB
    trace = [
        entry("segment_alloc", first, 10 * MIB, 1),
        entry("alloc", first, 10 * MIB, 2),
        entry("segment_alloc", second, 10 * MIB, 3),
        entry("alloc", second, 4 * MIB, 4),
        entry("alloc", second + 4 * MIB, 5 * MIB + 600_000, 5),  # leaves less than 1 MiB: takes it
        *(entry(a, second, 4 * MIB, 6) for a in ("free_requested", "free_completed")),
        *(entry(a, second + 4 * MIB, 5 * MIB + 600_000, 7) for a in ("free_requested", "free_completed")),
        *(entry(a, first, 10 * MIB, 8) for a in ("free_requested", "free_completed")),
        entry("alloc", second, 9 * MIB + 600_000, 9),
        *(entry(a, second, 9 * MIB + 600_000, 10) for a in ("free_requested", "free_completed")),
    ]
    ended = [segment(a, [block(a, 10 * MIB, 0, "inactive")]) for a in (first, second)]
    sizes = [b for b in column(snapshot(ended, trace), "bytes") if b and b > 0]
    assert sizes == [10 * MIB, 4 * MIB, 6 * MIB, 10 * MIB]


def test_expandable_segments_split_every_rest() -> None:
    asked = 11 * MIB + 100
    trace = [
        entry("segment_map", BASE, 20 * MIB, 1),
        entry("alloc", BASE, asked, 2),
        *(entry(a, BASE, asked, 3) for a in ("free_requested", "free_completed")),
        entry("segment_unmap", BASE, 20 * MIB, 4),
    ]
    content = snapshot([segment(BASE, [], is_expandable=True)], trace)
    assert column(content, "allocated") == [0, 11 * MIB + 512, 0, 0, 0]
    assert column(content, "reserved") == [20 * MIB] * 4 + [0]


def test_an_anchor_that_does_not_fit_is_noted() -> None:
    content = simple()
    at = 1_700_000_000_000_005
    content["device_traces"][0] += [entry("snapshot", 0, 5 * MIB, at), entry("snapshot", 0, 5 * MIB + 7, at)]
    notes = assemble(walk(content, 1 << 20)).notes
    assert [n.message for n in notes] == ["1 of 2 snapshot entries differs from the replay, up to 7 bytes"]
