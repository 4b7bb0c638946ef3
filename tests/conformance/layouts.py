"""The layouts in which one trace can be written, and how to write a trace so.

Numbers keep their spelling: a 64-bit float would not hold epoch microseconds with three decimals.
"""

from __future__ import annotations

import gzip
import random
from dataclasses import dataclass
from typing import Any

import msgspec
import zstandard
from hypothesis import strategies as st

HEADER_PLACES = ("before", "after", "both")
SPELLINGS = ("minified", "one line", "indent 2", "indent 4")
_MSGSPEC_INDENT = {"minified": -1, "one line": 0, "indent 2": 2, "indent 4": 4}


@dataclass(frozen=True)
class Layout:
    """One way to write a trace.

    Attributes:
        spelling: minified, one line with `, ` and `: `, or indented.
        header: header keys before the events, after them, or some before and some after.
        shuffled_keys: the keys of every event and of its args in another order, drawn from this
            seed; None as is.
        bare: only the array of events, without a header.
        compression: none, gzip or zstd.
    """

    spelling: str = "minified"
    header: str = "before"
    shuffled_keys: int | None = None
    bare: bool = False
    compression: str = "none"

    @property
    def file_name(self) -> str:
        """A name that tells nothing: files are recognised by content."""
        return "trace.json"


LAYOUTS = st.builds(
    Layout,
    spelling=st.sampled_from(SPELLINGS),
    header=st.sampled_from(HEADER_PLACES),
    shuffled_keys=st.none() | st.integers(0, 1000),
    bare=st.booleans(),
    compression=st.sampled_from(("none", "gzip", "zstd")),
)
"""Any layout."""


def parsed(text: bytes) -> Any:
    """The document with every fraction as it is spelled."""
    return msgspec.json.Decoder(float_hook=lambda spelled: msgspec.Raw(spelled.encode())).decode(text)


def write(document: dict[str, Any], layout: Layout) -> bytes:
    """The bytes of a file that holds this document in this layout."""
    events = document["traceEvents"]
    if layout.shuffled_keys is not None:
        chance = random.Random(layout.shuffled_keys)
        events = [_shuffled(event, chance) for event in events]
    written = events if layout.bare else _with_header(document, events, layout)
    text = msgspec.json.format(msgspec.json.encode(written), indent=_MSGSPEC_INDENT[layout.spelling])
    if layout.compression == "gzip":
        return gzip.compress(text, 1)
    return zstandard.compress(text, 1) if layout.compression == "zstd" else text


def _with_header(document: dict[str, Any], events: list[Any], layout: Layout) -> dict[str, Any]:
    keys = [key for key in document if key != "traceEvents"]
    early = {"before": len(keys), "after": 0, "both": len(keys) // 2}[layout.header]
    return {
        **{key: document[key] for key in keys[:early]},
        "traceEvents": events,
        **{key: document[key] for key in keys[early:]},
    }


def _shuffled(event: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """The event with its keys, and those of its args, in one of three orders: one file mixes them."""
    order = random.Random(chance.randrange(3))
    result = _in_order(event, order)
    if event.get("args"):
        result["args"] = _in_order(event["args"], order)
    return result


def _in_order(mapping: dict[str, Any], order: random.Random) -> dict[str, Any]:
    keys = sorted(mapping)
    order.shuffle(keys)
    return {key: mapping[key] for key in keys}
