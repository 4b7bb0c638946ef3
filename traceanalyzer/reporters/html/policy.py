"""What the page may run and load: its content security policy allows exactly what the reporter put into it."""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Plotly begins style sheets empty and fills them rule by rule, and sets style attributes on what it draws. Text of
# a trace cannot become either: everything is escaped.
_OF_PLOTLY = "style-src-attr 'unsafe-inline'"


def inline(style: str, scripts: Iterable[bytes], *, with_plotly: bool) -> str:
    """For a page that holds its style and scripts: their hashes, so that nothing smuggled in can run."""
    own = _hash(style.encode())
    styles = f"style-src {own}"
    if with_plotly:
        styles += f"; style-src-elem {own} {_hash(b'')}; {_OF_PLOTLY}"
    return f"script-src {' '.join(map(_hash, scripts))}; {styles}; img-src data:"


def served(*, with_plotly: bool) -> str:
    """For a page whose parts come from its own server."""
    styles = "style-src 'self'"
    if with_plotly:
        styles += f"; style-src-elem 'self' {_hash(b'')}; {_OF_PLOTLY}"
    return f"script-src 'self'; {styles}; connect-src 'self'; img-src data:"


def _hash(text: bytes) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"
