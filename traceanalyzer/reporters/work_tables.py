"""The tables about work and its limits: phases, steps, modules, ops, chains that would fuse, exposed transfers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceanalyzer.reporters.tables import Column, Layout
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from traceanalyzer.analyzers.limits_results import Limit
    from traceanalyzer.analyzers.opportunities_results import FusionRow

_LIMIT = (
    Column(
        "bound",
        say("Limited by"),
        "word",
        brief=True,
        hint=say("the label that leads its kernels' time, or mixed"),
    ),
    Column(
        "bound_share",
        say("Of its time"),
        "share",
        brief=True,
        hint=say("the part of the time with that label"),
    ),
    Column(
        "efficiency", say("Of roof"), "share", brief=True, hint=say("time at the GPU's peaks by time taken")
    ),
    Column("costed", say("Costed"), "share", hint=say("the part of its kernel time with FLOPs and bytes")),
    Column("confidence", say("Confidence"), "word", brief=True),
    Column("evidence", say("Longest kernel"), "kernel"),
)
MAPPING = Layout(
    "mapping",
    say("Kernels placed by the second trace"),
    (
        Column("kernel", say("Kernel"), "kernel", brief=True),
        Column("total_ns", say("Total"), "duration", brief=True, bar=True),
        Column("count", say("Calls"), "count"),
        Column("op", say("Op"), "name", brief=True),
        Column("module", say("Module"), "path", brief=True),
        Column("python", say("Python"), "path", brief=True),
        Column(
            "how",
            say("Matched by"),
            "word",
            hint=say("order, grid, name; none: inside a CUDA graph or unlinked"),
        ),
    ),
)
PHASES = Layout(
    "phases",
    say("Phases"),
    (
        Column("phase", say("Phase"), "word", brief=True),
        Column("busy_ns", say("Device busy"), "duration", brief=True, bar=True),
        Column(
            "share",
            say("Share"),
            "share",
            brief=True,
            hint=say(
                "of the time in which any work ran; while work of several phases runs, none of them counts it"
            ),
        ),
        Column("calls", say("Calls"), "count", hint=say("of the ranges that mark the phase")),
        Column("kernels", say("Kernels"), "count"),
        *_LIMIT,
    ),
)


def _limited(id_: str, title: Text, what: Text) -> Layout:
    name, time = (
        Column("name", what, "name", brief=True),
        Column("total_ns", say("Time"), "duration", brief=True),
    )
    return Layout(id_, title, (name, time, *_LIMIT))


STEP_LIMITS = _limited("step-limits", say("What limits each step"), say("Step"))
MODULE_LIMITS = _limited("module-limits", say("What limits each module"), say("Module"))
OP_LIMITS = _limited("op-limits", say("What limits each op"), say("Op"))
MEASURED = Layout(
    "measured",
    say("Measured by Nsight Compute"),
    (
        Column("name", say("Kernel"), "kernel", brief=True),
        Column(
            "compute_percent",
            say("Compute"),
            "percent",
            brief=True,
            hint=say("of the peak of the multiprocessors"),
        ),
        Column(
            "memory_percent",
            say("Memory"),
            "percent",
            brief=True,
            hint=say("of the peak of the memory system"),
        ),
        Column("label", say("Limited by"), "word", brief=True, hint=say("NVIDIA's speed-of-light rule")),
        Column("waves", say("Waves"), "number", hint=say("per multiprocessor")),
        Column("occupancy_percent", say("Occupancy"), "percent"),
        Column(
            "duration_ns",
            say("Duration there"),
            "duration",
            brief=True,
            hint=say("ncu fixes the clocks and empties the caches"),
        ),
        Column("match", say("In the trace"), "word", brief=True),
    ),
)
FUSION = Layout(
    "fusion",
    say("Chains that would fuse"),
    (
        Column("chain", say("Chain"), "name", brief=True),
        Column("total_ns", say("Total"), "duration", brief=True, bar=True),
        Column("share", say("Share"), "share", brief=True, hint=say("of the summed kernel time")),
        Column("count", say("Times"), "count", brief=True),
        Column("form", say("Fused form"), "word"),
        Column(
            "bytes_low",
            say("Traffic saved, at least"),
            "bytes",
            hint=say("what one hands on is not read again"),
        ),
        Column("bytes_high", say("At most"), "bytes", hint=say("nor written")),
        Column(
            "saving_low_ns",
            say("Time saved, at least"),
            "duration",
            hint=say("that traffic at the bandwidth"),
        ),
        Column("saving_high_ns", say("Saved, at most"), "duration", brief=True),
    ),
)
OVERLAP = Layout(
    "overlap",
    say("Exposed transfers"),
    (
        Column("name", say("Transfer"), "kernel", brief=True),
        Column("kind", say("Kind"), "word"),
        Column("exposed_ns", say("Exposed"), "duration", brief=True, bar=True),
        Column("share", say("Share"), "share", brief=True, hint=say("of the devices' wall time")),
        Column("count", say("Times"), "count", brief=True),
        Column(
            "dependency", say("Next kernel"), "word", brief=True,
            hint=say("same stream: behind it on that; late: launched after it began; event: waits for its stream"),
        ),
        Column("beside_ns", say("Free compute"), "duration", hint=say("compute that no transfer runs beside")),
        Column("saving_high_ns", say("Saved, at most"), "duration", brief=True),
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
    bound = limit.bound if limit else None
    return found | {"bound": bound, "bound_share": limit.share if limit else None}


def _with_limit(row: Any, limit: Limit | None) -> dict[str, Any]:
    return _plain(row) | _fields(limit)


def _chain(row: FusionRow) -> dict[str, Any]:
    nothing = (None, None)
    (low, high), (soon, late) = row.bytes or nothing, row.saving_ns or nothing
    added = {
        "chain": row.chain,
        "bytes_low": low,
        "bytes_high": high,
        "saving_low_ns": soon,
        "saving_high_ns": late,
    }
    return _plain(row) | added
