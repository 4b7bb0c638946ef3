"""Trees of time for the page's icicles: modules and Python call paths, as the columns that icicle.js draws."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from traceanalyzer.languages import spoken
from traceanalyzer.reporters import names, units
from traceanalyzer.text import Text, join, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from traceanalyzer.analyzers.host_stacks import CallTree, HostStacks
    from traceanalyzer.analyzers.results import ModuleRow, Modules, PythonStacks
    from traceanalyzer.source_links import SourceLinks
    from traceanalyzer.text import Text

TOLD = 12  # rows of the list beside an icicle
NAME_LENGTH = 200
_DEVICE_TIME, _HOST_TIME = say("device time"), say("host time")


_WORDED: Mapping[str, Callable[[int], str]] = {
    "ns": units.duration,
    "bytes": units.size,
    "samples": lambda n: spoken(say("{count} {count:sample|samples}", count=units.count(n))),
}


@dataclass(frozen=True, slots=True)
class Icicle:
    """One tree; `data` is JSON in the form that icicle.js documents.

    `told` are the rows with the most of their own, as (name, value): what a reader without eyes or script gets.
    """

    id: str
    title: Text
    summary: Text
    told: tuple[tuple[str, str], ...]
    data: str


def modules(found: Modules | None) -> Icicle | None:
    """The tree of modules, or of NVTX ranges in their place; None without one."""
    if found is None or not found.rows:
        return None
    rows = found.rows
    metrics = {_DEVICE_TIME: [r.device_ns for r in rows], _HOST_TIME: [r.host_ns for r in rows]}
    by_annotations = say("{count} NVTX ranges, each as wide as the time in it.")
    by_modules = say("{count} nn.Modules, each as wide as the time in it.")
    summary = by_annotations if found.source == "annotations" else by_modules
    summary = summary.filled(count=units.count(len(rows)))
    return tree("modules", say("Modules"), summary, [r.name for r in rows], _parents_by_depth(rows), metrics)


def python_stacks(found: PythonStacks | None, links: SourceLinks | None = None) -> Icicle | None:
    """Python call paths, with links to their lines; None without stacks."""
    if found is None or not found.nodes:
        return None
    nodes = found.nodes
    metrics = {_DEVICE_TIME: [n.device_ns for n in nodes], _HOST_TIME: [n.host_ns for n in nodes]}
    summary = say("Each function within its caller, as wide as the time in it.")
    if found.left_out:
        left_out = say("The {count} smallest are left out.", count=units.count(found.left_out))
        summary = join(" ", [summary, left_out])
    labels, parents = [n.name for n in nodes], [n.parent for n in nodes]
    return tree("stacks", say("Python call paths"), summary, labels, parents, metrics, links=links)


def samples(found: HostStacks | None) -> Icicle | None:
    """What the CPU was sampled in; None without samples."""
    if found is None:
        return None
    all_of_them = sum(
        v for v, above in zip(found.samples.value, found.samples.parent, strict=True) if above < 0
    )
    summary = say(
        "{samples} {samples:sample|samples} of the CPU, each function within its caller.",
        samples=units.count(all_of_them),
    )
    return _native("samples", say("Samples of the CPU"), summary, found.samples, "samples")


def system_calls(found: HostStacks | None) -> Icicle | None:
    """Who waited in the operating system; None without stacks of such calls."""
    if found is None:
        return None
    summary = say("Who made the calls into the operating system that took long, all threads together.")
    return _native("system-calls", say("Calls into the operating system"), summary, found.system_calls, "ns")


def _native(
    id_: str, title: Text, summary: Text, found: CallTree, unit: Literal["ns", "samples"]
) -> Icicle | None:
    if found.left_out:
        summary = join(
            " ", [summary, say("The {count} smallest are left out.", count=units.count(found.left_out))]
        )
    metrics = {say("samples") if unit == "samples" else say("time"): found.value}
    return tree(id_, title, summary, found.name, found.parent, metrics, unit)


def tree(  # noqa: PLR0913, PLR0917 - the parts of one figure
    id_: str,
    title: Text,
    summary: Text,
    labels: Sequence[str],
    parent: Sequence[int],
    metrics: Mapping[Text, Sequence[int]],
    unit: Literal["ns", "bytes", "samples"] = "ns",
    links: SourceLinks | None = None,
) -> Icicle | None:
    """A tree as an icicle; None when all its values are 0.

    Args:
        id_: of the figure; its elements' ids begin with it.
        title: what the figure shows.
        summary: the sentence beside the title.
        labels: the name of each row.
        parent: the index of a row before each one, or -1.
        metrics: by label, the value of each row with those of the rows below it.
        unit: of all values.
        links: where the lines of code lead that the labels name.
    """
    told_of = {label: values for label, values in metrics.items() if any(values)}
    if not told_of:
        return None
    distinct = {name: code for code, name in enumerate(dict.fromkeys(labels))}
    data = {
        "names": [names.cut(name, NAME_LENGTH) for name in distinct],
        "name": [distinct[name] for name in labels],
        "parent": list(parent),
        "links": [next((href for _, href in links.within(name) if href), None) for name in distinct]
        if links
        else [],
        "unit": unit,
        "metrics": [{"label": spoken(label), "values": list(values)} for label, values in told_of.items()],
    }
    told = _largest(labels, parent, next(iter(told_of.values())), _WORDED[unit])
    return Icicle(id_, title, summary, told, json.dumps(data, ensure_ascii=False, separators=(",", ":")))


def _largest(
    labels: Sequence[str], parent: Sequence[int], values: Sequence[int], worded: Callable[[int], str]
) -> tuple[tuple[str, str], ...]:
    """The rows with the most of their own, without the rows below them."""
    own = list(values)
    for i, above in enumerate(parent):
        if above >= 0:
            own[above] -= values[i]
    total = sum(value for value, above in zip(values, parent, strict=True) if above < 0)
    largest = sorted((i for i in range(len(own)) if own[i] > 0), key=lambda i: (-own[i], i))[:TOLD]
    return tuple((names.cut(labels[i]), f"{worded(own[i])}, {units.share(own[i] / total)}") for i in largest)


def _parents_by_depth(rows: Sequence[ModuleRow]) -> list[int]:
    """The last row before each one that is one level up: rows are in depth-first order."""
    parents, path = [], list[int]()
    for i, row in enumerate(rows):
        del path[row.depth :]
        parents.append(path[-1] if path else -1)
        path.append(i)
    return parents
