"""The time that findings count, by what it is spent on: where two of them count the same, it can be saved once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traceanalyzer.rules.base import ORDINARY
from traceanalyzer.rules.findings import Counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from traceanalyzer.rules.base import Facts


def idle(facts: Facts, *causes: str, ns: int | None = None) -> tuple[Counted, ...]:
    """The idle time with these causes; or `ns` of it, spread evenly where nothing tells which."""
    whole = facts.idle_ns(*causes)
    part = 1.0 if ns is None or not whole else ns / whole
    return _known(Counted(f"idle {c}", int(facts.idle_ns(c) * part), facts.idle_ns(c)) for c in causes)


def late_launches(facts: Facts, *, paused: bool) -> tuple[Counted, ...]:
    """Idle time that ordinary host work leaves: the long pauses, or what is no pause."""
    pauses = {c: sum(g.duration_ns for g in facts.pauses() if g.cause == c) for c in ORDINARY}
    time = {c: facts.idle_ns(c) for c in ORDINARY}
    return _known(
        Counted(f"idle {c}", pauses[c] if paused else time[c] - pauses[c], time[c]) for c in ORDINARY
    )


def exposed_communication(facts: Facts, ns: int) -> tuple[Counted, ...]:
    """Part of the time in which only communication runs."""
    return _part("exposed communication", ns, facts.sum("exposed_communication_ns"))


def exposed_copies(facts: Facts, ns: int, *, within_device: bool = False) -> tuple[Counted, ...]:
    """Part of the time in which only copies run: with the host, or within a device."""
    directions = ("DtoD", "PtoP") if within_device else ("HtoD", "DtoH")
    rows = [r for r in facts.copies.rows if r.kind == "memcpy" and r.direction in directions]
    whole = min(sum(r.exposed_ns for r in rows), facts.sum("exposed_copy_ns"))
    return _part("exposed copies " + " ".join(directions), ns, whole)


def kernels(counted: Mapping[str, float], of: Mapping[str, int]) -> tuple[Counted, ...]:
    """Kernel time by name, and what all kernels of that name take."""
    return _known(Counted(f"kernel {name}", int(ns), of[name]) for name, ns in sorted(counted.items()))


def _part(what: str, ns: int, whole: int) -> tuple[Counted, ...]:
    return _known([Counted(what, min(ns, whole), whole)])


def _known(parts: Iterator[Counted] | list[Counted]) -> tuple[Counted, ...]:
    return tuple(part for part in parts if part.ns > 0)
