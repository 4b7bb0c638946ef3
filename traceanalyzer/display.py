"""What shows itself in a notebook."""

from __future__ import annotations

from importlib import import_module


class Displayed:
    """Jupyter asks the object how it looks; the reporters, rooms above, know, and are imported when asked."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        html: str = import_module("traceanalyzer.reporters.notebook").html(self)
        return html
