"""The tables that every reporter shows: which columns, in which unit. Data, not code.

A column's key is the attribute of the result row that it shows, so the CSV and the JSON report use the same
names. `brief` columns are the ones for which a terminal or a pull request has room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from traceanalyzer.reporters import names, units

Kind = Literal[
    "kernel", "name", "path", "text", "duration", "bytes", "count", "share", "percent", "number",
    "change", "size_change", "share_change",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """What a column shows and how it is printed."""

    key: str
    title: str
    kind: Kind
    brief: bool = False
    hint: str = ""
    bar: bool = False  # drawn behind the number, scaled by the largest one of the column

    @property
    def numeric(self) -> bool:
        """Whether the column is right-aligned and sorts as a number."""
        return self.kind not in ("kernel", "name", "path", "text")

    @property
    def named(self) -> bool:
        """Whether the column holds names, which are set in a fixed-width face and may be cut."""
        return self.kind in ("kernel", "name", "path")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table and what it is called."""

    id: str
    title: str
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A layout filled with the rows that are shown; `total` counts the rows there are."""

    layout: Layout
    rows: tuple[Any, ...]
    total: int
    empty: tuple[str, ...]  # keys of columns that hold nothing in any row

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns worth showing: all but the ones that were not measured at all."""
        return tuple(c for c in self.layout.columns if c.key not in self.empty)


def sheet(layout: Layout, rows: Sequence[Any], top: int, unknown: frozenset[str] = frozenset()) -> Sheet:
    """The first `top` rows of a result; columns that are `unknown` or hold only None are listed as empty."""
    shown = tuple(rows[:top])
    empty = tuple(
        c.key
        for c in layout.columns
        if c.key in unknown or (shown and all(value(r, c) is None for r in shown))
    )
    return Sheet(layout, shown, len(rows), empty)


def value(row: Any, column: Column) -> Any:
    """What a row holds in a column; None means not measured."""
    return row.get(column.key) if isinstance(row, Mapping) else getattr(row, column.key)


def text(value_: Any, kind: Kind) -> str:
    """A cell as every reporter prints it."""
    if value_ is None:
        return units.UNKNOWN
    return _PRINTERS[kind](value_)


_PRINTERS: Mapping[Kind, Callable[[Any], str]] = {
    "kernel": lambda v: names.kernel(str(v)),
    "name": lambda v: names.cut(str(v)),
    "path": lambda v: names.tail(str(v)),
    "text": lambda v: names.cut(str(v)),
    "duration": units.duration,
    "bytes": units.size,
    "count": units.count,
    "share": units.share,
    "percent": units.percent,
    "number": units.number,
    "change": units.change,
    "size_change": units.size_change,
    "share_change": units.share_change,
}


def brief(layout: Layout) -> Iterable[Column]:
    """The columns for narrow places."""
    return (c for c in layout.columns if c.brief)


KERNELS = Layout(
    "kernels",
    "Kernels",
    (
        Column("name", "Kernel", "kernel", brief=True),
        Column("total_ns", "Total", "duration", brief=True),
        Column("share", "Share", "share", brief=True, hint="of the summed kernel time", bar=True),
        Column("count", "Calls", "count", brief=True),
        Column("mean_ns", "Mean", "duration", brief=True),
        Column("bound", "Limited by", "name", brief=True, hint="the larger part of its roof"),
        Column(
            "percent_of_roof", "Of roof", "percent", brief=True, hint="time at the GPU's peaks by time taken"
        ),
        Column("op", "Launched by", "name", hint="the op that launches most of it"),
        Column("median_ns", "Median", "duration"),
        Column("min_ns", "Min", "duration"),
        Column("max_ns", "Max", "duration"),
        Column("occupancy_percent", "Occupancy", "percent", hint="time-weighted, estimated by the profiler"),
        Column("blocks", "Blocks", "count", hint="of the longest execution"),
        Column("threads", "Threads", "count", hint="per block, of the longest execution"),
        Column("category", "Kind", "text"),
        Column("module", "Module", "path"),
    ),
)
ROOFLINE = Layout(
    "roofline-rows",
    "Kernels by shape against their roof",
    (
        Column("op", "Op", "name", brief=True),
        Column("count", "Calls", "count"),
        Column("total_ns", "Total", "duration", brief=True),
        Column(
            "efficiency",
            "Of roof",
            "share",
            brief=True,
            hint="time at the GPU's peaks by time taken",
            bar=True,
        ),
        Column("bound", "Limited by", "name", brief=True),
        Column("confidence", "Sure", "text"),
        Column("dtype", "Type", "text"),
        Column("input_dims", "Shapes", "name"),
        Column("kernel", "Kernel", "kernel"),
        Column("flops", "FLOPs", "number", hint="of all calls"),
        Column("bytes", "Bytes", "bytes", hint="of memory traffic, of all calls"),
    ),
)
OPS = Layout(
    "ops",
    "Ops by name",
    (
        Column("name", "Op", "name", brief=True),
        Column(
            "device_ns",
            "Device",
            "duration",
            brief=True,
            hint="launched by the op or the ops inside it",
            bar=True,
        ),
        Column("self_device_ns", "Device, self", "duration", brief=True, hint="launched by the op itself"),
        Column("total_ns", "Host", "duration", hint="with the ops inside it"),
        Column("self_ns", "Host, self", "duration", brief=True, hint="without the ops inside it"),
        Column("count", "Calls", "count", brief=True),
        Column("kernels", "Kernels", "count"),
    ),
)
OPS_BY_SHAPE = Layout(
    "ops-by-shape",
    "Ops by shape",
    (OPS.columns[0], Column("input_dims", "Input shapes", "name", brief=True), *OPS.columns[1:]),
)
MODULES = Layout(
    "modules",
    "Modules",
    (
        Column("name", "Module", "name", brief=True),
        Column("device_ns", "Device", "duration", brief=True, hint="with the modules inside", bar=True),
        Column("self_device_ns", "Device, self", "duration", brief=True, hint="without the modules inside"),
        Column("host_ns", "Host", "duration", brief=True),
        Column("calls", "Calls", "count", brief=True),
        Column("path", "Path", "path"),
    ),
)
COPIES = Layout(
    "copies",
    "Copies",
    (
        Column("kind", "Kind", "text", brief=True),
        Column("direction", "Direction", "text", brief=True),
        Column("src_kind", "From", "text"),
        Column("dst_kind", "To", "text"),
        Column("total_ns", "Total", "duration", brief=True, bar=True),
        Column("exposed_ns", "Exposed", "duration", brief=True, hint="while nothing else ran on the device"),
        Column("bytes", "Bytes", "bytes", brief=True),
        Column("count", "Calls", "count", brief=True),
        Column("op", "Asked for by", "name"),
    ),
)
COLLECTIVES = Layout(
    "collectives",
    "Collectives",
    (
        Column("name", "Kernel", "kernel", brief=True),
        Column("collective", "Collective", "text", brief=True),
        Column("total_ns", "Total", "duration", brief=True, bar=True),
        Column("exposed_ns", "Exposed", "duration", brief=True, hint="while no compute ran on the device"),
        Column("count", "Calls", "count", brief=True),
        Column("min_ns", "Min", "duration", hint="the closest to the bare transfer: the rest may be waiting"),
        Column("max_ns", "Max", "duration"),
        Column("in_bytes", "Sent", "bytes"),
        Column("out_bytes", "Received", "bytes"),
        Column("bus_gb_per_s", "Bus, GB/s", "number", hint="NCCL's bus bandwidth, on the shortest execution"),
        Column("dtype", "Type", "text"),
        Column("group", "Group", "text"),
        Column("group_size", "Ranks", "count"),
    ),
)
LAUNCHES = Layout(
    "launches",
    "Launches by device",
    (
        Column("rank", "Rank", "count"),
        Column("device", "Device", "count", brief=True),
        Column("kernels", "Kernels", "count", brief=True),
        Column("linked", "With a launch", "count", hint="kernels whose launch lies in the trace"),
        Column("delay_p5_ns", "Delay p5", "duration", hint="kernel start - launch start"),
        Column("delay_p50_ns", "Delay median", "duration", brief=True, hint="kernel start - launch start"),
        Column("delay_p95_ns", "Delay p95", "duration", hint="kernel start - launch start"),
        Column("queue_p50", "Queue median", "count", brief=True, hint="work launched and not yet finished"),
        Column("queue_max", "Queue max", "count"),
        Column("launch_call_p50_ns", "Launch call", "duration", hint="median duration on the host"),
        Column("tiny_share", "Tiny kernels", "share", brief=True),
        Column("bound", "Held up by", "text", brief=True),
    ),
)
API_CALLS = Layout(
    "api-calls",
    "Runtime and driver calls",
    (
        Column("name", "Call", "name", brief=True),
        Column("total_ns", "Total", "duration", brief=True, bar=True),
        Column("count", "Calls", "count", brief=True),
        Column("max_ns", "Max", "duration", brief=True),
    ),
)
IDLE_GAPS = Layout(
    "idle-gaps",
    "Longest idle gaps",
    (
        Column("start_ns", "Start", "duration", brief=True),
        Column("duration_ns", "Length", "duration", brief=True, bar=True),
        Column("cause", "Cause", "name", brief=True),
        Column("host_call", "Host was in", "name", brief=True),
        Column("next_work", "Ended by", "kernel"),
        Column("python", "Python", "path"),
        Column("module", "Module", "path"),
        Column("rank", "Rank", "count"),
        Column("device", "Device", "count"),
    ),
)
IDLE_LINES = Layout(
    "idle-lines",
    "Idle time by line",
    (
        Column("total_ns", "Idle", "duration", brief=True, bar=True),
        Column("gaps", "Gaps", "count", brief=True),
        Column("cause", "Cause", "name", brief=True),
        Column("python", "Python", "path", brief=True),
        Column("function", "Function", "name"),
    ),
)
HOLDERS = Layout(
    "holders",
    "Live at the peak",
    (
        Column("bytes", "Bytes", "bytes", brief=True, bar=True),
        Column("count", "Blocks", "count", brief=True),
        Column("op", "Allocated by", "name", brief=True),
        Column("module", "Module", "path"),
        Column("python", "Python", "path", brief=True),
        Column("name", "Within", "name"),
    ),
)
STEPS = Layout(
    "steps",
    "Steps",
    (
        Column("name", "Step", "name", brief=True),
        Column("wall_ns", "Duration", "duration", brief=True),
        Column("compute_ns", "Compute", "duration", brief=True),
        Column("exposed_communication_ns", "Communication, exposed", "duration", brief=True),
        Column("exposed_copy_ns", "Copies, exposed", "duration", brief=True),
        Column("idle_ns", "Idle", "duration", brief=True),
    ),
)
