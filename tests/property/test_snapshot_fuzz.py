"""Whatever bytes come in, the reader of snapshots and the parser of messages refuse or answer; nothing runs."""

from __future__ import annotations

import io
import pickle
import pickletools

from hypothesis import given, settings
from hypothesis import strategies as st
from snapshot_files import simple

from traceanalyzer.ingest.oom_text import messages
from traceanalyzer.ingest.snapshot.assemble import assemble
from traceanalyzer.ingest.snapshot.refused import Refused
from traceanalyzer.ingest.snapshot.unpickle import load_entries, loads
from traceanalyzer.ingest.snapshot.walk import walk

GOOD = pickle.dumps(simple(), 4)
# Opcodes that fetch or call something, and those that build containers; no opcode that asks for memory by number.
OPCODES = [b"c", b"\x93", b"R", b"\x81", b"\x92", b"b", b"i", b"o", b"P", b"Q", b"\x82", b"}", b"]", b")", b"(", b"N",
           b"e", b"u", b"s", b"a", b"t", b"l", b"d", b"0", b"1", b"2", b"\x94", b"\x85", b"\x86"]  # fmt: skip
PLAIN = (dict, list, tuple, str, bytes, int, float, bool, type(None), set, frozenset, bytearray)


def assert_plain(value: object) -> None:
    todo = [value]
    while todo:
        one = todo.pop()
        assert type(one) in PLAIN, type(one)
        if isinstance(one, dict):
            todo += [*one.keys(), *one.values()]
        elif isinstance(one, (list, tuple, set, frozenset)):
            todo += one


@given(cut=st.integers(0, len(GOOD)), program=st.lists(st.sampled_from(OPCODES), max_size=30))
@settings(max_examples=200)
def test_any_program_gives_plain_containers_or_a_refusal(cut: int, program: list[bytes]) -> None:
    for content in (GOOD[:cut] + b"".join(program) + b".", b"\x80\x04" + b"".join(program) + b"."):
        try:
            value = loads(content)
        except Refused:
            continue
        if not _refers_to_itself(content):
            assert_plain(value)


def _refers_to_itself(content: bytes) -> bool:
    """Containers may hold themselves; walking them by hand would not end."""
    return any(op.name.endswith("GET") or op.name == "DUP" for op, _, _ in pickletools.genops(content))


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "segments",
                    "device_traces",
                    "blocks",
                    "frames",
                    "action",
                    "addr",
                    "size",
                    "time_us",
                    "address",
                    "state",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)


@given(segments=st.lists(JSON_LIKE, max_size=3), traces=JSON_LIKE, annotations=JSON_LIKE, settings_=JSON_LIKE)
@settings(max_examples=150)
def test_any_content_gives_tables_or_a_refusal(
    segments: object, traces: object, annotations: object, settings_: object
) -> None:
    whole = {
        "segments": segments, "device_traces": traces, "external_annotations": annotations,
        "allocator_settings": settings_,
    }  # fmt: skip
    try:
        assemble(walk(whole, 1000))
    except Refused:
        return


WORDS = st.sampled_from(
    ["CUDA out of memory.", "Tried to allocate", "GPU 0", "total capacity of", "9.5 GiB", "of which", "is free.", "\n",
     "[rank1]:", "Process 3 has", "memory in use", "MPS backend out of memory", "OOM when allocating tensor with shape",
     "[4,9999999999999999999]", "and type float", "you tried to allocate", "999999999999999999999999 bytes", "NaN GiB"]
)  # fmt: skip


@given(parts=st.lists(WORDS | st.text(max_size=12), max_size=40))
@settings(max_examples=200)
def test_any_text_gives_messages_with_sizes_that_a_machine_can_have(parts: list[str]) -> None:
    for row in messages(" ".join(parts)):
        for name, value in row.items():
            if isinstance(value, int) and name not in ("line", "rank", "device"):
                assert 0 <= value < 1 << 63, name


def _long() -> bytes:
    """Several frames of 64 KiB, so that entries are dropped while they are read."""
    once = [
        {
            "action": a,
            "addr": 0x7F00_0000_0000 + i,
            "size": i,
            "stream": 0,
            "time_us": i,
            "frames": list(FRAMES),
        }
        for i in range(1500)
        for a in ("alloc", "free_completed")
    ]
    return pickle.dumps({"segments": [], "device_traces": [once]}, 4)


FRAMES = [{"filename": "a.py", "line": i, "name": "f"} for i in range(12)]
LONG = _long()


@given(damage=st.lists(st.tuples(st.integers(0, len(LONG) - 1), st.integers(0, 255)), min_size=1, max_size=4))
@settings(max_examples=60)
def test_damage_within_the_stream_of_entries_gives_tables_or_a_refusal(damage: list[tuple[int, int]]) -> None:
    content = bytearray(LONG)
    for at, value in damage:
        content[at] = value
    try:
        whole, stacks = load_entries(io.BytesIO(bytes(content)), 10_000)
        assemble(walk(whole, 10_000, stacks))
    except Refused:
        pass
