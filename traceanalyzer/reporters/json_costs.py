"""The part of the JSON report about work and limits: roofline, and what a second trace tells."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from traceanalyzer.analyzers.roofline_plot import roofline_plots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traceanalyzer.analyzers.mapped_results import Mapped
    from traceanalyzer.analyzers.roofline_results import Roofline

Document = dict[str, Any]


def sections(results: Mapping[str, Any]) -> Document:
    """The keys that are added to the document; null for what was not made."""
    return {"roofline": _roofline(results.get("roofline")), "mapping": _mapping(results.get("mapping"))}


def _roofline(roofline: Roofline | None) -> Document | None:
    if roofline is None:
        return None
    return {
        "coverage": {**asdict(roofline.coverage), "costed": roofline.coverage.costed},
        "bound_ns": dict(roofline.bound_ns),
        "devices": [{**asdict(device), "peaks": dict(device.peaks)} for device in roofline.devices],
        "rows": [asdict(row) for row in roofline.rows],
        "plots": [
            {
                "gpu": plot.gpu,
                "bandwidth_bytes_per_s": plot.bandwidth,
                "roofs": [asdict(roof) for roof in plot.roofs],
                "drawn_ns": plot.drawn_ns,
                "total_ns": plot.total_ns,
            }
            for plot in roofline_plots(roofline)
        ],
    }


def _mapping(mapped: Mapped | None) -> Document | None:
    if mapped is None:
        return None
    return {**asdict(mapped), "matched": mapped.matched, "rows": [asdict(row) for row in mapped.rows]}
