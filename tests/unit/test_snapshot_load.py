"""Reading a snapshot: plain containers only, every age of the format, one line for what is refused."""

from __future__ import annotations

import builtins
import gzip
import json
import pickle
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from snapshot_files import BASE, MIB, USER, block, entry, segment, simple, snapshot, write

from traceanalyzer.errors import InputError
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.ingest.snapshot.assemble import assemble
from traceanalyzer.ingest.snapshot.refused import Refused
from traceanalyzer.ingest.snapshot.unpickle import loads
from traceanalyzer.ingest.snapshot.walk import walk
from traceanalyzer.pipeline import load

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

    from traceanalyzer.model.trace import Trace

NO_CACHE = LoadOptions(use_cache=False)


def read(path: Path) -> Trace:
    return load(path, options=NO_CACHE)


def tables(content: Any, max_rows: int = 1 << 20) -> dict[str, pa.Table]:
    return assemble(walk(content, max_rows)).tables


class Hostile:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def test_entries_blocks_and_stacks_become_rows(tmp_path: Path) -> None:
    trace = read(write(tmp_path / "run.pickle", simple()))
    assert trace.allocations["action"].to_pylist() == [
        "segment_alloc", "alloc", "alloc", "free_requested", "free_completed"
    ]  # fmt: skip
    assert trace.allocations["ts"].to_pylist() == [0, 1000, 2000, 3000, 4000]
    assert trace.sources[0].epoch_ns == 1_700_000_000_000_000_000
    assert trace.blocks["requested"].to_pylist() == [5 * MIB - 100, None], "stale in an inactive block"
    # two stacks that share nothing but the outermost frame: three frames, innermost last in the tree
    assert trace.frames["name"].to_pylist() == ["train_step", "_call_impl", "torch::unwind::unwind()"]
    assert trace.stacks["parent"].to_pylist() == [None, 0, 1]
    assert trace.allocations["stack"].to_pylist() == [2, 2, 0, None, None]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_binary_protocol_and_compression_gives_the_same(tmp_path: Path, protocol: int) -> None:
    plain = read(write(tmp_path / "a.pickle", simple()))
    path = tmp_path / "b.bin"
    path.write_bytes(gzip.compress(pickle.dumps(simple(), protocol)))
    assert read(path).allocations == plain.allocations


def test_json_says_the_same_as_the_pickle(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps(simple()))
    same = read(write(tmp_path / "a.pickle", simple()))
    for name in ("allocations", "segments", "blocks", "stacks", "frames"):
        assert read(path).tables[name] == same.tables[name]


@pytest.mark.parametrize("call", [(print, "ran"), (builtins.exec, "raise SystemExit"), (getattr, 1, "real")])
def test_a_call_is_refused_with_its_name_and_does_not_run(tmp_path: Path, call: Any, capfd: Any) -> None:
    path = write(tmp_path / "evil.pickle", {**simple(), "extra": Hostile(*call)})
    with pytest.raises(InputError, match=rf"asks for (builtins|_?io).{call[0].__name__}.*plain containers"):
        read(path)
    assert "ran" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("opcodes", "reason"),
    [
        (b"\x80\x04\x8c\x08segmentsQ.", "outside the file"),  # BINPERSID
        (b"\x80\x04\x8c\x08segments\x82\x05.", "damaged"),  # EXT1: an unregistered extension
        (b"\x80\x04\x8c\x08segments\x97.", "damaged"),  # NEXT_BUFFER
        (b"\x80\x04\x8c\x08segments\x8e" + (1 << 62).to_bytes(8, "little"), "damaged|memory"),  # BINBYTES8
        (b"\x80\x04\x8c\x08segments", "cut off"),
        (b"\x80\x04}\x8c\x08segmentsK\x01s.", "no list of segments"),
    ],
)
def test_what_no_snapshot_holds_is_refused(tmp_path: Path, opcodes: bytes, reason: str) -> None:
    path = tmp_path / "odd.pickle"
    path.write_bytes(opcodes)
    with pytest.raises(InputError, match=reason):
        read(path)


def test_what_crashes_or_exhausts_the_reader_ends_the_reader_only(tmp_path: Path) -> None:
    nested = b"\x80\x04\x8c\x08segments}" + b")" + b"\x85" * 2_000_000 + b"K\x01s."  # hash of a deep tuple
    memo = b"\x80\x04\x8c\x08segmentsr\xff\xff\xff\xff."  # LONG_BINPUT: a table of 2^32 entries
    for content in (nested, memo):
        path = tmp_path / "bomb.pickle"
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"refused|memory|cut off|no memory snapshot"):
            read(path)


def test_parts_that_are_repeated_to_exhaust_the_reader_are_refused() -> None:
    trace = [entry("alloc", BASE, 512, 1)] * 1000
    with pytest.raises(Refused, match="1000000 entries"):
        walk({"segments": [], "device_traces": [trace] * 1000}, max_rows=10_000)
    with pytest.raises(Refused, match="call stack of 20000 frames"):
        walk(snapshot([], [entry("alloc", BASE, 512, 1, [USER] * 20_000)]), max_rows=100_000)


@pytest.mark.parametrize(
    "content",
    [
        {"segments": [], "device_traces": [[{"action": "alloc", "addr": "here", "size": 1, "stream": 0}]]},
        {"segments": [], "device_traces": [[3]]},
        {"segments": [{"blocks": [{"state": "inactive"}]}], "device_traces": []},
        {"segments": [], "device_traces": [[{"action": "alloc", "addr": 1, "size": 1 << 80, "stream": 0}]]},
    ],
)
def test_values_that_no_snapshot_has_are_refused(content: Any) -> None:
    with pytest.raises(Refused):
        tables(content)


def test_nothing_is_collected_while_loading_and_the_collector_is_back_on_after() -> None:
    import gc

    loads(pickle.dumps(simple()))
    with pytest.raises(Refused):
        loads(b"\x80\x04")
    assert gc.isenabled()


def test_the_form_of_pytorch_2_0_has_addresses_by_counting() -> None:
    used = {"addr": BASE, "real_size": 500, "frames": [USER]}
    old = [
        {
            "device": 0, "address": BASE, "total_size": 2 * MIB, "allocated_size": 1024, "active_size": 1024,
            "stream": 0, "segment_type": "small",
            "blocks": [
                {"size": 512, "state": "active_allocated", "history": [used]},
                {"size": 512, "state": "active_awaiting_free"},
                {"size": 2 * MIB - 1024, "state": "inactive", "history": [{"addr": 1, "real_size": 9, "frames": []}]},
            ],
        }
    ]  # fmt: skip
    blocks = tables(old)["blocks"]
    assert blocks["address"].to_pylist() == [BASE, BASE + 512, BASE + 1024]
    assert blocks["requested"].to_pylist() == [500, None, None]
    assert blocks["state"].to_pylist() == ["active_allocated", "active_pending_free", "inactive"]
    assert blocks["stack"].to_pylist() == [0, None, None]


def test_forks_with_other_keys_and_without_times_load() -> None:
    content = simple()
    content["npu_allocator_settings"] = content.pop("allocator_settings") | {"max_split_size": 5}
    for e in content["device_traces"][0]:
        del e["time_us"]
    walked = walk(content, 1 << 20)
    assert walked.settings["max_split_size"] == 5
    done = assemble(walked)
    assert done.start_ns is None
    assert done.tables["allocations"]["ts"].null_count == 5
    assert "no time" in done.notes[0].message


def test_annotations_are_paired_by_name_and_device() -> None:
    marks = [
        ("START", "step", 5),
        ("START", "opt", 6),
        ("END", "opt", 8),
        ("END", "step", 9),
        ("END", "lost", 9),
    ]
    found = [{"stage": s, "name": n, "device": 0, "time_us": t} for s, n, t in marks]
    rows = tables(snapshot([], [], [*found, {"stage": "START", "name": "open", "device": 0, "time_us": 10}]))[
        "annotations"
    ]
    assert list(zip(*(rows[c].to_pylist() for c in ("name", "ts", "dur")), strict=True)) == [
        ("step", 0, 4000), ("opt", 1000, 2000), ("open", 5000, None)
    ]  # fmt: skip


def test_ranks_come_from_file_names_and_references_follow_when_files_are_put_together(tmp_path: Path) -> None:
    for rank in (0, 3):
        write(tmp_path / f"oom_rank{rank}.pickle", simple())
    trace = load(tmp_path, options=NO_CACHE)
    assert [s.rank for s in trace.sources] == [0, 3]
    stack = trace.blocks["stack"].to_pylist()
    assert stack == [2, None, 5, None]
    assert trace.stacks["parent"].to_pylist() == [None, 0, 1, None, 3, 4]
    assert trace.blocks["segment"].to_pylist() == [0, 0, 1, 1]


def test_sums_that_contradict_the_blocks_are_noted() -> None:
    wrong = segment(BASE, [block(BASE, 2 * MIB, 5)], allocated_size=7)
    notes = assemble(walk(snapshot([wrong], []), 1 << 20)).notes
    assert any("1 segment has other allocated sums" in n.message for n in notes)


def test_the_reader_does_without_pandas(tmp_path: Path) -> None:
    """Its import would take longer than a small snapshot."""
    path = write(tmp_path / "run.pickle", simple())
    program = (
        "import sys\nfrom traceanalyzer.ingest.snapshot.worker import main\n"
        f"assert main([{str(path)!r}, {str(tmp_path)!r}, '{{}}']) == 0\nassert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content["segments"][0].update(total_size=None),
        lambda content: content["segments"][0].pop("address"),
        lambda content: content["segments"][0]["blocks"][0].update(size=None),
        lambda content: content["device_traces"][0][1].update(pool_id=(1,)),
        lambda content: content["segments"][0].update(segment_pool_id=()),
    ],
)
def test_a_segment_without_place_and_an_incomplete_pool_are_refused(tmp_path: Path, damage: Any) -> None:
    content = simple()
    damage(content)
    with pytest.raises(InputError):
        read(write(tmp_path / "run.pickle", content))
