"""The tables about work and its limits: phases, steps, modules, ops, chains that would fuse, exposed transfers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceanalyzer.reporters.tables import Column, Layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from traceanalyzer.analyzers.limits_results import Limit
    from traceanalyzer.analyzers.opportunities_results import FusionRow

_LIMIT = (
    Column(
        "bound", "Limited by", "name", brief=True, hint="the label that leads its kernels' time, or mixed"
    ),
    Column("bound_share", "Of its time", "share", brief=True, hint="the part of the time with that label"),
    Column("efficiency", "Of roof", "share", brief=True, hint="time at the GPU's peaks by time taken"),
    Column("costed", "Costed", "share", hint="the part of its kernel time with FLOPs and bytes"),
    Column("confidence", "Confidence", "text", brief=True),
    Column("evidence", "Longest kernel", "kernel"),
)
MAPPING = Layout(
    "mapping",
    "Kernels placed by the second trace",
    (
        Column("kernel", "Kernel", "kernel", brief=True),
        Column("total_ns", "Total", "duration", brief=True, bar=True),
        Column("count", "Calls", "count"),
        Column("op", "Op", "name", brief=True),
        Column("module", "Module", "path", brief=True),
        Column("python", "Python", "path", brief=True),
        Column("how", "Matched by", "text", hint="order, grid, name; none: inside a CUDA graph or unlinked"),
    ),
)
PHASES = Layout(
    "phases",
    "Phases",
    (
        Column("phase", "Phase", "text", brief=True),
        Column("busy_ns", "Device busy", "duration", brief=True, bar=True),
        Column("share", "Share", "share", brief=True, hint="of the time in which any work ran"),
        Column("calls", "Calls", "count", hint="of the ranges that mark the phase"),
        Column("kernels", "Kernels", "count"),
        *_LIMIT,
    ),
)


def _limited(id_: str, title: str, what: str) -> Layout:
    name, time = Column("name", what, "name", brief=True), Column("total_ns", "Time", "duration", brief=True)
    return Layout(id_, title, (name, time, *_LIMIT))


STEP_LIMITS = _limited("step-limits", "What limits each step", "Step")
MODULE_LIMITS = _limited("module-limits", "What limits each module", "Module")
OP_LIMITS = _limited("op-limits", "What limits each op", "Op")
MEASURED = Layout(
    "measured",
    "Measured by Nsight Compute",
    (
        Column("name", "Kernel", "kernel", brief=True),
        Column(
            "compute_percent", "Compute", "percent", brief=True, hint="of the peak of the multiprocessors"
        ),
        Column("memory_percent", "Memory", "percent", brief=True, hint="of the peak of the memory system"),
        Column("label", "Limited by", "text", brief=True, hint="NVIDIA's speed-of-light rule"),
        Column("waves", "Waves", "number", hint="per multiprocessor"),
        Column("occupancy_percent", "Occupancy", "percent"),
        Column(
            "duration_ns", "Duration there", "duration", hint="ncu fixes the clocks and empties the caches"
        ),
        Column("match", "In the trace", "text", brief=True),
    ),
)
FUSION = Layout(
    "fusion",
    "Chains that would fuse",
    (
        Column("chain", "Chain", "name", brief=True),
        Column("total_ns", "Total", "duration", brief=True, bar=True),
        Column("share", "Share", "share", brief=True, hint="of the summed kernel time"),
        Column("count", "Times", "count", brief=True),
        Column("form", "Fused form", "text"),
        Column("bytes_low", "Traffic saved, at least", "bytes", hint="what one hands on is not read again"),
        Column("bytes_high", "At most", "bytes", hint="nor written"),
        Column("saving_low_ns", "Time saved, at least", "duration", hint="that traffic at the bandwidth"),
        Column("saving_high_ns", "Saved, at most", "duration", brief=True),
    ),
)
OVERLAP = Layout(
    "overlap",
    "Exposed transfers",
    (
        Column("name", "Transfer", "kernel", brief=True),
        Column("kind", "Kind", "text"),
        Column("exposed_ns", "Exposed", "duration", brief=True, bar=True),
        Column("share", "Share", "share", brief=True, hint="of the devices' wall time"),
        Column("count", "Times", "count", brief=True),
        Column(
            "dependency", "Next kernel", "text", brief=True,
            hint="same_stream: behind it on its stream; late: launched after it began; event: waits for its stream",
        ),
        Column("beside_ns", "Free compute", "duration", hint="compute that no transfer runs beside"),
        Column("saving_high_ns", "Saved, at most", "duration", brief=True),
    ),
)  # fmt: skip


def work_rows(results: Mapping[str, Any]) -> Iterator[tuple[Layout, Sequence[Any] | None]]:
    """Each table with its rows; None where the analyzer had nothing."""
    mapped, phases, limits = (results.get(name) for name in ("mapping", "phases", "limits"))
    yield MAPPING, mapped.rows if mapped else None
    metrics = results.get("kernel_metrics")
    yield MEASURED, metrics.launches if metrics else None
    yield PHASES, [_with_limit(row, row.limit) for row in phases.rows] if phases else None
    for layout, level in ((STEP_LIMITS, "steps"), (MODULE_LIMITS, "modules"), (OP_LIMITS, "ops")):
        rows = getattr(limits, level) if limits else ()
        yield layout, [{"name": r.name, "total_ns": r.limit.total_ns, **_fields(r.limit)} for r in rows]
    fusion, overlap = results.get("fusion"), results.get("overlap")
    yield FUSION, [_chain(row) for row in fusion.rows] if fusion else None
    yield (
        OVERLAP,
        [_plain(row) | {"saving_high_ns": row.saving_ns[1]} for row in overlap.rows] if overlap else None,
    )


def _plain(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__dataclass_fields__}


def _fields(limit: Limit | None) -> dict[str, Any]:
    names = ("efficiency", "costed", "confidence", "evidence")
    found: dict[str, Any] = {name: getattr(limit, name) if limit else None for name in names}
    bound = limit.bound.replace("_", " ") if limit else None
    return found | {"bound": bound, "bound_share": limit.share if limit else None}


def _with_limit(row: Any, limit: Limit | None) -> dict[str, Any]:
    return _plain(row) | _fields(limit)


def _chain(row: FusionRow) -> dict[str, Any]:
    steps = " → ".join(op or kernel for op, kernel in zip(row.ops, row.kernels, strict=True))
    nothing = (None, None)
    (low, high), (soon, late) = row.bytes or nothing, row.saving_ns or nothing
    added = {
        "chain": steps,
        "bytes_low": low,
        "bytes_high": high,
        "saving_low_ns": soon,
        "saving_high_ns": late,
    }
    return _plain(row) | added | {"form": row.form.replace("_", " and ")}
