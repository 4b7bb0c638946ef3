"""The figures that Plotly draws: data and layout as plain values, colours by the names of the page's categories.

A figure is drawn when it is scrolled to, from at most `MAX_MARKS` marks, in the colours of the theme.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from traceanalyzer.languages import spoken
from traceanalyzer.model.columns import ints, texts
from traceanalyzer.reporters import names, units
from traceanalyzer.reporters.facts import PARTS, parts_of
from traceanalyzer.rules.vocabulary import word
from traceanalyzer.text import Text, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traceanalyzer.analyzers.results import Kernels
    from traceanalyzer.analyzers.roofline_results import DeviceRoof, Roofline, RooflineRow
    from traceanalyzer.analyzers.snapshot.results import Composition
    from traceanalyzer.model.trace import Trace
    from traceanalyzer.reporters.html.charts import StepBars

MAX_MARKS = 400
COLOURS = {
    "compute": "compute",
    "memory_bandwidth": "memory",
    "balanced": "mixed",
    "latency": "host",
    "communication": "communication",
}
"""What limits a kernel, as a category of the page; anything else is drawn as unknown."""
PATTERNS = {"communication": "\\", "copy": ".", "idle": "/"}
"""What doubles a part's colour."""
USES = {
    "parameters": "compute", "gradients": "communication", "optimizer_state": "memory", "activations": "copy",
    "kv_cache": "host", "logits": "api", "temporaries": "mixed", "workspace": "range", "casts": "cast",
    "inputs": "good",
}  # fmt: skip
"""What memory is for, as the page's style colours it (.use-…)."""
_WORDS = {"latency": say("neither: latency")}
_BINS_PER_DECADE = 8
_ROOFS = ("bf16", "tf32", "fp32", "bandwidth")


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: its place in the page, what a reader without eyes or script is told, and what is drawn."""

    id: str
    title: Text
    summary: Text
    spec: str  # JSON


def roofline(found: Roofline | None) -> Figure | None:
    """Kernels by arithmetic intensity and speed, sized by time, under the roofs of the GPU; None without any."""
    if found is None:
        return None
    known = [r for r in found.rows if r.flops and r.bytes and r.total_ns]
    roofs = next((d for d in found.devices if d.bandwidth_gb_per_s), None)
    if not known or roofs is None:
        return None
    shown = sorted(known, key=lambda r: -r.total_ns)[:MAX_MARKS]
    longest = shown[0].total_ns
    traces = [_marks(bound, rows, longest) for bound, rows in _by_bound(shown)]
    low = min(_intensity(r) for r in shown) / 2
    high = max(*(_intensity(r) for r in shown), 2 * _ridge(roofs)) * 2
    traces += _roof_lines(roofs, low, high)
    layout = {
        "xaxis": {"type": "log", "title": {"text": spoken(say("FLOPs per byte of memory traffic"))}},
        "yaxis": {"type": "log", "title": {"text": "TFLOP/s"}},
    }
    total = sum(r.total_ns for r in found.rows)
    part = sum(r.total_ns for r in shown) / total if total else 0.0
    summary = say(
        "{count} {count:kernel and shape|kernels and shapes}, {share} of kernel time, under the roofs of {gpu}; the "
        "rest does no arithmetic or its cost is not known. Sources of the peaks: {sources}.",
        count=units.count(len(shown)),
        share=units.share(part),
        gpu=roofs.gpu,
        sources="; ".join(dict.fromkeys(roofs.sources[name] for name in _ROOFS if name in roofs.sources)),
    )
    return Figure("roofline", say("Roofline"), summary, _json(traces, layout))


def durations(trace: Trace, found: Kernels | None) -> Figure | None:
    """How long kernels run: count and summed time per class of duration; None without kernels."""
    if found is None:
        return None
    kernels = trace.kernels
    taken = np.maximum(ints(kernels, "dur", 0), 1)
    if not len(taken):
        return None
    first, last = np.floor(np.log10(taken.min())), np.ceil(np.log10(taken.max() + 1))
    edges = np.logspace(first, last, int((last - first) * _BINS_PER_DECADE) + 1)
    codes, of_code = texts(kernels, "name")
    communicating = {row.name for row in found.rows if row.category == "communication"}
    is_communication = np.array([name in communicating for name in of_code] + [False])[codes]
    traces = []
    for name, colour, mask in (
        ("compute", "compute", ~is_communication),
        ("communication", "communication", is_communication),
    ):
        if mask.any():
            counts, _ = np.histogram(taken[mask], edges)
            sums, _ = np.histogram(taken[mask], edges, weights=taken[mask])
            traces.append(_columns(name, colour, edges, counts, sums))
    layout = {
        "barmode": "stack",
        "bargap": 0.04,
        "xaxis": {"type": "log", "title": {"text": spoken(say("duration of a kernel, µs"))}},
        "yaxis": {"title": {"text": spoken(say("time in all such kernels, ms"))}},
    }
    median = units.duration(int(np.median(taken)))
    summary = say(
        "{count} {count:kernel|kernels}; half of them are shorter than {median}.",
        count=units.count(len(taken)),
        median=median,
    )
    return Figure("durations", say("How long kernels run"), summary, _json(traces, layout))


def steps(number: int, chart: StepBars | None, median_ns: int | None) -> Figure | None:
    """Stacked columns of a device's steps, where there are several."""
    if chart is None:
        return None
    at = list(range(1, len(chart.means) + 1))
    traces: list[dict[str, Any]] = [
        {
            "type": "bar", "name": spoken(label), "colour": key, "pattern": PATTERNS.get(key, ""), "x": at,
            "y": [round(dict(parts_of(mean))[key] / 1e6, 6) for _, mean in chart.means],
            "text": [_plain(spoken(say("{step}: {part} {time} of {all}", step=names.cut(name, 60), part=label,
                                       time=units.duration(dict(parts_of(mean))[key]),
                                       all=units.duration(mean.wall_ns)))) for name, mean in chart.means],
        }
        for key, label in PARTS.items()
    ]  # fmt: skip
    if median_ns:
        told = spoken(say("median {time}", time=units.duration(median_ns)))
        traces.append(
            {"type": "scatter", "mode": "lines", "name": told, "colour": "ink", "dash": "dot",
             "x": [0.5, len(at) + 0.5], "y": [median_ns / 1e6] * 2, "text": [told, told]}
        )  # fmt: skip
    longest = units.duration(chart.top_ns)
    summary = say("Per step; the longest is {longest}", longest=longest)
    if chart.averaged > 1:
        summary = say("Per step, {count} {count:step|steps} averaged per column; the longest is {longest}",
                      count=chart.averaged, longest=longest)  # fmt: skip
    layout = {
        "barmode": "stack", "bargap": 0.1, "height": 240,
        "xaxis": {"title": {"text": spoken(say("step"))}, "dtick": max(1, len(at) // 12), "showgrid": False},
        "yaxis": {"title": {"text": "ms"}},
    }  # fmt: skip
    return Figure(f"steps-{number}", say("Steps"), summary, _json(traces, layout))


def composition(number: int, found: Composition, *, timed: bool) -> Figure | None:
    """What active memory was for over time, as stacked areas."""
    if len(found.at) < 2 or not found.by_category:
        return None
    top = max(sum(column) for column in zip(*found.by_category.values(), strict=True))
    shift, unit = (30, "GiB") if top >= 1 << 30 else (20, "MiB")
    traces = [
        {
            "type": "scatter", "mode": "lines", "name": spoken(word(use)), "colour": USES.get(use, "line-strong"),
            "stacked": True, "hover": f"%{{y:.4~g}} {unit}",
            "x": [round(at / 1e6, 3) if timed else at for at in found.at],
            "y": [_short(level / (1 << shift)) for level in levels],
        }
        for use, levels in found.by_category.items()
    ]  # fmt: skip
    layout = {
        "height": 300, "hovermode": "x unified",
        "xaxis": {"title": {"text": "ms" if timed else spoken(say("entry"))}},
        "yaxis": {"title": {"text": unit}, "rangemode": "tozero"},
    }  # fmt: skip
    return Figure(f"uses-{number}", say("Uses"), say("What active memory was for"), _json(traces, layout))


def _columns(name: str, colour: str, edges: Any, counts: Any, sums: Any) -> dict[str, Any]:
    spans = [
        say("{low} to {high}", low=units.duration(int(a)), high=units.duration(int(b)))
        for a, b in pairwise(edges)
    ]
    return {
        "type": "bar", "name": spoken(word(name)), "colour": colour,
        "x": (np.sqrt(edges[:-1] * edges[1:]) / 1e3).round(6).tolist(),
        "width": (np.diff(edges) / 1e3).round(6).tolist(),
        "y": (sums / 1e6).round(6).tolist(),
        "text": [spoken(say("{span}: {count} {count:kernel|kernels}, {time}", span=span, count=units.count(int(count)),
                            time=units.duration(int(ns))))
                 for span, count, ns in zip(spans, counts, sums, strict=True)],
    }  # fmt: skip


def _by_bound(rows: Sequence[RooflineRow]) -> Iterator[tuple[str, list[RooflineRow]]]:
    for bound in sorted({r.bound for r in rows}):
        yield bound, [r for r in rows if r.bound == bound]


def _marks(bound: str, rows: Sequence[RooflineRow], longest_ns: int) -> dict[str, Any]:
    return {
        "type": "scatter", "mode": "markers",
        "name": spoken(_WORDS.get(bound) or word(bound)), "colour": COLOURS.get(bound, "idle-ink"),
        "x": [_short(_intensity(r)) for r in rows],
        "y": [_short(_speed(r)) for r in rows],
        "sizes": [round(6 + 34 * (r.total_ns / longest_ns) ** 0.5, 1) for r in rows],
        "text": [_told(r) for r in rows],
    }  # fmt: skip


def _told(row: RooflineRow) -> str:
    """The hover text."""
    lines = [
        names.cut(row.op or row.kernel, 60),
        names.cut(row.input_dims or "", 70),
        names.cut(row.kernel, 80) if row.op else "",
        f"{units.count(row.count)} × {units.duration(row.total_ns // row.count)} = {units.duration(row.total_ns)}",
        spoken(
            say(
                "{speed} TFLOP/s, {share} of its roof",
                speed=f"{_speed(row):.3g}",
                share=units.share(row.efficiency),
            )
        ),
    ]
    return "<br>".join(_plain(line) for line in lines if line)


def _plain(text: str) -> str:
    """Plotly takes some tags for markup, so what opens one is spelled out."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _roof_lines(roofs: DeviceRoof, low: float, high: float) -> list[dict[str, Any]]:
    """The slope of the memory's bandwidth up to the highest peak, and a level for each type's peak."""
    bandwidth = (roofs.bandwidth_gb_per_s or 0.0) / 1e3  # TB/s: TFLOP/s per FLOP/byte
    peaks = [
        (name, peak)
        for name, peak in (
            ("bf16", roofs.bf16_tflops),
            ("tf32", roofs.tf32_tflops),
            ("fp32", roofs.fp32_tflops),
        )
        if peak
    ]
    top = max((peak for _, peak in peaks), default=bandwidth * high)
    lines = [("memory", f"{bandwidth:.3g} TB/s", [low, top / bandwidth], [low * bandwidth, top])]
    lines += [
        (name, f"{name} {peak:g} TFLOP/s", [peak / bandwidth, high], [peak, peak]) for name, peak in peaks
    ]
    return [
        {"type": "scatter", "mode": "lines", "name": label, "colour": "ink-2", "dash": dash,
         "x": [_short(x) for x in xs], "y": [_short(y) for y in ys], "text": [label, label]}
        for (_, label, xs, ys), dash in zip(lines, ("solid", "solid", "dash", "dot"), strict=False)
    ]  # fmt: skip


def _ridge(roofs: DeviceRoof) -> float:
    peak = roofs.bf16_tflops or roofs.fp32_tflops or 1.0
    return peak * 1e3 / (roofs.bandwidth_gb_per_s or 1.0)


def _intensity(row: RooflineRow) -> float:
    return (row.flops or 0.0) / (row.bytes or 1.0)


def _speed(row: RooflineRow) -> float:
    return (row.flops or 0.0) / row.total_ns / 1e3


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _json(traces: list[dict[str, Any]], layout: dict[str, Any]) -> str:
    return json.dumps({"traces": traces, "layout": layout}, ensure_ascii=False, separators=(",", ":"))
