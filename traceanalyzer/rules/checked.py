"""What rules of third parties find, field by field: what no report could show is met here, and the plugin is named."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from numbers import Real
from typing import Any, get_args

from traceanalyzer.rules.findings import SEVERITIES, Confidence, Counted, Evidence, Finding, Speedup

_MOST = 1 << 62
"""Times, sizes and rows beyond it fit in no column."""
_CHOICES = {"severity": SEVERITIES, "confidence": get_args(Confidence), "saving_basis": ("bound", "replay")}


def checked(found: object) -> Finding:
    """The finding with plain numbers.

    Raises:
        TypeError: a field holds something of another kind; the message names it.
        ValueError: it holds a number or a word that cannot be.
    """
    if not isinstance(found, Finding):
        raise TypeError(f"{type(found).__name__} is no Finding")
    for name in ("code", "title", "claim", "fix", "saving_reason"):
        words(name, getattr(found, name))
    for name, choices in _CHOICES.items():
        if getattr(found, name) not in choices:
            raise ValueError(f"{name} is {getattr(found, name)!r} and none of {', '.join(choices)}")
    return replace(
        found,
        evidence=tuple(map(_evidence, _listed("evidence", found.evidence))),
        saving_ns=None if found.saving_ns is None else _saving(found.saving_ns),
        saving_bytes=None
        if found.saving_bytes is None
        else round(_number("saving_bytes", found.saving_bytes)),
        speedups=tuple(map(_speedup, _listed("speedups", found.speedups))),
        counts=tuple(map(_counted, _listed("counts", found.counts))),
        part_of=None,  # is told by `same_time`
    )


def words(name: str, value: object) -> str:
    """A field that is a text.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r} and no text")
    return value


def _evidence(given: object) -> Evidence:
    if not isinstance(given, Evidence):
        raise TypeError(f"evidence holds {given!r}, which is no Evidence")
    words("text", given.text)
    numbers: dict[str, Any] = {}
    for name in (f.name for f in fields(Evidence) if f.name != "text"):
        value = getattr(given, name)
        if value is None:
            continue
        if name in ("table", "name", "sheet", "python"):
            words(name, value)
        else:
            numbers[name] = _whole(name, value)
    return replace(given, **numbers)


def _saving(value: object) -> tuple[int, int]:
    pair = tuple(round(_number("saving_ns", end)) for end in _listed("saving_ns", value))
    if len(pair) != 2 or not 0 <= pair[0] <= pair[1]:
        raise ValueError(f"saving_ns is {value!r}: the least and the most, neither below 0")
    return pair


def _speedup(given: object) -> Speedup:
    if not isinstance(given, Speedup):
        raise TypeError(f"speedups holds {given!r}, which is no Speedup")
    least, most = _number("least", given.least), _number("most", given.most)
    if not 0 <= most <= least <= 1:
        raise ValueError(f"{given!r}: what remains at the least cure and at the most, shares of 1")
    return Speedup(words("kernel", given.kernel), least, most)


def _counted(given: object) -> Counted:
    if not isinstance(given, Counted):
        raise TypeError(f"counts holds {given!r}, which is no Counted")
    ns, of_ns = _whole("ns", given.ns), _whole("of_ns", given.of_ns)
    if not 0 < ns <= of_ns:
        raise ValueError(f"{given!r}: a part of the time that there is, more than none of it")
    return Counted(words("what", given.what), ns, of_ns)


def _listed(name: str, value: object) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise TypeError(f"{name} is {value!r} and no tuple")
    return tuple(value)


def _number(name: str, value: object) -> float:
    if not isinstance(value, Real) or not math.isfinite(value) or abs(float(value)) > _MOST:
        raise ValueError(f"{name} is {value!r} and no number that can be")
    return float(value)


def _whole(name: str, value: object) -> int:
    number = _number(name, value)
    if not number.is_integer():
        raise ValueError(f"{name} is {value!r} and no whole number")
    return int(value)  # type: ignore[call-overload, no-any-return]
