"""Names come from untrusted files: how to show them without being fooled or flooded.

Control and bidirectional characters are spelled out, since they can make a name read as another one, or end
a line in a terminal. Long names are cut for display; the full one (within reason) stays available.
Sentences pass here, too, and come out in the language spoken.
"""

from __future__ import annotations

import re
from unicodedata import category

from traceanalyzer.languages import spoken

DISPLAY_LIMIT = 96
FULL_LIMIT = 4096
_SHORTENED = 2000  # of the name that the shortening looks at: keeps it linear on 1 MB names

_NAMESPACE = re.compile(r"(?:\b[A-Za-z_]\w*|\(anonymous namespace\)|<unnamed>)::(?=[A-Za-z_~(<])")
_SPACES = re.compile(r"\s+>")


def visible(text: str) -> str:
    """The text with characters that cannot be seen, or that reorder others, as ⟨U+202E⟩.

    That is what Unicode calls control, format, surrogate, private, unassigned, line and paragraph separators.
    """
    text = spoken(text)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or category(c) == "Zs" else f"⟨U+{ord(c):04X}⟩" for c in text)


def full(text: str) -> str:
    """The whole name unless it is absurdly long."""
    text = spoken(text)
    if len(text) <= FULL_LIMIT:
        return visible(text)
    return f"{visible(text[:FULL_LIMIT])} … ({len(text):,} characters)"


def prose(text: str) -> str:
    """Text of several lines with the same care: only line breaks and tabs pass."""
    text = spoken(text)
    kept = "\n".join(visible(line).replace("⟨U+0009⟩", "    ") for line in text[:FULL_LIMIT].split("\n"))
    return kept if len(text) <= FULL_LIMIT else f"{kept} … ({len(text):,} characters)"


def cut(text: str, limit: int = DISPLAY_LIMIT) -> str:
    """At most `limit` characters, the middle left out: both ends tell names apart."""
    text = spoken(text)
    text = visible(text[: limit * 4] if len(text) <= limit * 4 else text[: limit * 2] + text[-limit * 2 :])
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail - 1]}…{text[-tail:]}"


def tail(text: str, limit: int = 44) -> str:
    """The end of a path, from a separator on where that leaves enough: the end is what tells paths apart."""
    text = visible(text[-limit * 4 :] if len(text) > limit * 4 else text)
    if len(text) <= limit:
        return text
    kept = text[-(limit - 1) :]
    slash = kept.find("/")
    return "…" + (kept[slash:] if 0 <= slash < limit // 2 else kept)


def kernel(text: str, limit: int = 80) -> str:
    """A C++ kernel name without return type, namespaces and argument list, then cut.

    Different kernels may look the same afterwards: for display only, never as a key.
    """
    if len(text) <= 48:
        return cut(text, limit)
    head = text[:_SHORTENED].removeprefix("void ")
    head = _NAMESPACE.sub("", _without_arguments(head)) if "::" in head or "<" in head else head
    if len(text) > _SHORTENED:
        head += "…"
    return cut(_SPACES.sub(">", head), limit)


def _without_arguments(text: str) -> str:
    """Drop the parenthesised argument list that ends a demangled name."""
    text = re.sub(r" ?\[clone [^\]]*\]$", "", text)
    if not text.endswith(")"):
        return text
    depth = 0
    for i in range(len(text) - 1, 0, -1):
        depth += (text[i] == ")") - (text[i] == "(")
        if depth == 0:
            return text[:i] or text
    return text
