"""What a trace can show, told from its tables: only what is really there counts, not what an option promised."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from traceanalyzer.model.columns import has_any, texts
from traceanalyzer.model.ranges import own_ranges
from traceanalyzer.model.trace import Capability

if TYPE_CHECKING:
    import pyarrow as pa

Tables = Mapping[str, "pa.Table"]


def _names(tables: Tables, table: str, test: Callable[[str], bool]) -> bool:
    codes, names = texts(tables[table], "name")
    used = set(codes.tolist()) if len(codes) < 1000 else None
    return any(test(name) and (used is None or code in used) for code, name in enumerate(names))


def _snapshot(tables: Tables) -> bool:
    return tables["segments"].num_rows > 0 or has_any(tables["allocations"], "requested")


_TESTS: Mapping[Capability, Callable[[Tables], bool]] = {
    Capability.DEVICE_WORK: lambda t: t["kernels"].num_rows + t["copies"].num_rows > 0,
    Capability.LAUNCHES: lambda t: t["api_calls"].num_rows > 0,
    Capability.STEPS: lambda t: _names(t, "annotations", lambda name: name.startswith("ProfilerStep")),
    Capability.SHAPES: lambda t: has_any(t["ops"], "input_dims"),
    Capability.STACKS: lambda t: t["python_calls"].num_rows > 0,
    Capability.MODULES: lambda t: (
        _names(t, "python_calls", lambda name: name.startswith("nn.Module: "))
        or _names_present(t["ops"], "module_hierarchy")
        or len(own_ranges(t["annotations"])) > 0
    ),
    Capability.MEMORY: lambda t: t["allocations"].num_rows > 0,
    Capability.MEMORY_SNAPSHOT: _snapshot,
    Capability.OOM: lambda t: _snapshot(t) or t["oom_messages"].num_rows > 0,
    Capability.SYNC_EVENTS: lambda t: t["syncs"].num_rows > 0,
    Capability.COLLECTIVE_ARGUMENTS: lambda t: t["collectives"].num_rows > 0,
    Capability.DEVICE_PROPERTIES: lambda t: t["devices"].num_rows > 0,
}


def _names_present(table: pa.Table, column: str) -> bool:
    return any(texts(table, column)[1])


def capabilities_of(tables: Tables) -> frozenset[Capability]:
    """The capabilities for which the tables hold at least one row of evidence."""
    return frozenset(c for c, test in _TESTS.items() if test(tables))
