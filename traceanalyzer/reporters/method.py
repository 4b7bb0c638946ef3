"""The thresholds that findings rest on, read from the one module that defines them."""

from __future__ import annotations

import ast
import inspect
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

from traceanalyzer.analyzers import thresholds
from traceanalyzer.reporters import units
from traceanalyzer.text import Text


@dataclass(frozen=True, slots=True)
class Threshold:
    """A constant of `analyzers.thresholds` with the text below it."""

    name: str
    value: str
    meaning: Text


@cache
def all_thresholds() -> tuple[Threshold, ...]:
    """Every documented constant, in the order of the module. Empty where its source is not installed."""
    try:
        body = ast.parse(inspect.getsource(thresholds)).body
    except (OSError, SyntaxError):
        return ()
    found = []
    for node, after in pairwise(body):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
            name = node.target.id
            text = " ".join(str(after.value.value).split())
            found.append(Threshold(name, _printed(name, getattr(thresholds, name)), Text(text, {})))
    return tuple(found)


def _printed(name: str, value: float) -> str:
    """A value in the unit that its name tells."""
    if name.endswith("_NS"):
        return units.duration(value)
    if name.endswith("_BYTES"):
        return units.size(value)
    return units.share(value) if name.endswith("_SHARE") else f"{value:,}"
