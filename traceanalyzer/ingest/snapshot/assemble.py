"""Columns of a walked snapshot → finished tables, with the totals of the replay and the checks against the file."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from traceanalyzer.ingest.snapshot.entries import addresses, integers, words
from traceanalyzer.ingest.snapshot.refused import Refused
from traceanalyzer.ingest.snapshot.replay import State, replay
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.model.sizes import size as spelled
from traceanalyzer.model.tables import complete, finish
from traceanalyzer.model.trace import Note
from traceanalyzer.text import say

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.ingest.snapshot.entries import Entries
    from traceanalyzer.ingest.snapshot.walk import Walked


@dataclass
class Read:
    """The tables of a snapshot; times count from `start_ns`, None when the file has no times."""

    tables: dict[str, pa.Table]
    start_ns: int | None
    events: int
    settings: dict[str, Any]
    notes: list[Note] = field(default_factory=list)


def assemble(walked: Walked) -> Read:
    """The tables of a walked snapshot."""
    try:
        return _Assembly(walked).result()
    except (pa.ArrowException, TypeError, ValueError, OverflowError, LookupError) as error:
        raise Refused(f"holds values that no snapshot has ({type(error).__name__}: {error})") from None


def save(read: Read, folder: Path) -> None:
    """Write for the parent process: one Arrow file per table, and the rest as JSON."""
    for name, table in read.tables.items():
        with (
            pa.OSFile(str(folder / f"{name}.arrow"), "wb") as sink,
            pa.ipc.new_file(sink, table.schema) as out,
        ):
            out.write_table(table)
    rest = {k: getattr(read, k) for k in ("start_ns", "events", "settings")}
    rest["notes"] = [note.packed() for note in read.notes]
    (folder / "rest.json").write_text(json.dumps(rest))


def load_saved(folder: Path) -> Read:
    """The inverse of `save`."""
    rest = json.loads((folder / "rest.json").read_text())
    tables = {}
    for file in sorted(folder.glob("*.arrow")):
        with pa.memory_map(str(file)) as source:
            tables[file.stem] = pa.ipc.open_file(source).read_all()
    notes = [Note.unpacked(note) for note in rest.pop("notes")]
    return Read(tables, **rest, notes=notes)


class _Assembly:
    """One walk's columns on the way into tables."""

    def __init__(self, walked: Walked) -> None:
        self.walked = walked
        self.notes: list[Note] = []
        self.segments, self.blocks = self._segments(), self._blocks()
        firsts = [e.column("time_us")[:1].to_pylist() for e in walked.entries.values()]
        starts = [t * 1000 for first in firsts for t in first if t is not None] + walked.annotations["ts"]
        self.start_ns: int | None = min(starts, default=None)

    def result(self) -> Read:
        parts = [self._entries(device, columns) for device, columns in self.walked.entries.items()]
        self._check_segments()
        if parts and self.start_ns is None:
            self.notes.append(
                Note(
                    "info",
                    say("the entries carry no time: curves count entries"),
                    say("PyTorch 2.3 writes times."),
                )
            )
        if not parts:
            self.notes.append(
                Note(
                    "info",
                    say("no history was recorded: only the state at the end is known"),
                    say("Call torch.cuda.memory._record_memory_history() before the run."),
                )
            )
        tables = {
            "allocations": finish("allocations", parts),
            "segments": self.segments,
            "blocks": self.blocks,
            "annotations": self._annotations(),
            **self._stacks(),
        }
        events = sum(entries.rows for entries in self.walked.entries.values())
        return Read(tables, self.start_ns, events, self.walked.settings, self.notes)

    def _segments(self) -> pa.Table:
        found = self.walked.segments
        numbers = {
            "device": "device", "stream": "stream", "bytes": "total_size", "allocated": "allocated_size",
            "active": "active_size", "requested": "requested_size", "stack": "stack",
        }  # fmt: skip
        columns: dict[str, Any] = {name: integers(found[key]) for name, key in numbers.items()}
        columns["address"] = addresses(found["address"])
        columns["kind"], columns["pool"] = words(found["segment_type"]), words(found["pool"])
        columns["expandable"] = pa.array(found["is_expandable"], pa.bool_())
        return self._placed("segments", columns, len(found["address"]))

    def _blocks(self) -> pa.Table:
        found = self.walked.blocks
        names = {
            "device": "device", "segment": "segment", "bytes": "size", "requested": "requested_size",
            "stack": "stack",
        }  # fmt: skip
        columns: dict[str, Any] = {name: integers(found[key]) for name, key in names.items()}
        columns["address"], columns["state"] = addresses(found["address"]), words(found["state"])
        return self._placed("blocks", columns, len(found["size"]))

    def _placed(self, name: str, columns: dict[str, Any], rows: int) -> pa.Table:
        if columns["address"].null_count or columns["bytes"].null_count:
            raise ValueError(f"one of the {name} has no address or size")
        return self._table(name, columns, rows)

    def _table(self, name: str, columns: dict[str, Any], rows: int) -> pa.Table:
        columns["rank"] = pa.array(np.zeros(rows, np.int32))
        return finish(name, [complete(name, columns, rows)])

    def _entries(self, device: int, found: Entries) -> pa.Table:
        rows = found.rows
        columns: dict[str, Any] = {
            "action": found.column("action"), "address": found.column("addr"),
            "requested": found.column("size"), "stream": found.column("stream"),
            "device_free": found.column("device_free"), "pool": found.column("pool_id"),
            "stack": self.walked.stacks.final(found.column("frames")),
            "compile_context": _without(found.column("compile_context"), "N/A"),
            "user_metadata": _without(found.column("user_metadata"), ""),
            "device": pa.array(np.full(rows, device, np.int32)),
            "device_type": _all("cuda", rows), "name": _all("[memory]", rows),
            "ts": self._times(found.column("time_us")),
        }  # fmt: skip
        table = pa.table({k: columns[k] for k in ("action", "address", "requested")})
        code, actions = texts(table, "action")
        address, size = ints(table, "address", 0), ints(table, "requested", 0)
        done = replay(code, actions, address, size, self._state(device))
        moves = np.isin(code, [i for i, a in enumerate(actions) if a in {"alloc", "free_completed"}])
        columns["bytes"] = pa.array(done.bytes, mask=~moves)
        for name, total in (
            ("allocated", done.allocated), ("active", done.active), ("reserved", done.reserved),
            ("requested_total", done.requested),
        ):  # fmt: skip
            columns[name] = pa.array(total)
        self._check_replay(device, done, code, actions, size)
        return self._table("allocations", columns, rows)

    def _times(self, times: pa.Array) -> pa.Array:
        """Counted from the start; an entry never comes before the one that was recorded before it."""
        if times.null_count:
            return pa.nulls(len(times), pa.int64())
        ns = np.asarray(times) * 1000 - (self.start_ns or 0)
        later = np.maximum.accumulate(ns)
        if (later != ns).any():
            self.notes.append(
                Note("repaired", say("the clock stepped back; such entries take the time before"))
            )
        return pa.array(later)

    def _state(self, device: int) -> State:
        segments = self.segments.filter(pa.array(ints(self.segments, "device") == device))
        state, states = texts(self.blocks, "state")
        inactive = states.index("inactive") if "inactive" in states else -2
        blocks = self.blocks.filter(pa.array((ints(self.blocks, "device") == device) & (state != inactive)))
        state, states = texts(blocks, "state")
        pending = states.index("active_pending_free") if "active_pending_free" in states else -2
        most = self.walked.settings.get("max_split_size", -1)
        return State(
            ints(segments, "address"),
            ints(segments, "bytes", 0),
            any(segments["expandable"].to_pylist()),
            ints(blocks, "address"),
            ints(blocks, "bytes", 0),
            ints(blocks, "requested", 0),
            state == pending,
            most if isinstance(most, int) and most > 0 else 0,
        )

    def _check_replay(self, device: int, done: Any, code: Any, actions: list[str], size: Any) -> None:
        if done.unknown:
            self.notes.append(
                Note(
                    "partial",
                    say(
                        "{count} {count:block|blocks} of device {device} {count:was|were} allocated and not "
                        "released, but {count:is|are} in no segment",
                        count=done.unknown,
                        device=device,
                    ),
                    say("The snapshot was taken while other threads allocated; take it when they are idle."),
                )
            )
        older = int(done.active[0] - done.bytes[0]) if len(done.active) else 0
        if older > 0:
            self.notes.append(_window_note(device, older))
        if done.estimated:
            message = say(
                "{count} {count:block|blocks} of device {device} {count:was|were} released whose true size is not "
                "recorded; {count:its size is that|their sizes are those} asked for, rounded up",
                count=done.estimated,
                device=device,
            )
            self.notes.append(Note("info", message))
        if "snapshot" in actions:
            anchors = np.flatnonzero(code == actions.index("snapshot"))
            off = anchors[done.active[anchors] != size[anchors]]
            if len(off):
                worst = int(np.abs(done.active[off] - size[off]).max())
                message = say(
                    "{off} of {all} snapshot {all:entry|entries} {off:differs|differ} from the replay, up to "
                    "{worst} {worst:byte|bytes}",
                    off=len(off),
                    all=len(anchors),
                    worst=worst,
                )
                self.notes.append(Note("info", message))

    def _check_segments(self) -> None:
        """The segments' own sums against those of their blocks."""
        segment = ints(self.blocks, "segment")
        state, states = texts(self.blocks, "state")
        size, asked = ints(self.blocks, "bytes", 0), ints(self.blocks, "requested", 0)
        held = state == (states.index("active_allocated") if "active_allocated" in states else -2)
        active = state != (states.index("inactive") if "inactive" in states else -2)
        for column, values in (
            ("bytes", size), ("allocated", size * held), ("active", size * active), ("requested", asked * active),
        ):  # fmt: skip
            sums = np.zeros(self.segments.num_rows, np.int64)
            np.add.at(sums, segment, values)
            said = ints(self.segments, column, -1)
            off = int(((said >= 0) & (said != sums)).sum())
            if off:
                self.notes.append(
                    Note(
                        "partial",
                        say(
                            "{count} {count:segment has|segments have} other {column} sums than {count:its|their} "
                            "blocks",
                            count=off,
                            column=column,
                        ),
                        say("Record again."),
                    )
                )

    def _annotations(self) -> pa.Table:
        found = self.walked.annotations
        rows = len(found["name"])
        columns: dict[str, Any] = {
            "name": words(found["name"]),
            "ts": pa.array([t - (self.start_ns or 0) for t in found["ts"]], pa.int64()),
            "dur": integers(found["dur"]),
            "on_gpu": pa.array([False] * rows, pa.bool_()),
            "domain": words(["memory_snapshot"] * rows),
        }
        return self._table("annotations", columns, rows)

    def _stacks(self) -> dict[str, pa.Table]:
        stacks = self.walked.stacks
        tree = {
            "parent": integers(stacks.parent),
            "frame": integers(stacks.frame),
            "depth": pa.array(stacks.depth, pa.int32()),
        }
        files, lines, names, nodes = zip(*stacks.frames, strict=True) if stacks.frames else ((), (), (), ())
        frames = {
            "name": words(list(names)), "file": words(list(files)),
            "line": pa.array([min(max(0, n), 2**31 - 1) for n in lines], pa.int32()), "fx_node": words(list(nodes)),
        }  # fmt: skip
        return {
            "stacks": finish("stacks", [complete("stacks", tree, len(stacks.frame))]),
            "frames": finish("frames", [complete("frames", frames, len(stacks.frames))]),
        }


def _window_note(device: int, older: int) -> Note:
    return Note(
        "info",
        say(
            "the window of device {device} begins within the run: {older} were allocated before it",
            device=device,
            older=spelled(older),
        ),
        say("Record from the start, or give _record_memory_history a larger max_entries."),
    )


def _without(texts_: pa.DictionaryArray, nothing: str) -> pa.DictionaryArray:
    """Texts with null where a certain one stands for none."""
    kept = [None if text == nothing else text for text in texts_.dictionary.to_pylist()]
    return (
        pa.DictionaryArray.from_arrays(texts_.indices, pa.array(kept, pa.string()))
        .cast(pa.string())
        .dictionary_encode()
    )


def _all(text: str, rows: int) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))
