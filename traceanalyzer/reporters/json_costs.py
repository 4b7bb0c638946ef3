"""The part of the JSON report about work and limits: roofline, and what a second trace tells."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.analyzers.kernel_metrics import KernelMetrics
    from traceanalyzer.analyzers.limits_results import Limit, LimitRow, Limits
    from traceanalyzer.analyzers.mapped_results import Mapped
    from traceanalyzer.analyzers.opportunities_results import Fusion, Overlap
    from traceanalyzer.analyzers.phases_results import Phases
    from traceanalyzer.analyzers.roofline_results import Roofline

Document = dict[str, Any]


def sections(results: Mapping[str, Any]) -> Document:
    """The keys that are added to the document; null for what was not made."""
    return {
        "roofline": _roofline(results.get("roofline")),
        "kernel_metrics": _metrics(results.get("kernel_metrics")),
        "mapping": _mapping(results.get("mapping")),
        "limits": _limits(results.get("limits")),
        "phases": _phases(results.get("phases")),
        "fusion": _plain(results.get("fusion")),
        "overlap": _plain(results.get("overlap")),
    }


def _metrics(metrics: KernelMetrics | None) -> list[Document] | None:
    return None if metrics is None else [asdict(launch) for launch in metrics.launches]


def _roofline(roofline: Roofline | None) -> Document | None:
    if roofline is None:
        return None
    return {
        "coverage": {**asdict(roofline.coverage), "costed": roofline.coverage.costed},
        "bound_ns": dict(roofline.bound_ns),
        "devices": [{**asdict(device), "peaks": dict(device.peaks)} for device in roofline.devices],
        "rows": [asdict(row) for row in roofline.rows],
    }


def _plain(result: Fusion | Overlap | None) -> Document | None:
    return None if result is None else asdict(result)


def _limits(limits: Limits | None) -> Document | None:
    if limits is None:
        return None
    levels = ("ops", "modules", "steps")
    found: Document = {level: [_limit_row(row) for row in getattr(limits, level)] for level in levels}
    return found | {"run": _limit_row(limits.run) if limits.run else None}


def _limit_row(row: LimitRow) -> Document:
    return {"name": row.name, **_limit(row.limit)}


def _limit(limit: Limit) -> Document:
    return {name: getattr(limit, name) for name in limit.__dataclass_fields__} | {
        "by_bound": dict(limit.by_bound)
    }


def _phases(phases: Phases | None) -> Document | None:
    if phases is None:
        return None
    return {
        "kind": phases.kind,
        "rows": [
            {
                "phase": row.phase,
                "calls": row.calls,
                "kernels": row.kernels,
                "busy_ns": row.busy_ns,
                "share": row.share,
                "limit": _limit(row.limit) if row.limit else None,
            }
            for row in phases.rows
        ],
        "several_share": phases.several_share,
        "recompute_share": phases.recompute_share,
        "graph_share": phases.graph_share,
        "compiled": asdict(phases.compiled) | {"breaks": [asdict(b) for b in phases.compiled.breaks]}
        if phases.compiled
        else None,
        "utilisation": asdict(phases.utilisation) if phases.utilisation else None,
    }


def _mapping(mapped: Mapped | None) -> Document | None:
    if mapped is None:
        return None
    return {**asdict(mapped), "matched": mapped.matched, "rows": [asdict(row) for row in mapped.rows]}
