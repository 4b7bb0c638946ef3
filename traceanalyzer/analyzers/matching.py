"""Which names of two runs mean the same: equal ones first, then kernels that differ in what compilers put in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from traceanalyzer.analyzers.per_step import Key

_INNERMOST = re.compile(r"<[^<>]*>")
_ARCHITECTURE = re.compile(
    r"(?<![A-Za-z0-9])(?:sm\d+|maxwell|pascal|volta|turing|ampere|ada|hopper|blackwell)_"
)
_TILE = re.compile(r"\d+x\d+(?:x\d+)*")
_NUMBER_AT_END = re.compile(r"_\d+$")
_LIMIT = 4000  # of a name that is looked at: keeps it linear on hostile names


def family_name(kernel: str) -> str:
    """The name without template arguments, argument list, architecture, tile sizes and a compiler's number.

    `void gemm<float, 4>(float*)` and `void gemm<half, 8>(half*)` are both `gemm`; `ampere_sgemm_128x64_tn` and
    `volta_sgemm_32x32_tn` both `sgemm_*_tn`.
    """
    name = kernel[:_LIMIT].removeprefix("void ").replace("(anonymous namespace)", "anonymous")
    before = ""
    while before != name:
        before, name = name, _INNERMOST.sub("", name)
    name = name.split("(", 1)[0].split("<", 1)[0].strip() or kernel[:_LIMIT]
    return _NUMBER_AT_END.sub("", _TILE.sub("*", _ARCHITECTURE.sub("", name)))


def matched(
    before: Collection[Key], after: Collection[Key], *, by_family: bool
) -> Iterator[tuple[Key, tuple[Key, ...], tuple[Key, ...]]]:
    """(what to call it, its keys before, its keys after); one of the two is empty when nothing matches.

    With `by_family`, names without an equal are put together where both sides have some of that family.
    """
    old, new = set(before), set(after)
    yield from ((key, (key,), (key,)) for key in sorted(old & new, key=_order))
    lone_old, lone_new = sorted(old - new, key=_order), sorted(new - old, key=_order)
    if by_family:
        old_families, new_families = _families(lone_old), _families(lone_new)
        both = sorted(old_families.keys() & new_families.keys())
        for family in both:
            yield (family, None), tuple(old_families.pop(family)), tuple(new_families.pop(family))
        lone_old, lone_new = (
            [key for keys in families.values() for key in keys] for families in (old_families, new_families)
        )
    yield from ((key, (key,), ()) for key in lone_old)
    yield from ((key, (), (key,)) for key in lone_new)


def _families(keys: Iterable[Key]) -> dict[str, list[Key]]:
    found: dict[str, list[Key]] = {}
    for key in keys:
        found.setdefault(family_name(key[0]), []).append(key)
    return found


def _order(key: Key) -> tuple[str, str]:
    return key[0], key[1] or ""
