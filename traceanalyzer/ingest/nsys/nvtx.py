"""NVTX: ranges and marks become annotations, and what torch.autograd.profiler.emit_nvtx wrote becomes ops.

emit_nvtx names its ranges `aten::mul, seq = 45328, op_id = 990726, sizes = [[2, 3], []], input_op_ids = [(7,0)]`; the
parts after the name are there when PyTorch knows them. A backward node has the sequence number of its forward op.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from traceanalyzer.ingest.nsys.build import ABSENT, Build
from traceanalyzer.ingest.nsys.processes import on_thread, process_of
from traceanalyzer.model.columns import text_column
from traceanalyzer.model.join import first_match

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traceanalyzer.ingest.nsys.database import Rows, Strings, Tables
    from traceanalyzer.ingest.nsys.processes import Ranks

    Ints = NDArray[np.int64]

_COLUMNS = (
    "rowid",
    "start",
    "end",
    "eventType",
    "category",
    "color",
    "globalTid",
    "textId",
    "domainId",
)
_STYLES = {59: "push_pop", 60: "start_end", 34: "mark", 70: "push_pop", 71: "start_end", 65: "mark"}
"""ENUM_NSYS_EVENT_TYPE, of which the last three are NVTX that was read from a text file."""
_DOMAIN = 75
_OP = (
    r"^(?P<name>.+?)(?:, seq = (?P<seq>\d{1,18}))?(?:, op_id = (?P<op_id>\d{1,18}))?"
    r"(?:, sizes = (?P<sizes>\[[\d\[\], ]*\]))?(?:, input_op_ids = \[[\d(), ]*\])?$"
)
"""For Arrow, which matches in time that grows with the text alone; a name without either number is no op."""
_BACKWARD = re.compile(r"^autograd::engine::evaluate_function: |Backward\d*$")


def add_nvtx(database: Tables, strings: Strings, ranks: Ranks, build: Build) -> None:
    """NVTX_EVENTS."""
    rows = database.read("NVTX_EVENTS", _COLUMNS, ("text",))
    domains = _domains(rows, strings)
    kind = rows.ints("eventType")
    build.of_unknown_kind += int((kind < 0).sum())
    rows = rows.where(np.isin(kind, list(_STYLES)))
    build.used_threads.append(np.unique(rows.ints("globalTid")))
    names = _names(rows, strings)
    codes, spelled = np.asarray(names.indices.fill_null(-1)), names.dictionary
    parts = pc.extract_regex(spelled, _OP)
    numbered = pc.or_(*(pc.not_equal(parts.field(number), "") for number in ("seq", "op_id")))
    is_op = np.append(np.asarray(pc.fill_null(numbered, False)), False)[codes]
    of_op, op_texts, op_parts = _used(codes[is_op], spelled, parts)
    _add_ops(rows.where(is_op), of_op, op_texts, op_parts, ranks, build)
    of_range, range_texts = _used(codes[~is_op], spelled)
    _add_ranges(rows.where(~is_op), text_column(of_range, range_texts.to_pylist()), domains, ranks, build)


def _used(codes: Ints, *values: pa.Array) -> tuple[Any, ...]:
    """Codes into those of the values that occur, -1 for none, and these values: ops have a text each."""
    used, own = np.unique(codes, return_inverse=True)
    none = int(len(used) > 0 and used[0] < 0)
    return own - none, *(value.take(pa.array(used[none:])) for value in values)


def _names(rows: Rows, strings: Strings) -> pa.DictionaryArray:
    """The registered string, else the text in the row itself."""
    registered = strings.of(rows.ints("textId"))
    if not rows.has("text"):
        return registered
    own = rows.arrow("text")
    if registered.null_count < len(registered):
        own = pc.coalesce(registered.cast(pa.string()), own)
    return own.dictionary_encode()


def _domains(rows: Rows, strings: Strings) -> dict[tuple[int, int], str]:
    """Names by (process, domain id)."""
    made = rows.where(rows.ints("eventType") == _DOMAIN)
    keys = zip(process_of(made.ints("globalTid")).tolist(), made.ints("domainId").tolist(), strict=True)
    return {k: n for k, n in zip(keys, _names(made, strings).to_pylist(), strict=True) if n}


def _add_ranges(
    rows: Rows, names: pa.DictionaryArray, domains: dict[tuple[int, int], str], ranks: Ranks, build: Build
) -> None:
    keys = np.stack((process_of(rows.ints("globalTid")), rows.ints("domainId", 0)))
    distinct, codes = np.unique(keys, axis=1, return_inverse=True)
    labels = [domains.get((p, d)) for p, d in distinct.T.tolist()]  # a cut export may not name them
    known = sorted({label for label in labels if label})
    own = np.array([known.index(label) if label else -1 for label in labels], np.int64)
    styles = sorted(set(_STYLES.values()))
    style = np.array([styles.index(_STYLES[t]) for t in rows.ints("eventType").tolist()], np.int64)
    build.add(
        "annotations",
        {
            **on_thread(rows, ranks),
            "ev_idx": rows.ints("rowid", ABSENT),
            "name": names,
            "on_gpu": False,
            "domain": text_column(own[codes.reshape(-1)] if len(own) else style, known),
            "style": text_column(style, styles),
            "category": rows.ints("category", ABSENT),
            "color": rows.ints("color", ABSENT),
        },
    )


def _add_ops(
    rows: Rows, codes: Ints, spelled: pa.Array, parts: pa.StructArray, ranks: Ranks, build: Build
) -> None:
    name, sizes = parts.field("name").dictionary_encode(), pc.replace_substring(parts.field("sizes"), " ", "")
    sizes = pc.replace_with_mask(sizes, pc.equal(sizes, ""), pa.scalar(None, pa.string()))
    seq, op_id = (_number(parts.field(number))[codes] for number in ("seq", "op_id"))
    plain, code_of = name.dictionary.to_pylist(), np.asarray(name.indices)[codes]
    thread = on_thread(rows, ranks)
    backward = np.array([*(bool(_BACKWARD.search(n)) for n in plain), False])[code_of]
    build.add(
        "ops",
        {
            **thread,
            "ev_idx": rows.ints("rowid", ABSENT),
            "name": text_column(code_of, plain),
            "seq": seq,
            "fwd_tid": _forward_threads(thread, seq, backward),
            "input_dims": sizes.take(pa.array(codes)).dictionary_encode(),
            "record_function_id": op_id,
            "range_text": pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), spelled),
        },
    )


def _number(texts: pa.StringArray) -> Ints:
    """Numbers, `ABSENT` for an empty text."""
    return np.asarray(pc.if_else(pc.equal(texts, ""), str(ABSENT), texts).cast(pa.int64()))


def _forward_threads(thread: dict[str, Any], seq: Ints, backward: NDArray[np.bool_]) -> Ints:
    """For backward nodes the thread of a forward op with the same number, `ABSENT` for all other ops."""
    result = np.full(len(seq), ABSENT, np.int64)
    targets, sources = np.flatnonzero(backward & (seq >= 0)), np.flatnonzero(~backward & (seq >= 0))
    found = first_match((thread["rank"][targets], seq[targets]), (thread["rank"][sources], seq[sources]))
    have = found >= 0
    result[targets[have]] = thread["tid"][sources[found[have]]]
    return result
