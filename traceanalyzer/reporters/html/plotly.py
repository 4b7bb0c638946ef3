"""The copy of plotly.js that plotly.py ships: packed into the page, or handed out by its server."""

from __future__ import annotations

import base64
import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from isal import isal_zlib


@cache
def script() -> bytes:
    """The text of plotly.js. The package around it is not imported: that alone takes half a second."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("plotly")
    return Path(spec.origin).with_name("package_data").joinpath("plotly.min.js").read_bytes()


@cache
def style_ids() -> tuple[str, ...]:
    """The ids of style sheets that the script would add for maps; it adds none whose id the page has already."""
    found = re.findall(rb'getElementById\("([0-9a-f]{64})"\)', script())
    return tuple(sorted({name.decode() for name in found}))


@cache
def packed() -> str:
    """The same as base64 of a zlib stream: a third of its size, inflated by the page when a figure is looked at."""
    return base64.b64encode(isal_zlib.compress(script(), 3)).decode()
