"""The tables that every reporter shows: which columns, in which unit. Data, not code.

A column's key is the attribute of the result row that it shows, so the CSV and the JSON report use the same
names. `brief` columns are the ones for which a terminal or a pull request has room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from traceanalyzer.reporters import names, units
from traceanalyzer.rules import vocabulary
from traceanalyzer.text import Text, say

Kind = Literal[
    "kernel", "name", "path", "text", "word", "duration", "bytes", "count", "share", "percent", "number",
    "change", "size_change", "share_change",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """What a column shows and how it is printed."""

    key: str
    title: Text
    kind: Kind
    brief: bool = False
    hint: str = ""
    bar: bool = False  # drawn behind the number, scaled by the largest one of the column

    @property
    def numeric(self) -> bool:
        """Whether the column is right-aligned and sorts as a number."""
        return self.kind not in ("kernel", "name", "path", "text", "word")

    @property
    def named(self) -> bool:
        """Whether the column holds names, which are set in a fixed-width face and may be cut."""
        return self.kind in ("kernel", "name", "path")


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a table and what it is called."""

    id: str
    title: Text
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
    "name": lambda v: names.cut(v if isinstance(v, str) else str(v)),
    "path": lambda v: names.tail(str(v)),
    "text": lambda v: names.cut(v if isinstance(v, str) else str(v)),
    "word": lambda v: names.cut(vocabulary.word(v)),
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


def caption(sheet: Sheet) -> Text:
    """What a table is called, and of how many rows it shows the first."""
    if sheet.total <= len(sheet.rows):
        return sheet.layout.title
    shown, total = len(sheet.rows), units.count(sheet.total)
    return say("{title} (first {shown} of {total})", title=sheet.layout.title, shown=shown, total=total)


def brief(layout: Layout) -> Iterable[Column]:
    """The columns for narrow places."""
    return (c for c in layout.columns if c.brief)


KERNELS = Layout(
    "kernels",
    say("Kernels"),
    (
        Column("name", say("Kernel"), "kernel", brief=True),
        Column("total_ns", say("Total"), "duration", brief=True),
        Column("share", say("Share"), "share", brief=True, hint=say("of the summed kernel time"), bar=True),
        Column("count", say("Calls"), "count", brief=True),
        Column("mean_ns", say("Mean"), "duration", brief=True),
        Column("bound", say("Limited by"), "word", brief=True, hint=say("the larger part of its roof")),
        Column(
            "percent_of_roof",
            say("Of roof"),
            "percent",
            brief=True,
            hint=say("time at the GPU's peaks by time taken"),
        ),
        Column("op", say("Launched by"), "name", hint=say("the op that launches most of it")),
        Column("median_ns", say("Median"), "duration"),
        Column("min_ns", say("Min"), "duration"),
        Column("max_ns", say("Max"), "duration"),
        Column(
            "occupancy_percent",
            say("Occupancy"),
            "percent",
            hint=say("time-weighted, estimated by the profiler"),
        ),
        Column("blocks", say("Blocks"), "count", hint=say("of the longest execution")),
        Column("threads", say("Threads"), "count", hint=say("per block, of the longest execution")),
        Column("category", say("Kind"), "word"),
        Column("module", say("Module"), "path"),
    ),
)
ROOFLINE = Layout(
    "roofline-rows",
    say("Kernels by shape against their roof"),
    (
        Column("op", say("Op"), "name", brief=True),
        Column("count", say("Calls"), "count"),
        Column("total_ns", say("Total"), "duration", brief=True),
        Column(
            "efficiency",
            say("Of roof"),
            "share",
            brief=True,
            hint=say("time at the GPU's peaks by time taken"),
            bar=True,
        ),
        Column("bound", say("Limited by"), "word", brief=True),
        Column("confidence", say("Sure"), "word"),
        Column("dtype", say("Type"), "text"),
        Column("input_dims", say("Shapes"), "name"),
        Column("kernel", say("Kernel"), "kernel"),
        Column("flops", say("FLOPs"), "number", hint=say("of all calls")),
        Column("bytes", say("Bytes"), "bytes", hint=say("of memory traffic, of all calls")),
    ),
)
OPS = Layout(
    "ops",
    say("Ops by name"),
    (
        Column("name", say("Op"), "name", brief=True),
        Column(
            "device_ns",
            say("Device"),
            "duration",
            brief=True,
            hint=say("launched by the op or the ops inside it"),
            bar=True,
        ),
        Column(
            "self_device_ns",
            say("Device, self"),
            "duration",
            brief=True,
            hint=say("launched by the op itself"),
        ),
        Column("total_ns", say("Host"), "duration", hint=say("with the ops inside it")),
        Column("self_ns", say("Host, self"), "duration", brief=True, hint=say("without the ops inside it")),
        Column("count", say("Calls"), "count", brief=True),
        Column("kernels", say("Kernels"), "count"),
    ),
)
OPS_BY_SHAPE = Layout(
    "ops-by-shape",
    say("Ops by shape"),
    (OPS.columns[0], Column("input_dims", say("Input shapes"), "name", brief=True), *OPS.columns[1:]),
)
MODULES = Layout(
    "modules",
    say("Modules"),
    (
        Column("name", say("Module"), "name", brief=True),
        Column(
            "device_ns", say("Device"), "duration", brief=True, hint=say("with the modules inside"), bar=True
        ),
        Column(
            "self_device_ns",
            say("Device, self"),
            "duration",
            brief=True,
            hint=say("without the modules inside"),
        ),
        Column("host_ns", say("Host"), "duration", brief=True),
        Column("calls", say("Calls"), "count", brief=True),
        Column("path", say("Path"), "path"),
    ),
)
COPIES = Layout(
    "copies",
    say("Copies"),
    (
        Column("kind", say("Kind"), "text", brief=True),
        Column("direction", say("Direction"), "text", brief=True),
        Column("src_kind", say("From"), "word"),
        Column("dst_kind", say("To"), "word"),
        Column("total_ns", say("Total"), "duration", brief=True, bar=True),
        Column(
            "exposed_ns",
            say("Exposed"),
            "duration",
            brief=True,
            hint=say("while nothing else ran on the device"),
        ),
        Column("bytes", say("Bytes"), "bytes", brief=True),
        Column("count", say("Calls"), "count", brief=True),
        Column("op", say("Asked for by"), "name"),
    ),
)
COLLECTIVES = Layout(
    "collectives",
    say("Collectives"),
    (
        Column("name", say("Kernel"), "kernel", brief=True),
        Column("collective", say("Collective"), "text", brief=True),
        Column("total_ns", say("Total"), "duration", brief=True, bar=True),
        Column(
            "exposed_ns",
            say("Exposed"),
            "duration",
            brief=True,
            hint=say("while no compute ran on the device"),
        ),
        Column("count", say("Calls"), "count", brief=True),
        Column(
            "min_ns",
            say("Min"),
            "duration",
            hint=say("the closest to the bare transfer: the rest may be waiting"),
        ),
        Column("max_ns", say("Max"), "duration"),
        Column("in_bytes", say("Sent"), "bytes"),
        Column("out_bytes", say("Received"), "bytes"),
        Column(
            "bus_gb_per_s",
            say("Bus, GB/s"),
            "number",
            hint=say("NCCL's bus bandwidth, on the shortest execution"),
        ),
        Column("dtype", say("Type"), "text"),
        Column("group", say("Group"), "text"),
        Column("group_size", say("Ranks"), "count"),
    ),
)
LAUNCHES = Layout(
    "launches",
    say("Launches by device"),
    (
        Column("rank", say("Rank"), "count"),
        Column("device", say("Device"), "count", brief=True),
        Column("kernels", say("Kernels"), "count", brief=True),
        Column("linked", say("With a launch"), "count", hint=say("kernels whose launch lies in the trace")),
        Column("delay_p5_ns", say("Delay p5"), "duration", hint=say("kernel start - launch start")),
        Column(
            "delay_p50_ns",
            say("Delay median"),
            "duration",
            brief=True,
            hint=say("kernel start - launch start"),
        ),
        Column("delay_p95_ns", say("Delay p95"), "duration", hint=say("kernel start - launch start")),
        Column(
            "queue_p50",
            say("Queue median"),
            "count",
            brief=True,
            hint=say("work launched and not yet finished"),
        ),
        Column("queue_max", say("Queue max"), "count"),
        Column("launch_call_p50_ns", say("Launch call"), "duration", hint=say("median duration on the host")),
        Column("tiny_share", say("Tiny kernels"), "share", brief=True),
        Column("bound", say("Held up by"), "word", brief=True),
    ),
)
API_CALLS = Layout(
    "api-calls",
    say("Runtime and driver calls"),
    (
        Column("name", say("Call"), "name", brief=True),
        Column("total_ns", say("Total"), "duration", brief=True, bar=True),
        Column("count", say("Calls"), "count", brief=True),
        Column("max_ns", say("Max"), "duration", brief=True),
    ),
)
HOST_TIME = Layout(
    "host-time",
    say("What the host did in the steps"),
    (
        Column("kind", say("Work"), "word", brief=True),
        Column("total_ns", say("Time"), "duration", brief=True, bar=True),
        Column("share", say("Share"), "share", brief=True),
    ),
)
HOST_COMMUNICATION = Layout(
    "host-communication",
    say("Communication on the host"),
    (
        Column("name", say("Collective"), "name", brief=True),
        Column("total_ns", say("Total"), "duration", brief=True, bar=True),
        Column("count", say("Calls"), "count", brief=True),
        Column(
            "min_ns",
            say("Min"),
            "duration",
            brief=True,
            hint=say("the closest to the bare transfer: the rest may be waiting"),
        ),
        Column("max_ns", say("Max"), "duration", brief=True),
    ),
)
IDLE_GAPS = Layout(
    "idle-gaps",
    say("Longest idle gaps"),
    (
        Column("start_ns", say("Start"), "duration", brief=True),
        Column("duration_ns", say("Length"), "duration", brief=True, bar=True),
        Column("cause", say("Cause"), "word", brief=True),
        Column("host_call", say("Host was in"), "name", brief=True),
        Column("next_work", say("Ended by"), "kernel"),
        Column("python", say("Python"), "path"),
        Column("module", say("Module"), "path"),
        Column("rank", say("Rank"), "count"),
        Column("device", say("Device"), "count"),
    ),
)
IDLE_LINES = Layout(
    "idle-lines",
    say("Idle time by line"),
    (
        Column("total_ns", say("Idle"), "duration", brief=True, bar=True),
        Column("gaps", say("Gaps"), "count", brief=True),
        Column("cause", say("Cause"), "word", brief=True),
        Column("python", say("Python"), "path", brief=True),
        Column("function", say("Function"), "name"),
    ),
)
HOLDERS = Layout(
    "holders",
    say("Live at the peak"),
    (
        Column("bytes", say("Bytes"), "bytes", brief=True, bar=True),
        Column("count", say("Blocks"), "count", brief=True),
        Column("op", say("Allocated by"), "name", brief=True),
        Column("module", say("Module"), "path"),
        Column("python", say("Python"), "path", brief=True),
        Column("name", say("Within"), "name"),
    ),
)
STEPS = Layout(
    "steps",
    say("Steps"),
    (
        Column("name", say("Step"), "name", brief=True),
        Column("wall_ns", say("Duration"), "duration", brief=True),
        Column("compute_ns", say("Compute"), "duration", brief=True),
        Column("exposed_communication_ns", say("Communication, exposed"), "duration", brief=True),
        Column("exposed_copy_ns", say("Copies, exposed"), "duration", brief=True),
        Column("idle_ns", say("Idle"), "duration", brief=True),
    ),
)
