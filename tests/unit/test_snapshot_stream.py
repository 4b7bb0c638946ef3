"""Entries are dropped while a pickle is read, and the tables are those of reading it as a whole."""

from __future__ import annotations

import contextlib
import io
import pickle
from typing import TYPE_CHECKING, Any

import pytest
from snapshot_files import BASE, MIB, entry, frame, snapshot

from traceanalyzer.ingest.snapshot.assemble import assemble
from traceanalyzer.ingest.snapshot.entries import Entries
from traceanalyzer.ingest.snapshot.refused import Refused
from traceanalyzer.ingest.snapshot.unpickle import load_entries, loads
from traceanalyzer.ingest.snapshot.walk import walk

if TYPE_CHECKING:
    import pyarrow as pa

FRAMES = [frame(f"/app/f{i % 7}.py", i, f"call_{i}") for i in range(400)]
MANY = 1 << 20


def trace(entries: int, depth: int) -> list[dict[str, Any]]:
    """Blocks that come and go in 97 stacks, some shared between entries, with an OOM, and a new frame late."""
    stacks = [FRAMES[i : i + depth] for i in range(97)]
    made = []
    for i in range(entries // 3):
        where, at = BASE + i % 50 * MIB, 1_700_000_000_000_000 + 10 * i
        fresh, shared = list(stacks[i % 97]), list(stacks[i % 31])
        made.append(entry("alloc", where, 5000 + i, at, fresh, compile_context="N/A", user_metadata=""))
        made += [entry(a, where, 5000 + i, at + 1, shared) for a in ("free_requested", "free_completed")]
    made.insert(len(made) // 2, entry("oom", 7 * MIB, 1 << 40, made[len(made) // 2]["time_us"], [FRAMES[-1]]))
    return made


def read(raw: bytes) -> dict[str, pa.Table]:
    content, stacks = load_entries(io.BytesIO(raw), MANY)
    return assemble(walk(content, MANY, stacks)).tables


def rows(tables: dict[str, pa.Table]) -> tuple[Any, list[Any]]:
    """The entries, and the frames of each one's stack, whatever number the stack has."""
    parent, innermost = (tables["stacks"][c].to_pylist() for c in ("parent", "frame"))
    names = tables["frames"]["name"].to_pylist()
    paths: list[tuple[str, ...]] = []
    for row, outer in enumerate(parent):
        paths.append((*(paths[outer] if outer is not None else ()), names[innermost[row]]))
    stack = tables["allocations"]["stack"].to_pylist()
    said = tables["allocations"].drop_columns(["stack"])
    return said.to_pydict(), [None if s is None else paths[s] for s in stack]


@pytest.mark.parametrize("depth", [1, 20, 90])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_dropping_entries_changes_nothing(depth: int, protocol: int) -> None:
    whole = {**snapshot([], trace(9000, depth)), "device_traces": [[], trace(9000, depth), trace(30, depth)]}
    raw = pickle.dumps(whole, protocol)
    content, stacks = load_entries(io.BytesIO(raw), MANY)
    dropped = [isinstance(t, Entries) for t in content["device_traces"]]
    assert dropped == [False, protocol > 3, protocol > 3], "protocol 3 has no frames, and is read as a whole"
    assert bool(stacks.references) == (protocol > 3 and depth > 1)
    assert rows(assemble(walk(content, MANY, stacks)).tables) == rows(assemble(walk(loads(raw), MANY)).tables)


def test_a_device_whose_list_begins_in_the_same_frame_as_the_first_is_read_as_it_is() -> None:
    whole = {**snapshot([], []), "device_traces": [trace(30, 5), trace(9000, 5)]}
    raw = pickle.dumps(whole, 4)
    assert rows(read(raw)) == rows(assemble(walk(loads(raw), MANY)).tables)


def test_most_entries_and_lists_of_frames_are_gone_while_the_file_is_read() -> None:
    import tracemalloc

    raw = pickle.dumps(snapshot([], trace(120_000, 20)), 4)
    load_entries(io.BytesIO(raw), MANY)  # imports take memory, too
    peaks = []
    for read in (loads, lambda content: load_entries(io.BytesIO(content), MANY)):
        tracemalloc.start()
        read(raw)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] / 2


def test_bytes_that_look_like_an_entry_are_left_alone_by_reading_again() -> None:
    """The opcodes of an entry's beginning as the text of an annotation, with the number that the first key has."""
    made = snapshot([], trace(9000, 3))
    plain = pickle.dumps(made, 4)
    number = list(_numbers(plain)).index("action")
    lure = b"}\x94(h" + bytes([number])
    made["external_annotations"] = [
        {"name": "x", "stage": "START", "device": 0, "time_us": int.from_bytes(lure + b"\x01", "little")}
    ]
    raw = pickle.dumps(made, 4)
    assert raw.count(lure) > 1
    content, _ = load_entries(io.BytesIO(raw), MANY)
    assert content["external_annotations"] == made["external_annotations"]


def fresh(text: str) -> str:
    """Another object with the same text, which a pickle spells out once more."""
    return "".join(list(text))


FORMS: dict[str, Any] = {
    "as torch 2.5 has it": lambda i, s: {"compile_context": fresh("N/A"), "user_metadata": "", "frames": s},
    "as torch 2.12 has it": lambda i, s: {
        "compile_context": f"{i % 3}/0",
        "pool_id": (0, i // 500),
        "frames": s,
    },
    "as forks have it": lambda i, s: {"time_us": None, "compile_context": None, "frames": s},
    "addresses above 2^63": lambda i, s: {"addr": (1 << 64) - 512 * (i % 3), "frames": s},
    "sizes of every length": lambda i, s: {
        "size": (0, 200, 60_000, -5, 1 << 31, 1 << 40, 1 << 62)[i % 7],
        "frames": s,
    },
    "no frames": lambda i, s: {"frames": [] if i % 2 else None},
    "no stacks": lambda i, s: {},
    "one frame": lambda i, s: {"frames": FRAMES[i % 9 : i % 9 + 1]},
    "another key behind": lambda i, s: {"frames": s, "user_metadata": "x", "more": i % 5},
    "numbers in another order": lambda i, s: {
        "user_metadata": "x",
        "frames": s,
        "device_free": i,
    },
    "long texts": lambda i, s: {"compile_context": "x" * 300 + str(i % 2), "frames": s},
}


@pytest.mark.parametrize("form", FORMS)
def test_entries_of_every_form_are_read_as_they_are(form: str) -> None:
    made = [one | FORMS[form](i, one.pop("frames")) for i, one in enumerate(trace(6000, 5))]
    raw = pickle.dumps(snapshot([], made), 4)
    assert rows(read(raw)) == rows(assemble(walk(loads(raw), MANY)).tables)


def test_most_entries_come_as_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(Entries, "_take_entries", lambda _, batch: taken.append(len(batch)))
    made = trace(60_000, 20)
    with contextlib.suppress(Refused):
        load_entries(io.BytesIO(pickle.dumps(snapshot([], made), 4)), MANY)
    assert 0 < sum(taken) < len(made) / 20


def _numbers(raw: bytes) -> Any:
    """The objects that the pickle numbers, as far as they are texts, in order."""
    import pickletools

    last = None
    for op, argument, _ in pickletools.genops(raw):
        if op.name == "MEMOIZE":
            yield last
        last = argument


@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_file_that_is_cut_off_within_the_entries_is_refused(cut: float) -> None:
    raw = pickle.dumps(snapshot([], trace(9000, 20)), 4)
    with pytest.raises(Refused, match="cut off"):
        load_entries(io.BytesIO(raw[: int(len(raw) * cut)]), MANY)


def test_more_entries_than_the_file_can_hold_are_refused() -> None:
    raw = pickle.dumps(snapshot([], trace(9000, 2)), 4)
    with pytest.raises(Refused, match="more than a file of this size"):
        load_entries(io.BytesIO(raw), 5000)


@pytest.mark.parametrize("protocol", [3, 4])
@pytest.mark.parametrize("frames", [b"cos\nsystem\n(S'true'\ntR", b"Q", b"h\x01N", b"h\xff"])
def test_opcodes_that_a_file_has_as_a_stack_are_not_taken_for_references(
    protocol: int, frames: bytes
) -> None:
    evil = [*trace(3000, 3), entry("alloc", BASE, 512, 1_700_000_000_100_000) | {"frames": frames}]
    with pytest.raises(Refused):
        read(pickle.dumps(snapshot([], evil), protocol))
