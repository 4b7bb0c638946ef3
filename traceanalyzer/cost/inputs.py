"""Shapes and types of an op's inputs from the text that a trace holds; what is neither there counts as none."""

from __future__ import annotations

import json
from typing import Any


def shapes_of(input_dims: str | None) -> list[tuple[int, ...]]:
    """The shape of each input; () for a number, a list of tensors, and what is damaged."""
    return [
        tuple(shape) if isinstance(shape, list) and all(type(n) is int for n in shape) else ()
        for shape in _listed(input_dims)
    ]


def types_of(input_types: str | None) -> list[str]:
    """The type of each input as recorded, such as `c10::BFloat16`; "" for what is no text."""
    return [kind if isinstance(kind, str) else "" for kind in _listed(input_types)]


def _listed(text: str | None) -> list[Any]:
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []
