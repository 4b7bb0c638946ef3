"""Broken, odd and hostile files: what can be read is read and said to be partial, or one line says why not."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from chrome_files import dump, kernel, op, simple_events, trace

from traceanalyzer import pipeline
from traceanalyzer.errors import InputError
from traceanalyzer.ingest import inputs
from traceanalyzer.ingest.inputs import read_inputs
from traceanalyzer.ingest.options import LoadOptions
from traceanalyzer.model.link import link

if TYPE_CHECKING:
    from pathlib import Path

    from traceanalyzer.model.trace import Trace

NO_CACHE = LoadOptions(use_cache=False)


def read(path: Path, options: LoadOptions = NO_CACHE) -> Trace:
    return read_inputs([path], options)


def write(folder: Path, content: bytes | str, name: str = "run.json") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def kinds(trace_: Trace) -> list[str]:
    return [n.kind for n in trace_.sources[0].notes]


def many(count: int) -> list[dict]:
    return [
        op(f"aten::op{i % 7}", f"{1000 + i * 10}.000", "5.000", **{"External id": i}) for i in range(count)
    ]


def test_a_whole_file_has_no_notes(tmp_path: Path) -> None:
    loaded = read(write(tmp_path, dump(trace(simple_events()))))
    assert loaded.sources[0].notes == ()
    assert loaded.sources[0].events == 4


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95, 0.999])
def test_a_truncated_file_gives_its_whole_events_and_says_so(tmp_path: Path, keep: float) -> None:
    text = dump(trace(many(500)), indent=2)
    cut = text[: int(len(text) * keep)]
    loaded = read(write(tmp_path, cut))
    whole = cut.count('"dur"')
    assert whole - 1 <= loaded.ops.num_rows <= whole
    assert "partial" in kinds(loaded)


def test_a_file_cut_between_two_events_is_partial_too(tmp_path: Path) -> None:
    text = dump(trace(many(20)))
    cut = text[: text.rindex(', {"ph"')]
    loaded = read(write(tmp_path, cut))
    assert loaded.ops.num_rows == 19
    assert kinds(loaded) == ["partial"]


def test_truncated_gzip_gives_what_was_inflated(tmp_path: Path) -> None:
    packed = gzip.compress(dump(trace(many(20000))).encode())
    loaded = read(write(tmp_path, packed[: len(packed) // 2], "run.json.gz"))
    assert 0 < loaded.ops.num_rows < 20000
    assert "partial" in kinds(loaded)


def of_two(count: int) -> tuple[str, str]:
    """Two recordings; the second has ops of another name."""
    second = [{**event, "name": "of the second"} for event in many(count)]
    return dump(trace(many(count))), dump(trace(second))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("between", ["", "\n", "\r\n\r\n"])
@pytest.mark.parametrize("count", [3, 9000])
def test_of_two_recordings_in_one_file_the_first_is_read_and_the_second_named(
    tmp_path: Path, count: int, between: str, packed: bool
) -> None:
    first, second = of_two(count)
    text = (first + between + second).encode()
    loaded = read(
        write(tmp_path, gzip.compress(text) if packed else text, "run.json.gz" if packed else "run.json")
    )
    assert loaded.ops.num_rows == count
    assert "of the second" not in loaded.ops["name"].to_pylist()
    (note,) = loaded.sources[0].notes
    at = len(first + between)
    assert note.kind == "partial"
    assert f"another JSON document begins at byte {at}," in note.message
    assert f"the other {len(second)} bytes were not" in note.message
    assert f"`head -c {at}`" in note.remedy
    assert f"`tail -c +{at + 1}`" in note.remedy


def test_what_the_remedy_says_makes_two_files_that_are_whole(tmp_path: Path) -> None:
    first, second = of_two(3)
    (note,) = read(write(tmp_path, first + second)).sources[0].notes
    both = write(tmp_path, first + second, "both.json")
    for number, command in enumerate(re.findall("`(.*?)`", note.remedy)):
        part = tmp_path / f"part{number}.json"
        part.write_bytes(subprocess.run([*command.split(), both], capture_output=True, check=True).stdout)
        assert part.read_text() == (first, second)[number]
        assert read(part).sources[0].notes == ()


def test_two_bare_lists_are_two_recordings_as_well(tmp_path: Path) -> None:
    loaded = read(write(tmp_path, dump(many(9000)) + dump(many(9000))))
    assert loaded.ops.num_rows == 9000
    assert "another JSON document" in loaded.sources[0].notes[0].message


def test_an_empty_list_before_another_recording_is_not_taken_for_that_one(tmp_path: Path) -> None:
    loaded = read(write(tmp_path, '{"traceEvents": []}' + dump(trace(many(9000)))))
    assert loaded.ops.num_rows == 0
    assert "another JSON document begins at byte 19," in loaded.sources[0].notes[0].message


@pytest.mark.parametrize("count", [3, 9000])
@pytest.mark.parametrize("after", ["", ', "traceName": "x"'])
def test_of_two_lists_of_events_the_first_is_read_and_the_second_named(
    tmp_path: Path, count: int, after: str
) -> None:
    lists = dump(many(count)), dump([{**event, "name": "again"} for event in many(count)])
    text = f'{{"traceEvents": {lists[0]}, "schemaVersion": 1, "traceEvents": {lists[1]}{after}}}'
    loaded = read(write(tmp_path, text))
    assert set(loaded.ops["name"].to_pylist()) == {f"aten::op{i}" for i in range(min(count, 7))}
    (note,) = loaded.sources[0].notes
    assert f"the one at byte {text.rindex(lists[1])} was not" in note.message


def test_what_is_no_json_behind_the_end_is_named(tmp_path: Path) -> None:
    text = dump(trace(many(3)))
    (note,) = read(write(tmp_path, text + "\nKilled")).sources[0].notes
    assert f"the JSON ends at byte {len(text) + 1}; the 6 bytes behind it were not read" in note.message
    assert read(write(tmp_path, text + "\n\n\0\0\0")).sources[0].notes == ()


def test_garbage_in_the_middle_costs_only_what_it_covers(tmp_path: Path) -> None:
    text = dump(trace(many(5000)))
    middle = len(text) // 2
    for garbage in ("\x00\x01garbage###", '"unbalanced', "}}}]]]", "{{{[[["):
        loaded = read(write(tmp_path, text[:middle] + garbage + text[middle:]))
        assert loaded.ops.num_rows >= 4998, garbage
        assert "partial" in kinds(loaded), garbage


@pytest.mark.parametrize("depth", [900, 10_000])
@pytest.mark.parametrize("key", ["Input Dims", "Concrete Inputs", "anything"])
def test_values_nested_beyond_reason_cost_no_more_than_their_event(
    tmp_path: Path, depth: int, key: str
) -> None:
    text = dump(trace([*many(50), op("deep", "1.000", "5.000", **{key: "DEEP"}), *many(50)]))
    loaded = read(write(tmp_path, text.replace('"DEEP"', "[" * depth + "]" * depth)))
    assert loaded.ops.num_rows >= 100
    assert loaded.ops.num_rows == 101 or "partial" in kinds(loaded)
    pipeline.analyze(link(loaded))


def test_a_header_nested_beyond_reason_costs_no_event(tmp_path: Path) -> None:
    deep = "[" * 10_000 + "]" * 10_000
    for text in (
        f'{{"a": {deep}, "traceEvents": EVENTS}}',
        f'{{"traceEvents": EVENTS, "deviceProperties": {deep}}}',
    ):
        loaded = read(write(tmp_path, text.replace("EVENTS", json.dumps(many(50)))))
        assert loaded.ops.num_rows == 50


def test_garbage_in_a_file_of_many_chunks(tmp_path: Path) -> None:
    text = dump(trace(many(30000)))
    for place in (0.2, 0.5, 0.9):
        at = int(len(text) * place)
        loaded = read(write(tmp_path, text[:at] + '"{"}[' + text[at + 40 :]))
        assert loaded.ops.num_rows >= 29990
        assert "partial" in kinds(loaded)


def test_bad_escapes_control_characters_and_nan_are_mended(tmp_path: Path) -> None:
    events = [
        '{"ph":"X","cat":"cpu_op","name":"C:\\Users\\Work\\x.py","pid":1,"tid":1,"ts":1.5,"dur":1}',
        '{"ph":"X","cat":"cpu_op","name":"bell\x07 tab\there","pid":1,"tid":1,"ts":2.5,"dur":1}',
        '{"ph":"X","cat":"cpu_op","name":"nan","pid":1,"tid":1,"ts":3.5,"dur":NaN,"args":{"External id":-Infinity}}',
        '{"ph":"X","cat":"cpu_op","name":"lone \\ud800 surrogate","pid":1,"tid":1,"ts":4.5,"dur":1}',
    ]
    loaded = read(write(tmp_path, '{"traceEvents":[' + ",".join(events) + "]}"))
    names = loaded.ops["name"].to_pylist()
    assert names == ["C:\\Users\\Work\\x.py", "bell\x07 tab\there", "nan", "lone \ufffd surrogate"]
    assert loaded.ops["dur"].to_pylist() == [1000, 1000, None, 1000]
    assert kinds(loaded) == ["repaired"]


def test_quotes_that_kineto_leaves_as_they_are_in_names_are_mended(tmp_path: Path) -> None:
    """PyTorch 2.13 writes `torch/_dynamo/backends/cudagraphs.py(0): "1"` for a function that was compiled from text."""
    text = dump(trace([*many(50), op("QUOTED", "1.000", "5.000"), *many(50)]))
    loaded = read(write(tmp_path, text.replace("QUOTED", 'f.py(0): "1"')))
    assert 'f.py(0): "1"' in loaded.ops["name"].to_pylist()
    assert loaded.ops.num_rows == 101
    assert kinds(loaded) == ["repaired"]


def test_invalid_utf8_is_replaced(tmp_path: Path) -> None:
    content = (
        b'{"traceEvents":[{"ph":"X","cat":"cpu_op","name":"a\xff\xfeb","pid":1,"tid":1,"ts":1,"dur":1}]}'
    )
    assert read(write(tmp_path, content)).ops["name"].to_pylist() == ["a\ufffd\ufffdb"]


def test_wrong_types_cost_the_value_not_the_event(tmp_path: Path) -> None:
    events = [
        {
            "ph": "X", "cat": "cpu_op", "name": 17, "pid": "Spans", "tid": [1], "ts": 1.0, "dur": "2",
            "args": {"External id": "x"},
        },
        {"ph": "X", "cat": "cpu_op", "name": "fine", "pid": 1, "tid": 1, "ts": 2.0, "dur": 1, "args": "text"},
        {"ph": "X", "cat": "cpu_op", "name": "no time", "pid": 1, "tid": 1, "dur": 1},
        {"ph": 5, "cat": ["odd"], "name": "odd", "pid": 1, "tid": 1, "ts": 3.0},
        [1, 2], None, "text", 3,
    ]  # fmt: skip
    loaded = read(write(tmp_path, json.dumps({"traceEvents": events})))
    assert loaded.ops["name"].to_pylist() == ["17", "fine"]
    assert loaded.ops["dur"].to_pylist() == [2000, 1000]
    assert loaded.others["name"].to_pylist() == ["odd"]
    assert {'{"External id":"x"}', '{"args":"text"}'} <= set(loaded.extras["json"].to_pylist())
    messages = " ".join(n.message for n in loaded.sources[0].notes)
    assert "4 elements of traceEvents are not objects" in messages
    assert "1 event without a readable time" in messages


def test_negative_durations_count_as_zero_and_are_kept_in_extras(tmp_path: Path) -> None:
    loaded = read(
        write(tmp_path, dump(trace([kernel("k", "5.000", "-3.000", 1), kernel("k", "9.000", "1.000", 2)])))
    )
    assert loaded.kernels["dur"].to_pylist() == [0, 1000]
    assert '{"negative_dur_ns":-3000}' in loaded.extras["json"].to_pylist()
    assert kinds(loaded) == ["repaired"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"   \n", "is not of a known format"),
        (b"hello world", "is not of a known format"),
        (b"PK\x03\x04", "is a zip archive"),
        (b"\x00" * 257 + b"ustar", "is a tar archive"),
        (b"BZh91AY", "is compressed with bzip2"),
        (b"\xfd7zXZ\x00", "is compressed with xz"),
        (gzip.compress(gzip.compress(b"[]", mtime=0), mtime=0), "is compressed twice"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a", "is a pointer of Git LFS"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"\xff\xfe{\x00", "is UTF-16 text"),
        (b'{"a": 1}', "holds no traceEvents"),
        (b'{"traceEvents": 3}', "holds no traceEvents"),
        (b"{", "holds no traceEvents"),
        (b"[[1795674753001805, 1795674753001805], [0, 4194304]]", "is a memory timeline"),
        (b"[[-1, 1, 16384, 0], [-1, 1, 256, 0]]", "is a memory timeline"),
        (b'{\n  "schema": "1.1.1-chakra.0.0.4", "pid": 808,\n  "nodes": []}', "is an execution trace"),
        (b'{"$schema":"https://www.speedscope.app/file-format-schema.json","profiles":[]}', "for speedscope"),
        (b"-------------  ------------  \n   Name    Self CPU %  \n", "is a table of key_averages()"),
        (b"Time (%),Total Time (ns),Num Calls\n", "is a table of nsys stats"),
        (b"mk.py(6):_<module>;torch/profiler/profiler.py(1118):___enter__ 2\n", "is a list of stacks"),
        (b"\x1f\x8b\x08\x00broken", "broken compression"),
        (b"\x80\x05\x95pickle", "is not of a known format"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_file_and_a_remedy(
    tmp_path: Path, content: bytes, problem: str
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read(path)
    message = str(caught.value)
    assert str(path) in message
    assert problem in message
    assert message.endswith(".")
    assert "\n" not in message


def test_what_torch_save_wrote_is_told_from_other_archives(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "model.pt"
    torch.save({"weight": torch.ones(3)}, path)
    with pytest.raises(InputError, match=r"is what torch\.save wrote"):
        read(path)


def test_a_missing_file_a_directory_and_an_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / "none.json")
    with pytest.raises(InputError, match="without a supported file"):
        read(tmp_path)
    if os.geteuid() != 0:
        locked = write(tmp_path, "{}")
        locked.chmod(0)
        with pytest.raises(InputError, match="permission denied"):
            read(locked)


def in_folder(folder: Path) -> dict[str, bytes]:
    """One trace, and what else a job may have left behind."""
    files = {
        "rank0.json": dump(trace(simple_events())).encode(),
        "rank1.json": b"",
        "rank2.json.gz": gzip.compress(b"{}")[:5],
        "rank3.pickle": pickle.dumps({"segments": object, "device_traces": []}, 4),
        "config.json": b'{"model": "small"}',
        "notes.txt": b"hello",
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return files


def test_of_a_folder_what_can_be_read_is_read_and_the_rest_is_named(tmp_path: Path) -> None:
    in_folder(tmp_path)
    (source,) = read(tmp_path).sources
    assert source.path == str(tmp_path / "rank0.json")
    told = [(n.kind, str(n.message)) for n in source.notes if "left out" in n.message]
    assert [kind for kind, _ in told] == ["partial"] * 3
    for (_, message), name in zip(told, ("rank1.json", "rank2.json.gz", "rank3.pickle"), strict=True):
        assert message.startswith(f"{tmp_path / name}: ")
        assert message.endswith("; it was left out")


@pytest.mark.parametrize("name", ["rank1.json", "rank2.json.gz", "rank3.pickle"])
def test_a_file_that_is_named_must_be_readable(tmp_path: Path, name: str) -> None:
    in_folder(tmp_path)
    for named in ([tmp_path, tmp_path / name], [tmp_path / name, tmp_path]):
        with pytest.raises(InputError, match=name):
            read_inputs(named, NO_CACHE)


def test_a_folder_in_which_nothing_can_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rank1.json").write_bytes(b"")
    with pytest.raises(InputError, match=r"rank1.json: is empty"):
        read(tmp_path)


def test_a_file_that_vanishes_from_a_folder_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_folder(tmp_path)
    gone = tmp_path / "gone.json"
    expand = inputs.expand
    monkeypatch.setattr(inputs, "expand", lambda named: {gone: True, **expand(named)})
    (source,) = read(tmp_path).sources
    assert any(n.message == f"{gone}: no such file; it was left out" for n in source.notes)


def test_a_pipe_with_a_name_is_read_like_a_file(tmp_path: Path) -> None:
    """As the shell makes it of `trace-analyze summary <(unzip -p run.zip)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as writer:
        writer.submit(pipe.write_text, dump(trace(many(5000))))
        loaded = read_inputs([pipe])
    assert loaded.ops.num_rows == 5000
    assert loaded.sources[0].path == str(pipe)


def test_zero_events_and_metadata_only_load(tmp_path: Path) -> None:
    assert read(write(tmp_path, '{"traceEvents": []}')).sources[0].events == 0
    named = {"ph": "M", "name": "process_name", "pid": 3, "tid": 0, "args": {"name": "python"}}
    loaded = read(write(tmp_path, json.dumps({"traceEvents": [named]})))
    assert loaded.processes["name"].to_pylist() == ["python"]


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_a_bomb_is_stopped_by_its_ratio_and_the_limit_can_be_raised(tmp_path: Path, compress: str) -> None:
    content = b'{"traceEvents":[' + b" " * (80 << 20) + b"]}"
    if compress == "gzip":
        packed = gzip.compress(content, 9)
    else:
        import zstandard

        packed = zstandard.ZstdCompressor().compress(content)
    path = write(tmp_path, packed, "bomb.json.x")
    with pytest.raises(InputError, match="times its size"):
        read(path)
    with pytest.raises(InputError, match="inflates to more than 1000000 bytes"):
        read(path, LoadOptions(use_cache=False, max_inflated_bytes=1_000_000))
    assert read(path, LoadOptions(use_cache=False, max_ratio=1e6)).sources[0].events == 0


def test_a_name_that_imitates_a_seam_does_not_break_anything(tmp_path: Path) -> None:
    trap = 'x"}, {"ph": "X", "name": "no event"'
    events = [{**e, "name": trap} for e in many(6000)]
    loaded = read(write(tmp_path, dump(trace(events))))
    assert loaded.ops.num_rows == 6000
    assert set(loaded.ops["name"].to_pylist()) == {trap}
    assert loaded.sources[0].notes == ()


def test_parallel_reading_gives_the_same_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from traceanalyzer.ingest.chrome import crew as room

    path = write(tmp_path, dump(trace(many(9000) + simple_events())))
    alone = read(path)
    monkeypatch.setattr(room, "PARALLEL_BYTES", {"plain": 0, "gzip": 0, "zstd": 0})
    together = read(path, LoadOptions(use_cache=False, workers=3))
    for name, table in alone.tables.items():
        assert table.equals(together.tables[name]), name
    cut = write(tmp_path, path.read_bytes()[:-5000], "cut.json")
    assert "partial" in kinds(read(cut, LoadOptions(use_cache=False, workers=3)))
